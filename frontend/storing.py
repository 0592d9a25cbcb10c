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
        scrub_seconds=settings.scrub.interval_seconds,
        scrub_bytes_per_second=settings.scrub.bytes_per_second,
        min_free_bytes=settings.storage.min_free_bytes,
    )
