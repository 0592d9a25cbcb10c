"""Where images are: numbers of `meta`, storages, repositories, images and their names."""

import os
from collections.abc import Iterator
from typing import Final

import msgspec

from cas.checks.drift import Drift, Mend, Run, drop, put
from index import keys
from index.records import Image, Pack, PackState, Repository, Storage
from index.repositories import iter_leaving
from index.transaction import Transaction
from index.view import View

_LAST: Final = b"\xff" * keys.MAX_KEY
_SECRETS: Final = {keys.META_STORE: 16, keys.META_SECRET: 32}  # row → bytes


# --- numbers ---


def numbers(run: Run) -> Iterator[Drift]:
    """No number is taken a second time, and what is random is there."""
    repository = run.view.last_before("repository_by_id", b"", _LAST)
    images = (keys.number(id_[4:]) for id_, _ in run.view.scan("image_by_id"))
    taken = (
        (keys.META_REPOSITORY, 4, keys.number(repository[0]) if repository else 0),
        (keys.META_IMAGE, 4, max(images, default=0)),
        (keys.META_OBJECT, 8, max(_last_object(run, table) for table in ("extent", "inline"))),
    )
    for row, size, last in taken:
        if keys.number(run.view.get("meta", row) or b"\0") < last:
            yield Drift(
                f"meta {row.decode()}: {last} is taken", put("meta", row, last.to_bytes(size))
            )
    for row, size in _SECRETS.items():
        if len(run.view.get("meta", row) or b"") != size:
            yield Drift(f"meta {row.decode()}: is missing", put("meta", row, os.urandom(size)))


def _last_object(run: Run, table: str) -> int:
    last = run.view.last_before(table, b"", _LAST)
    return 0 if last is None else keys.number(last[0][:8])


def active(run: Run) -> Iterator[Drift]:
    """Appends go to one pack, which is active; an empty index has none yet."""
    named = run.view.get("meta", keys.META_ACTIVE)
    following = run.view.get("meta", keys.META_NEXT)
    packs = dict(run.view.iter_packs())
    if named is None and not packs:
        return
    if following is None:
        yield Drift("meta pack:next: is missing", put("meta", keys.META_NEXT, _new_pack()))
    row = None if named is None else packs.get(keys.number(named))
    if row is None or row.state is not PackState.ACTIVE:
        yield Drift("meta pack:active: names no active pack", _activate(packs))
    for pack, other in packs.items():
        is_stray = other.state is PackState.ACTIVE and keys.u64(pack) != named
        if is_stray and row is not None and row.state is PackState.ACTIVE:
            sealed = other._replace(state=PackState.SEALED).encode()
            yield Drift(
                f"pack {pack:016x}: active, but appends go elsewhere",
                put("pack", keys.u64(pack), sealed),
            )


def _activate(packs: dict[int, Pack]) -> Mend:
    """The pack that says so is the active one; if none does, a new one. Its file is recovery's."""
    found = [keys.u64(pack) for pack, row in packs.items() if row.state is PackState.ACTIVE]
    name = found[0] if found else _new_pack()

    def mend(transaction: Transaction) -> None:
        if not found:
            transaction.put("pack", name, Pack(PackState.ACTIVE, 0, 0).encode())
        transaction.put("meta", keys.META_ACTIVE, name)

    return mend


def _new_pack() -> bytes:
    return keys.u64(int.from_bytes(os.urandom(8)) or 1)


# --- repositories ---


def repositories(run: Run) -> Iterator[Drift]:
    """A repository has a row by id, and a storage unless it is being taken apart."""
    rows = dict(iter_all_repositories(run.view))
    numbers = {row.id for row in rows.values()}
    renamed: dict[str, int] = {}  # name → the id that is its
    for key, value in run.view.scan("repository_by_id"):
        id_, name = keys.number(key), value.decode()
        row = rows.get(name)
        if row is not None and row.id != id_:
            if _is_its_own(run, name, row.id, id_):
                sentence = f"repository_by_id {id_}: a second number of {name}"
                yield Drift(sentence, drop(("repository_by_id", key)))
            else:
                renamed[name] = id_
                sentence = f"repository {name}: has the id {row.id}, and is {id_}"
                made = msgspec.structs.replace(row, id=id_)
                yield Drift(sentence, put("repository", value, made.encode()))
        elif id_ not in numbers:
            made = Repository(id=id_, revision=1, created_at=run.place.clock.now)
            yield Drift(
                f"repository {name}: its row is missing, it is private and hosted now",
                put("repository", value, made.encode()),
            )
    for name, row in rows.items():
        run.checked["repositories"] += 1
        yield from _repository(run, name, renamed.get(name, row.id))


def _is_its_own(run: Run, name: str, said: int, other: int) -> bool:
    """Whether a repository has the id that its row says, and not the `other` that is its by id."""
    owner = run.view.get("repository_by_id", keys.u32(said))
    if owner == name.encode():
        return True
    found = None if owner is None else run.view.repository(owner.decode())
    if found is not None and found.id == said:
        return False
    return _holds_images(run, said) or not _holds_images(run, other)


