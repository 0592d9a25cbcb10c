"""The format version of an index: set on creation, raised step by step, refused when newer."""

import os
from collections.abc import Callable, Mapping

from index import keys
from index.errors import FormatUnknown
from index.placement import mark_pack
from index.relisting import list_packages
from index.transaction import Transaction

Step = Callable[[Transaction], None]


def mark_partly_dead(transaction: Transaction) -> None:
    """1 → 2: packs that have lost bytes are marked, so that collection finds them."""
    marked = [pack for pack, row in transaction.iter_packs() if row.live < row.length]
    for pack in marked:
        mark_pack(transaction, pack)


def list_everything(transaction: Transaction) -> None:
    """2 → 3: public repositories are listed by themselves, and packages in their orders."""
    for name, repository in list(transaction.iter_repositories()):
        if repository.visibility == "public":
            transaction.put("public", name.encode())
    list_packages(transaction)


# format n → what makes it n + 1; each runs in the transaction that raises the version
STEPS: Mapping[int, Step] = {1: mark_partly_dead, 2: list_everything}


def read_format(value: bytes | None) -> int:
    """The format in a `meta` row; 0 for an empty index."""
    return 0 if value is None else keys.number(value)


def upgrade(
    transaction: Transaction, steps: Mapping[int, Step] = STEPS, newest: int = keys.FORMAT
) -> None:
    """Bring the index to `newest`: all steps in this one transaction.

    Raises:
        FormatUnknown: the index is newer than we are, or a step is missing.
    """
    found = read_format(transaction.get("meta", keys.META_FORMAT))
    if found == 0:
        _create(transaction, newest)
        return
    for number in range(found, newest):
        if number not in steps:
            raise FormatUnknown(str(found), newest)
        steps[number](transaction)
    if found > newest:
        raise FormatUnknown(str(found), newest)
    if found < newest:
        transaction.put("meta", keys.META_FORMAT, keys.u32(newest))


def _create(transaction: Transaction, newest: int) -> None:
    transaction.put("meta", keys.META_FORMAT, keys.u32(newest))
    transaction.put("meta", keys.META_STORE, os.urandom(16))
    transaction.put("meta", keys.META_SECRET, os.urandom(32))
