"""What tests do with whole tables: write without a writer, dump, count rows."""

from index import keys
from index.apply import apply
from index.changes import (
    CreateStorage,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
)
from index.ledger import Clock
from index.records import Manifest, Repository
from index.transaction import Transaction

CLOCK = Clock(now=1_000_000, grace=3600)
IMAGE = ImageName("local/images", "app")
OTHER = ImageName("local/images", "other")
ELSEWHERE = ImageName("local/more", "app")
PLACES = (
    CreateStorage("local"),
    PutRepository("local/images", Repository()),
    PutRepository("local/more", Repository()),
)


def write(environment, run):
    """One committed transaction."""
    with environment.begin() as raw:
        return run(environment.transaction(raw))


def commit(environment, changes, expectations=(), clock=CLOCK):
    """One operation, as the writer runs it."""
    return write(environment, lambda t: apply(t, changes, expectations, clock))


def digest_of(number):
    """A digest key (sha256) that stands for some content."""
    return b"\x01" + number.to_bytes(32)


def put(number, image=IMAGE, lease=0):
    """The changes of a small push."""
    content = number.to_bytes(32)
    return PutObject(digest_of(number), content), Link(image, digest_of(number), lease)


def manifest(number, edges=(), image=IMAGE, **fields):
    """The change that makes object `number` a manifest."""
    record = Manifest(media_type="m", size=32, **fields)
    children = tuple((digest_of(child), kind) for child, kind in edges)
    return PutManifest(image, digest_of(number), record, children, b"{}")


def dump(view, but=()):
    """Every row of every table, except the `meta` rows named in `but`."""
    rows = {table: dict(view.scan(table)) for table in keys.TABLES}
    for key in but:
        rows["meta"].pop(key, None)
    return rows


class Counting(Transaction):
    """A transaction that counts the rows it writes."""

    __slots__ = ("written",)

    def __init__(self, transaction):
        super().__init__(transaction._transaction, transaction._tables)
        self.written = 0

    def put(self, table, key, value=b""):
        self.written += 1
        super().put(table, key, value)

    def delete(self, table, key):
        self.written += 1
        return super().delete(table, key)
