"""What `orlop repository create` and `update` say of the upstream of a proxy repository."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from frontend.commands.common import Misuse
from frontend.commands.names import parse_size
from frontend.commands.passwords import ask_password, read_password


def _check_seconds(_: object, value: int | None) -> None:
    if value is not None and value < 0:
        raise ValueError("a time is no less than 0 seconds")


def _check_size(_: object, value: str | None) -> None:
    if value is not None:
        parse_size(value)


_PROXY: Final = "What it is a cache of: https://HOST[:PORT][/PATH] of another registry."
_USER: Final = "A user there; the password is asked for."
_STDIN: Final = "Read the password there from standard input."
_TTL: Final = "Seconds for which a tag is not asked for again (default 300)."
_OFFLINE: Final = "Ask nothing there, and serve what is here; or ask again."
_SIZE: Final = "Bytes it may hold before what was pulled longest ago goes: 50GB, 1TiB; 0: no limit."


@Parameter(name="*", group=Group("Proxy of another registry"))
@dataclass(frozen=True, kw_only=True)
class UpstreamAsked:
    """What the person said."""

    proxy: Annotated[str | None, Parameter(help=_PROXY)] = None
    upstream_user: Annotated[str | None, Parameter(help=_USER)] = None
    upstream_password_stdin: Annotated[bool, Parameter(negative="", help=_STDIN)] = False
    ttl: Annotated[int | None, Parameter(validator=_check_seconds, help=_TTL)] = None
    offline: Annotated[bool | None, Parameter(negative="--online", help=_OFFLINE)] = None
    max_size: Annotated[str | None, Parameter(validator=_check_size, help=_SIZE)] = None

    def new(self, name: str) -> dict[str, Any]:
        """What is to be created, if it is a proxy.

        Raises:
            Misuse, Failure
        """
        said = self._settings()
        if self.proxy is None:
            if said or self.upstream_password_stdin:
                raise Misuse("these are settings of a proxy: name its upstream with --proxy URL")
            return {}
        return {"kind": "proxy", "upstream": said | self._password(name)}

    def change(self, name: str) -> dict[str, Any]:
        """What is to be changed, if anything is.

        Raises:
            Misuse, Failure
        """
        said = self._settings() | self._password(name)
        return {"upstream": said} if said else {}

    def _settings(self) -> dict[str, Any]:
        said = {
            "url": self.proxy,
            "username": self.upstream_user,
            "tag_ttl_seconds": self.ttl,
            "offline": self.offline,
            "max_bytes": None if self.max_size is None else parse_size(self.max_size),
        }
        return {name: value for name, value in said.items() if value is not None}

    def _password(self, name: str) -> dict[str, str]:
        """The password there; none of a user that is taken away."""
        if self.upstream_password_stdin:
            return {"password": read_password()}
        if self.upstream_user:
            prompt = f"Password of {self.upstream_user} at the upstream of {name}: "
            return {"password": ask_password(prompt)}
        return {} if self.upstream_user is None else {"password": ""}


NO_UPSTREAM: Final = UpstreamAsked()
