"""A page as data: where it is, who may see it, and what it answers.

    Page(
        method="GET",
        path="/r/<storage>/<name>",
        access=OnRepository("pull", "see"),
        handler=self.show,
        query=Listing,
    )

A handler gets a `Visit` and answers `Shown` (a template and its values) or `Redirect`. It raises
what its calls raise: the site makes an error page of that or, where a form has `again`, shows the
page of the form once more with `visit.refusal` set and the status of the error.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self

import msgspec

from frontend.domain.message import Client, Principal
from frontend.management.routing import Access
from frontend.web.calls import Calls
from frontend.web.forms import Form, Refusal, Typed
from frontend.web.links import query_link

FORM_LIMIT: Final = 64 << 10  # bytes, of a form that does not say otherwise
Theme = Literal["", "light", "dark"]  # empty: as the system has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request for a page, as its handler and its template see it."""

    principal: Principal
    client: Client
    calls: Calls
    path: str  # decoded
    place: Mapping[str, str] = field(default_factory=dict)  # the path's variable parts
    query: Any = None  # of the page's type
    said: Mapping[str, str] = field(default_factory=dict)  # the query as it came
    form: Form = field(default_factory=Form)
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    csrf: str = ""  # of the session, for the forms on the page
    theme: Theme = ""
    flash: str = ""  # what was done by the form that led here
    refusal: Refusal | None = None
    now: float = 0.0  # seconds since 1970

    @property
    def is_signed_in(self) -> bool:
        """Whether there is somebody."""
        return not self.principal.is_anonymous

    @property
    def is_administrator(self) -> bool:
        """Of this registry."""
        return self.principal.is_administrator

    @property
    def repository(self) -> str:
        """The name `storage/name` of a path with both."""
        return f"{self.place['storage']}/{self.place['name']}"

    @property
    def place_of_repository(self) -> dict[str, Any]:
        """The same, as the API's calls of a repository take it."""
        return {"storage": self.place["storage"], "name": self.place["name"]}

    @property
    def may_change_repository(self) -> bool:
        """Whether the visitor administers the repository of the path."""
        one = "/api/v1/repositories/<storage>/<name>"
        return self.calls.may("PATCH", one, **self.place_of_repository)

    @property
    def host(self) -> str:
        """What names of images begin with: where clients of this visitor find us."""
        return self.client.realm.service

    @property
    def url(self) -> str:
        """Where browsers of this visitor find us: scheme and host."""
        return self.client.realm.url.removesuffix("/v2/token")

    @property
    def here(self) -> str:
        """This page, with its query."""
        return query_link(self.path, self.said)

    def link(self, **changed: object) -> str:
        """This page with another query; what is None or empty is left out."""
        return query_link(self.path, {**self.said, **changed})

    def placed(self, fields: Sequence[tuple[str, str]]) -> Self:
        """The visit with its refusal beside a field, where the API's words alone say which it is.

        `fields`: how the words begin, and the field that they are about then.
        """
        refusal = self.refusal
        if refusal is None or refusal.field:
            return self
        found = next((name for words, name in fields if refusal.text.startswith(words)), "")
        return replace(self, refusal=replace(refusal, field=found))

    def typed(self, action: str) -> Typed:
        """The form of this page that is sent to the path `action`."""
        if self.refusal is None or self.refusal.action != action:
            return Typed(action, self.csrf)
        return Typed(action, self.csrf, self.form, self.refusal)


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: a template of `templates/`, and what it shows. `headers` are beside the usual."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Done: the browser goes on to the page `to`, which says `flash` once."""

    to: str  # a path of ours
    flash: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of another kind than a page, as they are."""

    content: bytes
    kind: str  # the media type
    headers: tuple[tuple[str, str], ...]


Answer = Shown | Redirect | Sent
Handler = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, or what one form of a page does."""

    method: Literal["GET", "POST"]
    path: str  # with <parts>; <image:image> and <folder:folder> may have slashes
    access: Access
    handler: Handler
    query: type[msgspec.Struct] | None = None
    again: Handler | None = None  # shows the page with the form, when the form is refused
    body_limit: int = FORM_LIMIT

    @property
    def name(self) -> str:
        """Its name in the table of URLs."""
        return f"{self.method} {self.path}"

    @property
    def is_page(self) -> bool:
        """It is one."""
        return True
