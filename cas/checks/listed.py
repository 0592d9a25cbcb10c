"""Packages in their orders: every tag and every untagged manifest once in each, and nothing else.

Runs after tags, manifests and images have been checked themselves. As long as sums of hashes say
that an order has what it should have, no entry is looked up.
"""

from collections.abc import Iterator
from typing import Final

from cas.checks.drift import Drift, Mend, Run, drop, split
from cas.checks.places import iter_all_repositories
from cas.digest import Digest
from index import blocks, keys, names, ordering
from index.listed import entry_of, figures, image_number, iter_listed, split_value_entry
from index.names import Order
from index.transaction import Transaction

_WORDS: Final = {Order.NAME: "name", Order.PUSHED: "push", Order.SIZE: "size"}
_START: Final = len(names.prefix(0, Order.NAME))


def orders(run: Run) -> Iterator[Drift]:
    """Blocks are of a repository that is there, and follow one another."""
    known = {keys.u32(row.id) for _, row in iter_all_repositories(run.view)}
    before, last = b"", b""
    for key, value in run.view.scan(names.TABLE):
        start, *_, entry = key[:_START], *blocks.iter_entries(value)
        name = f"names {start.hex()} from {names.first_of(key)!r}"
        if key[:4] not in known:
            yield Drift(f"{name}: there is no such repository", drop((names.TABLE, key)))
        elif start == before and names.first_of(key) <= last:
            sentence = f"{name}: the block before it goes further"
            yield Drift(sentence, drop((names.TABLE, key)))
        else:
            before, last = start, entry


def packages(run: Run) -> Iterator[Drift]:
    """An order has every package of its repository once, and no other.

    Of a repository that is being taken apart the orders go first.
    """
    for name, repository in run.view.iter_repositories():
        expected = dict.fromkeys(Order, (0, 0))
        for path, image, line, found in iter_listed(run.view, repository.id):
            run.checked["packages"] += 1
            for order, (number, total) in expected.items():
                made = entry_of(order, path, image, line, found)
                expected[order] = number + 1, total + hash(made)
        for order in Order:
            stored = (0, 0)
            for entry in _entries(run, repository.id, order):
                stored = stored[0] + 1, stored[1] + hash(entry)
            if stored != expected[order]:
                yield from _strangers(run, name, repository.id, order)
                yield from _lacking(run, name, repository.id, order)


def _entries(run: Run, repository: int, order: Order) -> Iterator[bytes]:
    for _, block in run.view.scan(names.TABLE, names.prefix(repository, order)):
        yield from blocks.iter_entries(block)


def _strangers(run: Run, name: str, repository: int, order: Order) -> Iterator[Drift]:
    """Entries that no package has."""
    start = names.prefix(repository, order)
    for entry in _entries(run, repository, order):
        if not _is_package(run, repository, order, entry):
            sentence = f"{name}: lists {entry!r} by {_WORDS[order]}, which is no package"
            yield Drift(sentence, _edit(start, entry, is_there=False))


def _is_package(run: Run, repository: int, order: Order, entry: bytes) -> bool:
    if order is Order.NAME:
        group, line = blocks.split_entry(entry)
        row = run.view.get("image", keys.u32(repository) + group)
        return row is not None and figures(run.view, row[: keys.IMAGE_SIZE], line) is not None
    letters, line = split_value_entry(entry)
    image = keys.u32(repository) + image_number(letters)
    found = figures(run.view, image, line)
    return found is not None and entry_of(order, "", image, line, found) == entry


def _lacking(run: Run, name: str, repository: int, order: Order) -> Iterator[Drift]:
    """Packages that are not listed."""
    start = names.prefix(repository, order)
    for path, image, line, found in iter_listed(run.view, repository):
        entry = entry_of(order, path, image, line, found)
        if not ordering.has_entry(run.view, start, entry):
            package = f"{name}/{path} {line.decode()}"
            sentence = f"{package}: is not listed by {_WORDS[order]}"
            yield Drift(sentence, _edit(start, entry, is_there=True))


def _edit(start: bytes, entry: bytes, *, is_there: bool) -> Mend:
    def mend(transaction: Transaction) -> None:
        ordering.edit(transaction, start, {entry: is_there})

    return mend


def pulled(run: Run) -> Iterator[Drift]:
    """What was pulled is a manifest still."""
    for key, _ in run.view.scan("pulled"):
        image, digest, _ = split(key)
        if run.view.manifest(image, digest) is None:
            sentence = f"pulled {run.image(image)}@{Digest(digest)}: there is no such manifest"
            yield Drift(sentence, drop(("pulled", key)))