def _holds_images(run: Run, repository: int) -> bool:
    return next(run.view.scan("image", keys.u32(repository)), None) is not None


def _repository(run: Run, name: str, number: int) -> Iterator[Drift]:
    named = run.view.get("repository_by_id", keys.u32(number))
    found = None if named is None else run.view.repository(named.decode())
    if named != name.encode() and found is not None and found.id == number:
        yield Drift(f"repository {name}: has the id of {named and named.decode()}")
    elif named != name.encode():
        mend = put("repository_by_id", keys.u32(number), name.encode())
        yield Drift(f"repository {name}: its row by id differs", mend)
    storage = name.partition("/")[0]
    if run.view.storage(storage) is None and not name.startswith(keys.LEAVING):
        value = Storage(created_at=run.place.clock.now).encode()
        sentence = f"repository {name}: its storage is missing"
        yield Drift(sentence, put("storage", storage.encode(), value))


def iter_all_repositories(view: View) -> Iterator[tuple[str, Repository]]:
    """Those too that are being taken apart."""
    yield from view.iter_repositories()
    yield from iter_leaving(view)


def public(run: Run) -> Iterator[Drift]:
    """A repository has a row among the public ones while it is."""
    for name, row in run.view.iter_repositories():
        if row.visibility == "public" and run.view.get("public", name.encode()) is None:
            sentence = f"repository {name}: is public, but not listed as such"
            yield Drift(sentence, put("public", name.encode()))
    for key, _ in run.view.scan("public"):
        found = run.view.repository(key.decode())
        if found is None or found.visibility != "public":
            sentence = f"public {key.decode()}: there is no such repository, or it is private"
            yield Drift(sentence, drop(("public", key)))


# --- images ---


def images(run: Run) -> Iterator[Drift]:
    """An image has a name and an id that name each other; what is linked is in an image."""
    misnamed: dict[bytes, bytes] = {}  # id → key of an image that its row by id does not name
    for key, value in run.view.scan("image"):
        run.checked["images"] += 1
        id_ = Image.decode(value).id
        named = run.view.get("image_by_id", id_)
        if named != key[4:]:
            misnamed[id_] = key
            if named is None or _id_of(run, id_[:4] + named) == id_:
                yield _misnamed(key, id_, named)
    for id_, path in run.view.scan("image_by_id"):
        if _id_of(run, id_[:4] + path) != id_:
            yield _lost_image(run, id_, path, misnamed.get(id_))
    for id_ in _iter_linked(run):
        if run.view.get("image_by_id", id_) is None and id_ not in misnamed:
            yield _unnamed(run, id_)


def _id_of(run: Run, key: bytes) -> bytes | None:
    value = run.view.get("image", key)
    return None if value is None else Image.decode(value).id


def _misnamed(key: bytes, id_: bytes, named: bytes | None) -> Drift:
    sentence = f"image {key[4:].decode()}: its row by id differs"
    if named is None:
        return Drift(sentence, put("image_by_id", id_, key[4:]))
    return Drift(f"{sentence}, a second name of {named.decode()}", drop(("image", key)))


def _iter_linked(run: Run) -> Iterator[bytes]:
    """Ids of images that have links; a step for each."""
    after = None
    while (row := next(run.view.scan("link", after=after), None)) is not None:
        yield row[0][: keys.IMAGE_SIZE]
        after = row[0][: keys.IMAGE_SIZE] + b"\xff" * keys.IMAGE_SIZE  # beyond any digest


def _holds_links(run: Run, id_: bytes) -> bool:
    return next(run.view.scan("link", id_), None) is not None


def _lost_image(run: Run, id_: bytes, path: bytes, key: bytes | None) -> Drift:
    """The name leads elsewhere, or nowhere; `key` is of the image that says it has this id."""
    sentence = f"image_by_id {id_.hex()} {path.decode()}: there is no such image"
    other = _id_of(run, id_[:4] + path)
    if other is None and key is not None:
        return Drift(sentence, put("image_by_id", id_, key[4:]))
    is_named = other is not None and run.view.get("image_by_id", other) == path
    if not _holds_links(run, id_) or is_named:  # in the second case it has no name, then
        return Drift(sentence, drop(("image_by_id", id_)))
    return Drift(sentence, put("image", id_[:4] + path, Image(id_, 0, 0, 0).encode()))


def _unnamed(run: Run, id_: bytes) -> Drift:
    """Both rows of a name are lost: it gets one under which it can be found."""
    path = f"lost/{id_[4:].hex()}".encode()
    sentence = f"image {id_.hex()}: its image is missing"
    if run.view.get("repository_by_id", id_[:4]) is None:
        return Drift(f"{sentence}, and its repository: create one, and push again")

    def mend(transaction: Transaction) -> None:
        transaction.put("image", id_[:4] + path, Image(id_, 0, 0, 0).encode())
        transaction.put("image_by_id", id_, path)

    return Drift(f"{sentence}, it is called {path.decode()} now", mend)
