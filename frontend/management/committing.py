"""Commits of the management API: they hold only while what let the caller in still does."""

from collections.abc import Sequence

from frontend.access.standing import expect
from frontend.domain.deeds import Deed
from frontend.domain.faults import Unauthorized
from frontend.management.routing import Asked
from frontend.registry.call import CHANGED, Registry
from index.changes import Change
from index.errors import ExpectationsFailed
from index.expectations import Expectation


async def commit(
    registry: Registry,
    asked: Asked,
    deed: Deed,
    changes: Sequence[Change],
    expectations: Sequence[Expectation] = (),
) -> None:
    """Apply all `changes`, or none, and tell the journal of the `deed` that they are.

    Raises:
        ExpectationsFailed: those of `expectations` that did not hold.
        Unauthorized: the caller's credentials or rights were changed meanwhile.
        StorageFull, Busy, StoreFailed.
    """
    who = expect(asked.principal.evidence)
    try:
        note = registry.note(asked.principal, asked.client.address, deed)
        await registry.store.commit([*changes, note], (*expectations, *who))
    except ExpectationsFailed as error:
        if any(failed in who for failed in error.failed):
            raise Unauthorized(CHANGED) from None
        raise
