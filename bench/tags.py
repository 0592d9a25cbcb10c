"""An index of a million tags, its rows written in the order of their keys, in half a minute.

There are no bytes behind its digests: it is for searches, lists and pages.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from index import keys, names, ordering
from index.environment import Environment, open_environment
from index.listed import Figures, entry_of
from index.names import Order
from index.records import Image, Link, Manifest, Object, Repository, Tag, Usage
from index.transaction import Transaction

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER = b"\x01" + hashlib.sha256(b"a layer that all images have").digest()
PUSHED_AT = 1_790_000_000
_IN_A_COMMIT = 200_000  # rows
_WORDS = (
    "api", "auth", "billing", "cache", "catalog", "checkout", "consumer", "cron", "edge", "export",
    "feed", "gateway", "graph", "index", "ingest", "job", "login", "mail", "metrics", "notify",
    "order", "payment", "proxy", "queue", "report", "search", "session", "stock", "sync", "web",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is; `large` tags are of one image in a repository of its own.

    So are `below` images of two tags each that lie below one path. What is open is for everybody,
    has an object for each manifest, and the large image has versions for tags.
    """

    repositories: int = 1000
    images: int = 100
    tags: int = 10
    large: int = 100_000
    below: int = 0
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class _Package:
    image: bytes  # I
    path: str
    tag: str
    digest: bytes

    @property
    def pushed_at(self) -> int:
        """Some time within half a year."""
        return PUSHED_AT + int.from_bytes(self.digest[1:4])


def fill(data: Path, size: Size, *, storage: str = "docker") -> list[str]:
    """Add repositories `docker/team-0000` …, `docker/monorepo` and, with images below a path of it,
    `docker/catalog`; returns their names.

    The directory must have been served once, and nobody may serve it now.
    """
    with open_environment(data / "index") as environment:
        first = environment.read(lambda v: keys.number(v.get("meta", keys.META_REPOSITORY) or b""))
        start = environment.read(lambda v: keys.number(v.get("meta", keys.META_IMAGE) or b""))
        listed = [f"{storage}/team-{number:04}" for number in range(size.repositories)]
        listed.append(f"{storage}/monorepo")
        if size.below:
            listed.append(f"{storage}/catalog")
        packages = list(_iter_packages(size, first + 1, start + 1))
        for table, rows in _tables(packages, listed, first + 1, is_open=size.is_open).items():
            _write(environment, table, sorted(rows))
        if size.is_open:
            _open(environment, packages, listed)
        _order(environment, packages)
    return listed


def _iter_packages(size: Size, repository: int, image: int) -> Iterator[_Package]:
    chance = random.Random(1)  # noqa: S311 - names
    for number in range(size.repositories):
        for each in range(size.images):
            words = "-".join(chance.sample(_WORDS, 2))
            path = f"{words}/service-{each:02}"
            tags = {_tag(chance) for _ in range(size.tags)}
            while len(tags) < size.tags:
                tags.add(_tag(chance))
            yield from _image(repository + number, image, path, tags)
            image += 1
    tags = {_numbered(number, is_version=size.is_open) for number in range(size.large)}
    yield from _image(repository + size.repositories, image, "everything", tags)
    for number in range(1, size.below + 1):
        path = f"team/{chance.choice(_WORDS)}/service-{number:05}"
        yield from _image(repository + size.repositories + 1, image + number, path, ("v1", "v2"))


def _tag(chance: random.Random) -> str:
    version = f"{chance.randrange(20)}.{chance.randrange(100)}.{chance.randrange(100)}"
    return version + chance.choice(("", "", "", "-alpine", "-slim", "-debug", "-RC1"))


def _numbered(number: int, *, is_version: bool) -> str:
    """A tag of very many, of three numbers or of one."""
    if not is_version:
        return f"build-{number:06}"
    end = ("", "-alpine", "-slim")[number % 3]
    return f"{number // 5000}.{number // 50 % 100}.{number % 50}{end}"


def _image(repository: int, image: int, path: str, tags: Iterable[str]) -> Iterator[_Package]:
    prefix = keys.u32(repository) + keys.u32(image)
    for tag in sorted(tags):
        digest = hashlib.sha256(prefix + tag.encode()).digest()
        yield _Package(prefix, path, tag, b"\x01" + digest)


