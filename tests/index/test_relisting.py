"""The step from format 2: what it makes of rows that the older version wrote."""

import json
from pathlib import Path

from index import keys, names, ordering
from index.changes import EdgeKind, SetTag
from index.environment import open_environment
from index.listed import entry_of, iter_listed
from index.names import Entry, Order
from index.records import Image, Manifest
from tests.index.tables import IMAGE, PLACES, commit, digest_of, dump, manifest, put, write

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "index-v2.json"


def take_back_to_format_2(transaction):
    """As the older version left an index: shorter images, no totals, no orders."""
    for key, value in list(transaction.scan("image")):
        transaction.put("image", key, value[:20])
    for key, value in list(transaction.scan("manifest")):
        row = Manifest.decode(value)
        older = Manifest(media_type=row.media_type, size=row.size, pushed_at=row.pushed_at)
        transaction.put("manifest", key, older.encode())
    for table in ("names", "public", "pulled"):
        for key, _ in list(transaction.scan(table)):
            transaction.delete(table, key)
    transaction.put("meta", keys.META_FORMAT, keys.u32(2))


def test_the_golden_rows_of_format_2_become_packages_in_order(tmp_path):
    rows = json.loads(GOLDEN.read_text(encoding="utf-8"))["rows"]

    def load(transaction):
        for name, row in rows.items():
            table = name.split()[0]
            transaction.put(table, bytes.fromhex(row["key"]), bytes.fromhex(row["value"]))

    with open_environment(tmp_path / "index") as environment:
        write(environment, load)

    with open_environment(tmp_path / "index") as environment:
        found = environment.read(dump)
        listed = environment.read(lambda v: list(names.iter_blocks(v, 7)))

    assert found["meta"][keys.META_FORMAT] == keys.u32(keys.FORMAT)
    ((_, image),) = found["image"].items()
    assert Image.decode(image)[3:] == (2, 70_000, 1_700_000_000)
    ((_, record),) = found["manifest"].items()
    assert Manifest.decode(record).total == 9
    assert [e for block in listed for e in names.iter_entries(block)] == [Entry("a/b", "v1", None)]
    assert len(found["names"]) == len(Order)
    assert found["public"] == {b"local/images": b""}


def test_an_upgraded_index_has_the_rows_of_one_that_was_never_older(tmp_path):
    children = [(2, EdgeKind.CONFIG), (3, EdgeKind.LAYER)]
    with open_environment(tmp_path / "index") as environment:
        commit(environment, [*PLACES, *(row for number in range(1, 6) for row in put(number))])
        whole = manifest(1, children, total=96)
        index = manifest(4, [(1, EdgeKind.CHILD)])
        commit(
            environment, [whole, SetTag(IMAGE, "v1", digest_of(1)), index, manifest(5, total=32)]
        )
        before = environment.read(dump)
        write(environment, take_back_to_format_2)

    with open_environment(tmp_path / "index") as environment:
        after = environment.read(dump)
        again = environment.read(
            lambda v: [
                sorted(entry_of(order, *package) for package in iter_listed(v, 1))
                == ordering.page(v, ordering.measure(v, names.prefix(1, order)), 0, 99)
                for order in Order
            ]
        )

    assert again == [True, True, True]
    assert Manifest.decode(after["manifest"][_key(after, 4)]).total == 32 + 96
    assert Manifest.decode(after["manifest"][_key(after, 1)]).total == 96
    assert after["names"] == before["names"]


def _key(rows, number):
    (key,) = (key for key in rows["manifest"] if key.endswith(digest_of(number)))
    return key


def test_a_ring_of_manifests_comes_to_an_end(tmp_path):
    with open_environment(tmp_path / "index") as environment:
        commit(environment, [*PLACES, *put(1), *put(2)])
        edges = [manifest(1, [(2, EdgeKind.CHILD)]), manifest(2, [(1, EdgeKind.CHILD)])]
        commit(environment, edges)
        write(environment, take_back_to_format_2)

    with open_environment(tmp_path / "index") as environment:
        assert environment.read(lambda v: len(list(v.scan("names")))) == len(Order)
