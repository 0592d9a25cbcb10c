"""A part of the step from format 2 to 3: sizes of images and of wholes, and orders of packages.

Everything is read once and written once, in key order. Sizes and times of one repository's packages
are sorted in memory: about 100 bytes a package.
"""

from struct import Struct
from typing import Final

import msgspec

from index import keys, names, ordering
from index.changes import EdgeKind
from index.listed import entry_of, iter_listed
from index.names import Order
from index.records import Image, Tag
from index.transaction import Transaction

_IMAGE_2: Final = Struct(">8sIII")  # I · links · manifests · tags
_DEEPEST: Final = 8  # manifests one within the other; a ring of them ends there


def list_packages(transaction: Transaction) -> None:
    """Measure every image and manifest, and list every package."""
    for key in [key for key, _ in transaction.scan(names.TABLE)]:
        transaction.delete(names.TABLE, key)
    for key, value in list(transaction.scan("image")):
        image = Image(*_IMAGE_2.unpack_from(value))
        _add_totals(transaction, image.id)
        transaction.put("image", key, _measured(transaction, image).encode())
    for _, repository in list(transaction.iter_repositories()):
        _list_repository(transaction, repository.id)


def _add_totals(transaction: Transaction, image: bytes) -> None:
    totals: dict[bytes, int] = {}
    for digest, record in list(transaction.iter_manifests(image)):
        total = _total(transaction, (image, digest), totals, _DEEPEST)
        if total != record.total:
            row = msgspec.structs.replace(record, total=total)
            transaction.put("manifest", image + digest, row.encode())


def _total(
    transaction: Transaction, manifest: tuple[bytes, bytes], totals: dict[bytes, int], depth: int
) -> int:
    """Bytes of a manifest and what it needs; what is not stored counts nothing."""
    image, digest = manifest
    record = transaction.manifest(image, digest)
    if record is None or digest in totals:
        return totals.get(digest, 0)
    total = record.size
    for child, kind in list(transaction.iter_children(image, digest)):
        if kind != EdgeKind.CHILD:
            found = transaction.object(child)
            total += 0 if found is None else found.size
        elif child != digest and depth:
            total += _total(transaction, (image, child), totals, depth - 1)
    totals[digest] = total
    return total


def _measured(transaction: Transaction, image: Image) -> Image:
    size = 0
    for key, _ in transaction.scan("link", image.id):
        found = transaction.object(key[keys.IMAGE_SIZE :])
        size += 0 if found is None else found.size
    times = [record.pushed_at for _, record in transaction.iter_manifests(image.id)]
    times += [Tag.decode(value).pushed_at for _, value in transaction.iter_tags(image.id)]
    return image._replace(size=size, updated_at=max(times, default=0))


def _list_repository(transaction: Transaction, repository: int) -> None:
    found: dict[Order, list[bytes]] = {order: [] for order in Order}
    for path, image, line, figures in iter_listed(transaction, repository):
        for order, entries in found.items():
            entries.append(entry_of(order, path, image, line, figures))
    for order, entries in found.items():
        if order is not Order.NAME:
            entries.sort()
        ordering.fill(transaction, names.prefix(repository, order), entries)
