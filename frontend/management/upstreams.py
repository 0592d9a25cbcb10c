"""The upstream of a proxy repository, as the management API has it. Its password is never shown."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from frontend.domain.discreet import Discreet
from frontend.domain.faults import RequestInvalid
from frontend.domain.outbound import Credentials
from frontend.domain.upstream import Upstream
from frontend.domain.urls import UrlInvalid
from index.records import Source

Url = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Username = Annotated[str, msgspec.Meta(max_length=200)]
Password = Annotated[str, msgspec.Meta(max_length=8192)]  # a registry's token may be long
Seconds = Annotated[int, msgspec.Meta(ge=0, le=366 * 86400)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class NewUpstream(Discreet, msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a proxy repository gets its images: `https://host[:port][/prefix]`.

    A tag is asked for again after `tag_ttl_seconds`; `offline` asks for nothing. Beyond `max_bytes`
    (0: no limit) the images that were pulled longest ago go.
    """

    url: Url
    username: Username = ""
    password: Password = ""
    tag_ttl_seconds: Seconds = 300
    offline: bool = False
    max_bytes: Bytes = 0

    def source(self) -> Source:
        """What is kept, but for the password.

        Raises:
            RequestInvalid
        """
        made = Source(
            url=self.url,
            username=self.username,
            tag_ttl_seconds=self.tag_ttl_seconds,
            offline=self.offline,
            max_bytes=self.max_bytes,
        )
        check(made)
        if self.password and not self.username:
            raise RequestInvalid("the password of the upstream needs its username")
        return made


class UpstreamChange(Discreet, msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A merge patch of an upstream: absent stays, null is the default again."""

    url: Url | UnsetType = UNSET
    username: Username | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    tag_ttl_seconds: Seconds | UnsetType | None = UNSET
    offline: bool | UnsetType | None = UNSET
    max_bytes: Bytes | UnsetType | None = UNSET

    def merged(self, source: Source) -> Source:
        """The upstream after the change, but for its password.

        Raises:
            RequestInvalid
        """
        wanted = {
            name: _DEFAULTS[name] if value is None else value
            for name in Source.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }
        changed = msgspec.structs.replace(source, **wanted)
        check(changed)
        is_elsewhere = (changed.url, changed.username) != (source.url, source.username)
        if is_elsewhere and self.password is UNSET and changed.username:
            # Or whoever may change the address could have the password sent to himself.
            raise RequestInvalid("another url or username of the upstream needs its password too")
        return changed


class UpstreamShown(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream, without its password."""

    url: str
    username: str
    tag_ttl_seconds: int
    offline: bool
    max_bytes: int


def shown_upstream(source: Source | None) -> UpstreamShown | None:
    """An upstream as it is shown."""
    return None if source is None else UpstreamShown(**msgspec.structs.asdict(source))


def check(source: Source) -> None:
    """Refuse what no client can be made of.

    Raises:
        RequestInvalid
    """
    try:
        credentials = Credentials(source.username, "") if source.username else None
        Upstream.parse(source.url, credentials)
    except UrlInvalid as error:
        raise RequestInvalid(f"the upstream {source.url[:100]!r} cannot be used: {error}") from None


_DEFAULTS = {
    field.name: field.default for field in msgspec.structs.fields(NewUpstream) if not field.required
}