def _tables(
    packages: list[_Package], listed: list[str], first: int, *, is_open: bool
) -> dict[str, list[tuple[bytes, bytes]]]:
    """Rows by table, in any order."""
    link = Link(PUSHED_AT, 0, 2, 0).encode()
    visibility = "public" if is_open else "private"
    images = {each.image: each.path for each in packages}
    counts: dict[bytes, int] = {}
    for each in packages:
        counts[each.image] = counts.get(each.image, 0) + 1
    of_repository: dict[bytes, list[bytes]] = {}
    for image in images:
        of_repository.setdefault(image[:4], []).append(image)
    numbered = [(keys.u32(first + at), name) for at, name in enumerate(listed)]
    return {
        "storage": [(listed[0].partition("/")[0].encode(), b"\x80")],
        "repository": [
            (name.encode(),
             Repository(id=keys.number(id_), revision=1, visibility=visibility).encode())
            for id_, name in numbered
        ],
        "repository_by_id": [(id_, name.encode()) for id_, name in numbered],
        "image": [
            (image[:4] + path.encode(),
             Image(image, counts[image] + 1, counts[image], counts[image], 1 << 20,
                   PUSHED_AT).encode())
            for image, path in images.items()
        ],
        "image_by_id": [(image, path.encode()) for image, path in images.items()],
        "tag": [
            (each.image + each.tag.encode(),
             Tag(digest=each.digest, pushed_at=each.pushed_at, pushed_by="bench").encode())
            for each in packages
        ],
        "tag_by_digest": [(each.image + each.digest + each.tag.encode(), b"") for each in packages],
        "manifest": [(each.image + each.digest, _record(each)) for each in packages],
        "link": [
            *((each.image + each.digest, link) for each in packages),
            *((image + LAYER, link) for image in images),
        ],
        "link_by_digest": [
            *((each.digest + each.image, b"") for each in packages),
            *((LAYER + image, b"") for image in images),
        ],
        "object": [(LAYER, Object((1 << 40), 1 << 20, len(images), 0).encode())],
        "usage": [
            (id_, Usage(1 << 20, len(some), sum(counts[each] for each in some)).encode())
            for id_, some in of_repository.items()
        ],
        "meta": [
            (keys.META_REPOSITORY, keys.u32(first + len(listed) - 1)),
            (keys.META_IMAGE, max(images)[4:]),
        ],
    }  # fmt: skip


def _record(package: _Package) -> bytes:
    return Manifest(media_type=MEDIA_TYPE, size=600, artifact_type=CONFIG_TYPE,
                    pushed_at=package.pushed_at, pushed_by="bench").encode()  # fmt: skip


def _open(environment: Environment, packages: list[_Package], listed: list[str]) -> None:
    """What only an open store has."""
    numbered = [((1 << 40) + at, each) for at, each in enumerate(packages, 1)]
    objects = [(each.digest, Object(number, 600, 1, 0).encode()) for number, each in numbered]
    _write(environment, "public", [(name.encode(), b"") for name in sorted(listed)])
    _write(environment, "object", sorted(objects))
    _write(environment, "inline", [(keys.u64(number), b"{}") for number, _ in numbered])


def _write(environment: Environment, table: str, rows: list[tuple[bytes, bytes]]) -> None:
    waiting = iter(rows)
    while some := list(islice(waiting, _IN_A_COMMIT)):
        environment.write(partial(_put, table=table, rows=some))


def _put(transaction: Transaction, table: str, rows: list[tuple[bytes, bytes]]) -> None:
    for key, value in rows:
        transaction.put(table, key, value)


def _order(environment: Environment, packages: list[_Package]) -> None:
    def put(transaction: Transaction) -> None:
        for id_, of_repository in groupby(packages, key=lambda each: each.image[:4]):
            some = list(of_repository)
            for order in Order:
                entries = sorted(_entry(order, each) for each in some)
                ordering.fill(transaction, names.prefix(keys.number(id_), order), entries)

    environment.write(put)


def _entry(order: Order, package: _Package) -> bytes:
    figures = Figures(package.pushed_at, 600)
    line = names.tag_line(package.tag)
    return entry_of(order, package.path, package.image, line, figures)
