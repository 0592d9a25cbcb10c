"""What a principal has to do with repositories, on one snapshot: `domain.rights` with its rows."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge

from frontend.access import grants
from frontend.domain.message import Evidence, Principal
from frontend.domain.rights import Action, Place, allowed
from index.expectations import Expectation, RecordIs
from index.records import Repository
from index.view import View


def find_place(view: View, principal: Principal, name: str) -> Place:
    """The repository `storage/name` as the principal finds it."""
    record = view.repository(name)
    if record is None or principal.is_anonymous or principal.is_admin:
        return Place(name, record)
    row = grants.find_row(view, record.id, principal.name)
    evidence = Evidence(grants.TABLE, grants.row_key(record.id, principal.name), row)
    return Place(name, record, "" if row is None else row.decode(), (evidence,))


def may(
    view: View, principal: Principal, action: Action, name: str, record: Repository | None
) -> bool:
    """Whether the principal has the right in the repository `name`, whose record this is."""
    if record is None or principal.is_anonymous or principal.is_admin:
        return allowed(principal, action, Place(name, record))
    row = grants.find_row(view, record.id, principal.name)
    return allowed(principal, action, Place(name, record, "" if row is None else row.decode()))


def iter_visible(
    view: View, principal: Principal, after: str = ""
) -> Iterator[tuple[str, Repository]]:
    """Repositories that the principal may pull, in the order of their names, from beyond `after`.

    It costs what may be seen, not what is hidden; an administrator's token with scopes apart.
    """
    if principal.is_admin:
        for name, record in view.iter_repositories(after):
            if allowed(principal, "pull", Place(name, record)):
                yield name, record
        return
    roles = {} if principal.is_anonymous else dict(grants.iter_roles(view, principal.name))
    for name, record in merge(view.iter_public(after), _iter_granted(view, roles, after)):
        if allowed(principal, "pull", Place(name, record, roles.get(record.id, ""))):
            yield name, record


def _iter_granted(view: View, roles: Iterable[int], after: str) -> Iterator[tuple[str, Repository]]:
    """Private repositories of these numbers, in the order of their names, from beyond `after`."""
    names = sorted(name for number in roles if (name := view.repository_name(number)) is not None)
    for name in names[bisect_right(names, after) :]:
        record = view.repository(name)
        if record is not None and record.visibility != "public":
            yield name, record


def expect(evidence: Iterable[Evidence]) -> tuple[Expectation, ...]:
    """That what a decision rests on is as it was, for the commit of what was decided."""
    return tuple(RecordIs(each.table, each.key, each.value) for each in evidence)


def holds(view: View, evidence: Iterable[Evidence]) -> bool:
    """Whether what a decision rests on is as it was."""
    return all(view.record(each.table, each.key) == each.value for each in evidence)
