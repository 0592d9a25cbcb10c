"""Who may do what: the one place that decides access, and words the challenge.

A principal has a role in a repository. An access token narrows its account to scopes, and a
short-lived token to what it was asked for; neither grants anything by itself: rights are decided
again on every use. A private and a missing repository answer the same: 401 to the anonymous,
NAME_UNKNOWN to whoever is signed in without rights.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from frontend.domain.faults import Denied, NameUnknown, Unauthorized
from frontend.domain.message import Evidence, Principal, Realm, Scope
from index.changes import ImageName
from index.records import Repository

Action = Literal["pull", "push", "delete", "admin"]
Role = Literal["reader", "writer", "admin"]
ACTIONS: Final = frozenset(("pull", "push", "delete"))  # what tokens can be asked for
CATALOG: Final = "registry:catalog:*"  # scope, and the key of its grant: no image has such a name

# Whoever pushes may move tags, but only who administers may make bytes go.
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "reader": frozenset(("pull",)),
    "writer": frozenset(("pull", "push")),
    "admin": frozenset(("pull", "push", "delete", "admin")),
}
_NONE: Final[frozenset[str]] = frozenset()

_MAX_SCOPES: Final = 100  # of one token: a mount needs two
# Source: distribution, docs/content/spec/auth/scope.md; the class in brackets is deprecated.
_SCOPE: Final = re.compile(
    r"(?P<type>[a-z0-9]+)(?:\([a-z0-9]+\))?:(?P<name>[^\s\"\\]{1,512}):(?P<actions>[a-z*,]*)"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A repository `storage/name` as one principal finds it; `evidence` is the row of its role."""

    name: str
    record: Repository | None
    role: str = ""
    evidence: tuple[Evidence, ...] = ()


def allowed(principal: Principal, action: Action, place: Place) -> bool:
    """Whether the principal has the right, whatever its short-lived token was asked for."""
    if place.record is None:
        return False
    if action == "pull" and place.record.visibility == "public":
        return True
    if not covered(principal.scopes, action, place.name):
        return False
    return principal.is_admin or action in ROLES.get(place.role, _NONE)


def covered(scopes: Iterable[Scope] | None, action: Action, name: str) -> bool:
    """Whether an access token, if there is one, reaches an action in a repository."""
    if scopes is None:
        return True
    wanted = ("*", f"{name.partition('/')[0]}/*", name)
    return any(scope.repository in wanted and action in scope.actions for scope in scopes)


def granted(principal: Principal, action: str, name: str) -> bool:
    """Whether the token, if any, covers the action on an image's name (or CATALOG)."""
    return principal.grants is None or action in principal.grants.get(name, ())


def may(principal: Principal, action: Action, name: ImageName, place: Place) -> bool:
    """Whether the action is possible, without saying why not (a mount's source)."""
    return granted(principal, action, str(name)) and allowed(principal, action, place)


def require(principal: Principal, action: Action, name: ImageName, place: Place) -> Repository:
    """Return the repository's record when the principal may do `action` in image `name`.

    Raises:
        Unauthorized: anonymous, or the token does not cover it.
        NameUnknown: signed in, and the repository is missing or not to be known of.
        Denied: signed in, and may pull, but not this.
    """
    if not granted(principal, action, str(name)):
        raise Unauthorized(
            f"the token does not cover {action} on {name}",
            scope_of(name, action),
            "insufficient_scope",
        )
    if place.record is not None and allowed(principal, action, place):
        return place.record
    if principal.is_anonymous:
        raise Unauthorized(scope=scope_of(name, action))
    if allowed(principal, "pull", place):
        raise Denied(action, name.repository)
    raise NameUnknown(str(name))


def require_account(principal: Principal) -> None:
    """Refuse the anonymous, token or not: a wrong password must never seem to succeed.

    Raises:
        Unauthorized: with a challenge that asks for no scope.
    """
    if principal.is_anonymous:
        raise Unauthorized


def require_catalog(principal: Principal) -> None:
    """Refuse whoever has neither account nor token, or a token for something else.

    Raises:
        Unauthorized: with a challenge for the catalog.
    """
    if principal.is_anonymous and principal.grants is None:
        raise Unauthorized(scope=CATALOG)
    if not granted(principal, "*", CATALOG):
        raise Unauthorized(scope=CATALOG, error="insufficient_scope")


def scope_of(name: ImageName | str, action: Action) -> str:
    """The scope to ask for, of a name of the grammar: to push, clients need to pull too."""
    return f"repository:{name}:{'pull,push' if action == 'push' else action}"


def challenge(realm: Realm, error: Unauthorized) -> str:
    """The WWW-Authenticate value. Its parts are of grammars without quotes.

    Bearer alone: docker takes every challenge it is offered, and beside a Basic one fails with "no
    basic auth credentials" when it has none, so nobody could pull a public image. Basic credentials
    are accepted all the same.
    Source: distribution, internal/client/auth/session.go, ModifyRequest and basicHandler.
    """
    if error.is_basic:
        return f'Basic realm="{realm.service}"'
    said = {"realm": realm.url, "service": realm.service}
    parts = said | {"scope": error.scope, "error": error.error}
    return "Bearer " + ",".join(f'{key}="{value}"' for key, value in parts.items() if value)


def parse_scopes(texts: Iterable[str]) -> dict[str, frozenset[str]]:
    """What a token covers that was asked for with these scopes: image name (or CATALOG) → actions.

    Each text may hold several scopes with spaces between. Scopes of other types, unknown actions
    and what is not of the grammar are left out: a partial grant is no error. A name may hold
    colons.
    """
    grants: dict[str, frozenset[str]] = {}
    scopes = [scope for text in texts for scope in text.split()]
    for scope in scopes[:_MAX_SCOPES]:
        match = _SCOPE.fullmatch(scope)
        if match is None:
            continue
        actions = frozenset(match["actions"].split(","))
        if match["type"] == "repository":
            wanted = ACTIONS if "*" in actions else actions & ACTIONS
            grants[match["name"]] = grants.get(match["name"], frozenset()) | wanted
        elif match["type"] == "registry" and match["name"] == "catalog" and "*" in actions:
            grants[CATALOG] = frozenset("*")
    return grants
