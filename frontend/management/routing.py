"""The management API as data: each call a `Route`, from which it is registered and described.

A request is admitted by `door` (who asks, and may he) before one byte of its body is read; then its
query and its body become values of the route's types, and the handler gets them as `Asked`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import msgspec
import trio
from quart import Quart, Response, request

from frontend.domain.faults import RequestInvalid
from frontend.domain.message import Client, Principal
from frontend.domain.rights import Action

S = TypeVar("S", bound=msgspec.Struct)

BODY_LIMIT: Final = 64 << 10  # bytes, of a route that does not say otherwise
PER_PAGE: Final = 100
MAX_PER_PAGE: Final = 1000
STREAM: Final = "application/x-ndjson"  # whoever accepts it hears how far the work is
ADMITTED: Final = "orlop.admitted"  # in scope["state"]: what the door found out
GONE: Final = "orlop.gone"  # beside it: waits until the client has left


@dataclass(frozen=True, slots=True)
class Anybody:
    """Needs no credentials, and does not look at any."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Anybody; whoever has an account sees more. Credentials that are wrong are refused."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever is signed in. `is_direct`: by password or session, not by an access token."""

    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """The account that the path names, or an administrator. `is_direct` as for `Account`."""

    to: str
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class Admin:
    """An administrator of this registry; `to` says what for."""

    to: str


@dataclass(frozen=True, slots=True)
class OnRepository:
    """Whoever may do this in the repository that the path names; others get 404, or 403."""

    action: Action
    to: str


Access = Anybody | Visitor | Account | Own | Admin | OnRepository


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, as its handler sees it; `query` and `body` are of the route's types, or None."""

    principal: Principal
    client: Client
    place: Mapping[str, str] = field(default_factory=dict)  # the path's variable parts
    query: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # lower-case names
    wait_gone: Callable[[], Awaitable[None]] = trio.sleep_forever  # until the client has left

    @property
    def repository(self) -> str:
        """The name `storage/repository` of a path with both."""
        return f"{self.place['storage']}/{self.place['name']}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a value of the route's answer type, and headers beside it."""

    value: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    status: int | None = None  # another than the route's


Handler = Callable[[Asked], Awaitable[Reply | Response]]


class Entrance(Protocol):
    """What the door lets somebody into: a call of the API, or a page."""

    @property
    def name(self) -> str:
        """Its name in the table of URLs."""

    @property
    def access(self) -> Access:
        """Who may."""

    @property
    def body_limit(self) -> int:
        """Bytes."""

    @property
    def is_page(self) -> bool:
        """For browsers: a form proves by a field of its own what a call proves by a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call. `answer` is the type of its JSON; None: it has no body."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str  # with <parts>
    access: Access
    handler: Handler
    summary: str
    query: type[msgspec.Struct] | None = None
    body: Any = None  # a type
    is_body_optional: bool = False
    body_limit: int = BODY_LIMIT
    answer: Any = None  # a type
    status: int = 200
    also: tuple[int, ...] = ()  # other statuses with an answer of that type
    text: str = ""  # the answer is text of this media type
    is_streamed: bool = False  # as STREAM, for who accepts that
    has_etag: bool = False  # in the answer
    takes_if_match: bool = False  # and answers 412 when it is another by now

    @property
    def name(self) -> str:
        """Its name in the table of URLs."""
        return f"{self.method} {self.path}"

    @property
    def is_page(self) -> bool:
        """It is none."""
        return False


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller, as the door let him in, and where to."""

    principal: Principal
    route: Entrance
    headers: Mapping[str, str] = field(repr=False)
    client: Client


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a list."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1
    per_page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = PER_PAGE  # cut to MAX_PER_PAGE

    @property
    def size(self) -> int:
        """How many items a page has."""
        return min(self.per_page, MAX_PER_PAGE)

    @property
    def start(self) -> int:
        """How many items come before the page."""
        return (self.page - 1) * self.size


def page_of(paging: Paging, items: Sequence[Any], total: int | None = None) -> dict[str, Any]:
    """A list's page: cut out of all `items`; or, with their `total`, `items` are the page."""
    if total is None:
        total, items = len(items), items[paging.start : paging.start + paging.size]
    return {"page": paging.page, "per_page": paging.size, "total": total, "items": items}


def register(app: Quart, routes: Sequence[Route]) -> None:
    """Add `routes` to `app`; the door has admitted whoever comes through them."""
    for route in routes:
        app.add_url_rule(route.path, route.name, _view(route), methods=[route.method])


def _view(route: Route) -> Callable[..., Awaitable[Response]]:
    async def view(**place: str) -> Response:
        said = {name: values[-1] for name, values in request.args.lists()}
        query = None if route.query is None else read_query(route.query, said)
        body = None if route.body is None else await _body(route)
        who: Admitted = request.scope["state"][ADMITTED]
        gone: Callable[[], Awaitable[None]] = request.scope["state"][GONE]
        asked = Asked(who.principal, who.client, place, query, body, who.headers, gone)
        answer = await route.handler(asked)
        return answer if isinstance(answer, Response) else _response(route, answer)

    return view


def read_query(kind: type[S], said: Mapping[str, Any]) -> S:
    """The parameters `said` as a `kind`.

    Raises:
        RequestInvalid: a parameter is unknown, or not as expected.
    """
    known = {each.encode_name for each in msgspec.structs.fields(kind)}
    for name in said:
        if name not in known:
            raise RequestInvalid(f"no parameter {name[:50]!r} here: {', '.join(sorted(known))}")
    try:
        return msgspec.convert(said, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestInvalid(f"the query is not as expected: {error}") from None


async def _body(route: Route) -> Any:  # noqa: ANN401 - the route's type
    content = await request.get_data(as_text=False)
    if not content and route.is_body_optional:
        return route.body()
    try:
        return msgspec.json.decode(content, type=route.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalid(f"the body is not as expected: {error}") from None


def _response(route: Route, reply: Reply) -> Response:
    status = reply.status or route.status
    if reply.value is None:
        response = Response(b"", status)
        del response.headers["Content-Type"]
    else:
        content = msgspec.json.encode(reply.value)
        response = Response(content, status, content_type="application/json")
    # What it says is of one moment and for one caller.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    for name, value in reply.headers:
        response.headers[name] = value
    return response
