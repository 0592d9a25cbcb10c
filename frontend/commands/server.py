"""Which server a verb asks, and as whom: the one of a data directory, or one elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from frontend.commands.common import Failure, Misuse, data_directory

URL_VARIABLE: Final = "ORLOP_URL"
TOKEN_VARIABLE: Final = "ORLOP_TOKEN"  # noqa: S105 - a variable's name
PASSWORD_VARIABLE: Final = "ORLOP_PASSWORD"  # noqa: S105 - a variable's name

_AGAIN: Final = f"; put a token that is valid into {TOKEN_VARIABLE}"

_DATA: Final = "Its data directory, on this machine (default ./orlop-data): needs no token."
_URL: Final = f"Its address elsewhere, https://HOST[:PORT] (or {URL_VARIABLE})."
_TOKEN: Final = (
    "An access token for it. Others on this machine can see it here: "
    f"{TOKEN_VARIABLE} or --token-file are better."
)
_LOGIN: Final = f"A user's name instead; the password is asked for (or {PASSWORD_VARIABLE})."
_CA: Final = "Who signed its certificate, in PEM (default: the system's authorities)."


@Parameter(name="*", group=Group("Which server"))
@dataclass(frozen=True, kw_only=True)
class Server:
    """What the person said."""

    data: Annotated[Path | None, Parameter(help=_DATA)] = None
    url: Annotated[str | None, Parameter(help=_URL)] = None
    token: Annotated[str | None, Parameter(help=_TOKEN)] = field(default=None, repr=False)
    token_file: Annotated[Path | None, Parameter(help="A file with the token.")] = None
    login: Annotated[str | None, Parameter(help=_LOGIN)] = None
    ca: Annotated[Path | None, Parameter(help=_CA)] = None

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """One call; returns the answer's JSON, None where it has no body."""
        with _told():
            return self._client.call(method, path, body)

    def items(self, path: str) -> list[Any]:
        """All items of a list."""
        from frontend.client import iter_items

        with _told():
            return list(iter_items(self._client, path))

    def stream(self, path: str, body: object = None) -> Iterator[dict[str, Any]]:
        """What the server tells while it works."""
        with _told():
            yield from self._client.stream(path, body)

    @property
    def _client(self) -> Any:  # noqa: ANN401 - a Client, imported late
        url = self._elsewhere()
        if url is None:
            from frontend.local_client import LocalClient

            return LocalClient(data_directory(self.data))
        from frontend.remote_client import RemoteClient

        return RemoteClient(url, self._authorization(), self.ca, "" if self.login else _AGAIN)

    def _elsewhere(self) -> str | None:
        """The URL, unless a data directory is meant."""
        if self.url is not None and self.data is not None:
            raise Misuse("--data is a server of this machine, --url one elsewhere: name one")
        url = self.url or (os.environ.get(URL_VARIABLE) if self.data is None else None)
        if not url and any((self.token, self.token_file, self.login, self.ca)):
            raise Misuse("--token, --token-file, --login and --ca go with --url")
        return url or None

    def _authorization(self) -> str:
        from frontend.remote_client import basic, bearer

        if sum(each is not None for each in (self.token, self.token_file, self.login)) > 1:
            raise Misuse("--token, --token-file and --login: name one of them")
        if self.login is not None:
            return basic(self.login, self.password)
        if self.token_file is not None:
            return bearer(_read(self.token_file))
        token = self.token or os.environ.get(TOKEN_VARIABLE)
        if not token:
            raise Failure(
                f"a server elsewhere needs a token: put one into {TOKEN_VARIABLE}, "
                "or name a file with --token-file, or a user with --login"
            )
        return bearer(token.strip())

    @cached_property
    def password(self) -> str:
        """That of `login`; asked for once."""
        from frontend.commands.passwords import ask_password

        return os.environ.get(PASSWORD_VARIABLE) or ask_password(f"Password of {self.login}: ")


HERE: Final = Server()  # what is meant when nothing was said


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise Failure(f"{path}: no file with a token that can be read") from None


@contextmanager
def _told() -> Iterator[None]:
    from frontend.client import CommandFailed

    try:
        yield
    except CommandFailed as error:
        raise Failure(str(error)) from None
