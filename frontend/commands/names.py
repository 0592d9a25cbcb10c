"""What people write on the command line: names, sizes, times, and how they become values."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

from cyclopts import Parameter

_UNITS: Final = {
    "": 1, "B": 1,
    "K": 1 << 10, "KIB": 1 << 10, "KB": 10**3,
    "M": 1 << 20, "MIB": 1 << 20, "MB": 10**6,
    "G": 1 << 30, "GIB": 1 << 30, "GB": 10**9,
    "T": 1 << 40, "TIB": 1 << 40, "TB": 10**12,
}  # fmt: skip
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def _check_repository(_: object, value: str) -> None:
    place, mark, name = value.partition("/")
    if not (place and mark and name) or "/" in name:
        raise ValueError(f"a repository is named STORAGE/NAME, not {value[:100]!r}")


def check_optional_repository(_: object, value: str | None) -> None:
    """A cyclopts validator: the name of a repository, or nothing."""
    if value is not None:
        _check_repository(_, value)


def _check_size(_: object, value: str | None) -> None:
    if value is not None:
        parse_size(value)


def _check_time(_: object, value: str | None) -> None:
    if value is not None:
        parse_seconds(value)


def _check_scopes(_: object, values: tuple[str, ...]) -> None:
    for each in values:
        parse_scope(each)


RepositoryName = Annotated[
    str, Parameter(help="STORAGE/NAME, for example local/team.", validator=_check_repository)
]
UserName = Annotated[str, Parameter(help="Of the user.")]
Quota = Annotated[
    str | None,
    Parameter(validator=_check_size, help="Bytes that it may hold: 500MB, 10GiB; 0: no limit."),
]
Expires = Annotated[
    str | None,
    Parameter(validator=_check_time, help="How long it is valid: 12h, 90d, 1y (default: ever)."),
]
Scopes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--scope",
        negative="",
        show_default=False,
        validator=_check_scopes,
        help="What it is for (default: all its user may do), once or several times: "
        "'local/team:pull,push', 'local/*:pull', '*:pull'.",
    ),
]


def parse_size(text: str) -> int:
    """Bytes: a number, and maybe a unit.

    Raises:
        ValueError: it is neither.
    """
    match = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,6}))?\s*([A-Za-z]*)", text)
    if match is None or match[3].upper() not in _UNITS:
        raise ValueError(f"{text[:100]!r} is no size: 500MB, 10GiB, or a number of bytes")
    return (
        int(float(f"{match[1]}.{match[2]}") * _UNITS[match[3].upper()])
        if match[2]
        else (int(match[1]) * _UNITS[match[3].upper()])
    )


def parse_seconds(text: str) -> int:
    """Seconds: a number and its unit.

    Raises:
        ValueError: it is not.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdwy])", text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text[:100]!r} is no time: 12h, 90d, 2w, 1y")
    return int(match[1]) * _SECONDS[match[2]]


def parse_scope(text: str) -> Mapping[str, Any]:
    """A scope as the API has it; what it may say is the server's to judge.

    Raises:
        ValueError: nothing is named, or no action.
    """
    repository, _, actions = text.rpartition(":")
    named = [each for each in actions.split(",") if each]
    if not repository or not named:
        raise ValueError(f"{text[:100]!r} is no scope: 'local/team:pull,push'")
    return {"repository": repository, "actions": named}


def scope_text(scope: Mapping[str, Any]) -> str:
    """What `parse_scope` read."""
    return f"{scope['repository']}:{','.join(scope['actions'])}"


def parse_package(text: str) -> dict[str, str]:
    """A package as the API has it: IMAGE:TAG, or IMAGE@DIGEST.

    Raises:
        ValueError: it is neither.
    """
    image, mark, digest = text.partition("@")
    if not mark:
        image, mark, tag = text.rpartition(":")
        if image and tag and "/" not in tag:
            return {"image": image, "tag": tag}
    elif image and digest:
        return {"image": image, "digest": digest}
    raise ValueError(f"{text[:100]!r} is no package: IMAGE:TAG or IMAGE@DIGEST")


def package_text(item: Mapping[str, Any]) -> str:
    """What `parse_package` reads, or the image alone."""
    if item.get("tag"):
        return f"{item['image']}:{item['tag']}"
    return f"{item['image']}@{item['digest']}" if item.get("digest") else f"{item['image']}"


def call_path(*parts: str) -> str:
    """The path of a call; names in it may hold anything."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def repository_path(name: str, *more: str) -> str:
    """The path of a call about a repository."""
    return call_path("repositories", *name.split("/"), *more)
