"""Configuration: `orlop.toml`, then `ORLOP_SECTION__KEY`, then flags; unknown keys are errors.

Each section is a struct below; a value that comes later wins. docs/settings.md describes each key.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from frontend.domain.networks import Allowance
from frontend.domain.outbound import OutboundProxy
from frontend.domain.peer import Proxies, Says

FILE_NAME = "orlop.toml"
_PREFIX = "ORLOP_"
_PLAIN_URL = re.compile(r"[A-Za-z0-9:/\[\]._~%!$&'()*+,;=-]+")  # RFC 3986, 2.2 without ? # @

_LISTS = ("http.trusted_proxies", "proxy.allow")
# What cannot be read is found out before it is used; a ValueError says what is wrong.
_CHECKS: dict[str, Callable[[Any], object]] = {
    "http.trusted_proxies": Proxies,
    "proxy.allow": Allowance.parse,
    "proxy.http_proxy": OutboundProxy.parse,
    "proxy.https_proxy": OutboundProxy.parse,
}

Seconds = Annotated[float, Meta(gt=0)]
Lifetime = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=0)]
Workers = Annotated[int, Meta(ge=1, le=64)] | Literal["auto"]  # auto: one for each core


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """How connections are accepted and how long they may keep us waiting."""

    listen: str = "127.0.0.1:5080"
    workers: Workers = 1  # processes that serve; with one, it has the store in itself
    public_url: str = ""  # as clients reach us; the token realm is made of it, never of Host
    tls_certificate: str = ""  # PEM, with the chain behind it; with its key HTTPS is served
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks, or "local": Unix sockets
    forwarded_field: Says = "x-forwarded-for"  # in which they say who asks; no other is read
    http2: bool = False  # a layer comes 4 times slower that way, and no client needs it
    header_seconds: Seconds = 10.0  # from the first byte of a request to the end of its head
    idle_seconds: Seconds = 75.0  # between requests
    stall_seconds: Seconds = 60.0  # without one byte of a body, in either direction
    min_body_rate: Bytes = 1024  # bytes/s of a request body, after 10 s of waiting for it
    shutdown_seconds: Annotated[float, Meta(ge=0)] = 30.0  # for requests under way after SIGTERM


class Gc(msgspec.Struct, frozen=True, kw_only=True):
    """How long what nothing refers to is kept, in seconds."""

    grace_seconds: Lifetime = 3600
    lease_seconds: Lifetime = 3600
    upload_expiry_seconds: Lifetime = 86400
    interval_seconds: Annotated[float, Meta(ge=0)] = (
        600.0  # between collections; 0: only when asked
    )


class Scrub(msgspec.Struct, frozen=True, kw_only=True):
    """How often all that is stored is read again, to find what the disk damaged."""

    interval_seconds: Annotated[float, Meta(ge=0)] = 2_592_000.0  # 30 days; 0: only when asked
    bytes_per_second: Bytes = 16 << 20  # of one that nobody asked for; 0: as fast as it goes


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may ask for."""

    manifest_bytes: Annotated[int, Meta(ge=1, le=64 << 20)] = 4 << 20
    concurrent_uploads: Count = 256  # blobs and large manifests coming in; each holds about 4 MiB
    uploads_per_principal: Count = 64  # of them; clients send 3 to 10 at once
    requests_per_second: Annotated[float, Meta(ge=0)] = 0.0  # of an account or address; 0: no limit
    burst: Count = 200  # requests that may come at once, after a rest
    failed_logins: Lifetime = 10  # to an account from one address; 0: no limit of any kind
    failed_logins_per_account: Count = 100  # from addresses that it never logged in from
    failed_logins_per_address: Count = 50  # to accounts that never logged in from there
    failed_logins_seconds: Seconds = 300.0  # in which so many may fail


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of who did what."""

    max_rows: Annotated[int, Meta(ge=1, le=100_000_000)] = 100_000  # about 250 bytes each
    max_age_days: Annotated[float, Meta(gt=0)] = 90.0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How long those who proved who they are need not do so again."""

    session_seconds: Annotated[int, Meta(ge=60)] = 1_209_600  # 14 days, of a browser
    refresh_seconds: Annotated[int, Meta(ge=60)] = 31_536_000  # a year, of `docker login`


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """How other registries are reached, and how long they may keep us waiting."""

    allow: tuple[str, ...] = ()  # hosts and networks that upstreams may lead to, beside public ones
    ca: str = ""  # PEM; trusted beside the system's certificates
    http_proxy: str = ""  # for upstreams without TLS; of the environment's variables none is read
    https_proxy: str = ""
    connect_seconds: Seconds = 10.0  # to look a name up, connect and agree on TLS
    answer_seconds: Seconds = 30.0  # to the end of an answer's head
    stall_seconds: Seconds = 30.0  # without one byte of a body
    min_body_rate: Bytes = 1024  # bytes/s of a body, after 10 s of waiting for it
    connections: Count = 32  # to one upstream at once, of each worker


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal
    level: Literal["debug", "info", "warning", "error"] = "info"


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes are."""

    data: str = "./orlop-data"
    min_free_bytes: Bytes = 64 << 20  # below it uploads stop with 507; pulls and deletes never do


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of the configuration."""

    http: Http = Http()
    gc: Gc = Gc()
    scrub: Scrub = Scrub()
    limits: Limits = Limits()
    access: Access = Access()
    journal: Journal = Journal()
    proxy: Proxy = Proxy()
    log: Log = Log()
    storage: Storage = Storage()


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "http": Http,
    "gc": Gc,
    "scrub": Scrub,
    "limits": Limits,
    "access": Access,
    "journal": Journal,
    "proxy": Proxy,
    "log": Log,
    "storage": Storage,
}


