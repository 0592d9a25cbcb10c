"""What an image's config tells people: how it runs, and the line that made each layer. Pure.

Anybody may push any bytes as a config. What has not the usual form is left out, text is cut, and
lists end: nothing here refuses, and nothing grows with what a stranger wrote.

Source: image-spec, config.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

MOST: Final = 1000  # members of each list and of each map
LONGEST: Final = 2000  # characters of each text
READ: Final = 1 << 20  # bytes of a config that is looked into; larger ones are not
_Texts = tuple[str, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history; `makes_layer` is false of those that only change the config."""

    created_by: str = ""
    created: str = ""
    comment: str = ""
    makes_layer: bool = True


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an image runs. `about` are the texts at the top of a config of another kind."""

    created: str = ""
    author: str = ""
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    entrypoint: _Texts = ()
    cmd: _Texts = ()
    env: _Texts = ()
    ports: _Texts = ()
    volumes: _Texts = ()
    labels: dict[str, str] = {}
    history: tuple[Step, ...] = ()
    about: dict[str, str] = {}


def read_config(content: bytes, *, is_image: bool) -> ImageConfig | None:
    """Read a config; None: it is no JSON object."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(value, Mapping):
        return None
    if not is_image:
        return ImageConfig(about=pairs(value))
    inner = value.get("config")
    runs = inner if isinstance(inner, Mapping) else {}
    return ImageConfig(
        created=text(value.get("created")),
        author=text(value.get("author")),
        user=text(runs.get("User")),
        working_dir=text(runs.get("WorkingDir")),
        stop_signal=text(runs.get("StopSignal")),
        entrypoint=_texts(runs.get("Entrypoint")),
        cmd=_texts(runs.get("Cmd")),
        env=_texts(runs.get("Env")),
        ports=_names(runs.get("ExposedPorts")),
        volumes=_names(runs.get("Volumes")),
        labels=pairs(runs.get("Labels")),
        history=_history(value.get("history")),
    )


def lines_of_layers(history: Sequence[Step], layers: int) -> list[Step | None]:
    """The line that made each layer; none at all when they are not as many as the layers."""
    made = [step for step in history if step.makes_layer]
    return list(made) if len(made) == layers else [None] * layers


def text(value: object) -> str:
    """A text, cut; empty when it is none."""
    return value[:LONGEST] if isinstance(value, str) else ""


def pairs(value: object) -> dict[str, str]:
    """Names and texts; what has no text is left out."""
    if not isinstance(value, Mapping):
        return {}
    found: dict[str, str] = {}
    for name, each in value.items():
        if len(found) >= MOST:
            break
        if isinstance(each, str):
            found[str(name)[:LONGEST]] = text(each)
    return found


def _texts(value: object) -> _Texts:
    if isinstance(value, str):
        return (text(value),)
    if not isinstance(value, list):
        return ()
    return tuple(text(each) for each in value[:MOST] if isinstance(each, str))


def _names(value: object) -> _Texts:
    """The names of a set, which Go writes as a map to nothing."""
    if not isinstance(value, Mapping):
        return ()
    return tuple(sorted(name[:LONGEST] for name in list(value)[:MOST]))


def _history(value: object) -> tuple[Step, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_step(each) for each in value[:MOST] if isinstance(each, Mapping))


def _step(value: Mapping[str, Any]) -> Step:
    return Step(
        created_by=text(value.get("created_by")),
        created=text(value.get("created")),
        comment=text(value.get("comment")),
        makes_layer=value.get("empty_layer") is not True,
    )
