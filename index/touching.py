"""Times that are noted now and then: when a manifest was pulled, when a token was used.

Such a row is beside the one it tells of, its owner, and never without it. It is written at most
once an hour, so a time may be an hour old; or as often as whoever writes it wishes.
"""

from typing import Final

from index import keys
from index.changes import Touch
from index.errors import TargetMissing
from index.transaction import Transaction
from index.view import View

OWNERS: Final = {"pulled": "manifest", "token": "token"}  # table of times → table of their owners


def is_due(view: View, touch: Touch) -> bool:
    """Whether the owner is there, and was not touched for long enough."""
    before = keys.number(view.get(touch.table, touch.key) or b"\0")
    has_owner = view.get(OWNERS[touch.table], touch.owner) is not None
    return has_owner and before + touch.every <= touch.at


def touch_row(transaction: Transaction, touch: Touch) -> None:
    """Write the row, if it is due.

    Raises:
        TargetMissing: no times are kept in that table.
    """
    if touch.table not in OWNERS:
        raise TargetMissing("table", touch.table)
    if is_due(transaction, touch):
        transaction.put(touch.table, touch.key, keys.u64(touch.at))
