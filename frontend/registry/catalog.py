"""The catalog: full image names in byte order, though repositories are kept in another order.

`storage/a/…` sorts after `storage/a-b/…`, because `-` and `.` come before `/`, while the repository
`storage/a` is stored before `storage/a-b`. So a repository waits until those whose names continue
its own by `-` or `.` have been listed. Nothing is read that the page does not need.
"""

from collections.abc import Iterable, Iterator

from cas.verbs import View
from frontend.access.standing import iter_visible, may
from frontend.domain.message import Principal
from index.records import Repository

Row = tuple[str, Repository]


def iter_catalog(principal: Principal, view: View, last: str) -> Iterator[str]:
    """Names of images that the principal may pull, from beyond `last`, which need not exist."""
    storage, _, rest = last.partition("/")
    name, slash, path = rest.partition("/")
    repository = f"{storage}/{name}" if slash else last
    waiting = list(_iter_ancestors(view, repository))
    if slash:
        current = view.repository(repository)
        if current is not None:
            yield from _iter_images(principal, view, (repository, current), path)
        following = iter_visible(
            view, principal, repository + "/"
        )  # beyond those that continue its name
    else:
        following = _iter_from(principal, view, repository)
    for row in iter_ordered(waiting, following):
        yield from _iter_images(principal, view, row, "")


def iter_ordered(waiting: list[Row], rows: Iterable[Row]) -> Iterator[Row]:
    """Order repositories as their images' names are ordered.

    `waiting` are those that began before and sort after what comes first, outermost first.
    """
    for row in rows:
        while waiting and not _continues(row[0], waiting[-1][0]):
            yield waiting.pop()
        waiting.append(row)
    while waiting:
        yield waiting.pop()


def _continues(name: str, shorter: str) -> bool:
    return name.startswith(shorter) and name[len(shorter) :][:1] in ("-", ".")


def _iter_ancestors(view: View, repository: str) -> Iterator[Row]:
    """Existing repositories whose names `repository` continues, shortest first."""
    for end, character in enumerate(repository):
        if character in "-." and end > 0:
            record = view.repository(repository[:end])
            if record is not None:
                yield repository[:end], record


def _iter_from(principal: Principal, view: View, repository: str) -> Iterator[Row]:
    """Repositories that may be seen from `repository` on, itself included."""
    record = view.repository(repository) if repository else None
    if record is not None:
        yield repository, record
    yield from iter_visible(view, principal, repository)


def _iter_images(principal: Principal, view: View, row: Row, after: str) -> Iterator[str]:
    name, record = row
    if may(view, principal, "pull", name, record):
        for path, _ in view.iter_images(record.id, after):
            yield f"{name}/{path}"
