"""What of the configuration is the store's."""

from cas.local import StoreSettings
from frontend.settings import Settings


def store_settings(settings: Settings) -> StoreSettings:
    """The store's own."""
    return StoreSettings(
        grace_seconds=settings.gc.grace_seconds,
        lease_seconds=settings.gc.lease_seconds,
        upload_expiry_seconds=settings.gc.upload_expiry_seconds,
        collection_seconds=settings.gc.interval_seconds,
        min_free_bytes=settings.storage.min_free_bytes,
    )