class SettingsError(Exception):
    """The configuration cannot be used; its text is for the person who wrote it."""


@dataclass(eq=False)
class SettingUnknown(SettingsError):
    """No such key; `nearest` is the known one most like it."""

    source: str
    key: str
    nearest: str

    def __str__(self) -> str:
        return f"{self.source}: there is no setting {self.key}; did you mean {self.nearest}?"


@dataclass(eq=False)
class SettingInvalid(SettingsError):
    """A known key has a value that cannot be, or the file cannot be read."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Value:
    source: str  # for messages: a file, a variable's name, or "command line"
    section: str
    key: str
    value: Any


def load(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | None]
) -> Settings:
    """Read everything. `flags` are `section.key`; None means not given.

    Without `file`, `orlop.toml` in the working directory is read if it is there.

    Raises:
        SettingsError: says where and what.
    """
    values = [*_iter_file(file), *_iter_environment(environment), *_iter_flags(flags)]
    merged: dict[str, dict[str, Any]] = {}
    for value in values:
        merged.setdefault(value.section, {})[value.key] = _check(value)
    settings = msgspec.convert(merged, Settings, strict=False)
    listen_address(settings.http.listen)
    if bool(settings.http.tls_certificate) != bool(settings.http.tls_key):
        lacking = "tls_key" if settings.http.tls_certificate else "tls_certificate"
        raise SettingInvalid(f"http.{lacking}", "a certificate and its key go together")
    return settings


def listen_address(listen: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[IPV6]:PORT`; port 0 lets the system choose.

    Raises:
        SettingInvalid: it is neither.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise SettingInvalid(source="http.listen", reason=f"{listen!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def count_workers(settings: Settings) -> int:
    """How many processes are to serve; `auto` is one for each core that we may use."""
    workers = settings.http.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


def is_http_url(url: str) -> bool:
    """Whether `url` is an absolute http(s) URL of nothing but host, port and path.

    It goes into a header, in quotes: a name that is not ASCII has to be written as punycode.
    """
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or a port that is no number
        return False
    is_plain = _PLAIN_URL.fullmatch(url) is not None
    return is_plain and has_host and parts.scheme in ("http", "https")


def shown(settings: Settings) -> dict[str, Any]:
    """All of it for people: without the passwords of proxies."""
    found: dict[str, Any] = msgspec.to_builtins(settings)
    for key in ("http_proxy", "https_proxy"):
        url = found["proxy"][key]
        found["proxy"][key] = re.sub(r"//.*@", "//***@", url)
    return found


def known_keys() -> list[str]:
    """Every `section.key`."""
    return [
        f"{name}.{field}"
        for name, section in SECTIONS.items()
        for field in section.__struct_fields__
    ]


def _iter_file(file: Path | None) -> Iterator[_Value]:
    path = Path(FILE_NAME) if file is None else file
    if file is None and not path.exists():
        return
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingInvalid(str(path), str(error)) from None
    for section, table in tables.items():
        if not isinstance(table, dict) or not (table or section in SECTIONS):
            yield _Value(str(path), "", section, table)
            continue
        for key, value in table.items():
            yield _Value(str(path), section, key, value)


def _iter_environment(environment: Mapping[str, str]) -> Iterator[_Value]:
    for name, value in environment.items():
        section, mark, key = name.removeprefix(_PREFIX).lower().partition("__")
        if name.startswith(_PREFIX) and mark:
            yield _Value(name, section, key, value)


def _iter_flags(flags: Mapping[str, str | None]) -> Iterator[_Value]:
    for name, value in flags.items():
        section, _, key = name.partition(".")
        if value is not None:
            yield _Value("command line", section, key, value)


def _check(value: _Value) -> Any:  # noqa: ANN401 - a value of any key
    """Convert one value on its own, so that the message can name where it came from."""
    known = known_keys()
    name = f"{value.section}.{value.key}" if value.section else value.key
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise SettingUnknown(value.source, name, nearest)
    given = value.value
    if name in _LISTS and isinstance(given, str):  # a variable holds no list
        given = [text.strip() for text in given.split(",") if text.strip()]
    try:
        msgspec.convert({value.key: given}, SECTIONS[value.section], strict=False)
        if name in _CHECKS:
            _CHECKS[name](given)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingInvalid(value.source, f"{name}: {error}") from None
    if name == "http.public_url" and given and not is_http_url(given):
        raise SettingInvalid(value.source, f"{name}: not an http or https URL")
    return given
