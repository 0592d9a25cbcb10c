"""What holds a secret does not show it: in a log, in a trace, in an error."""

import dataclasses
import inspect
import pkgutil
from importlib import import_module

import msgspec
import pytest

import frontend
from frontend.domain.discreet import Discreet
from frontend.domain.message import Request
from frontend.management.routing import Asked
from frontend.management.users import NewUser

SECRET = "what-nobody-is-to-see"  # noqa: S105 - of no account
NAMES = {"password", "current_password", "token", "secret", "csrf_token", "hash", "body"}
HARMLESS = {
    ("Claims", "token"),  # an id
    ("Asked", "body"),  # a struct that shows itself
    ("Call", "body"),  # a way to read it
    ("Route", "body"),  # a type
    ("Response", "body"),
    ("Answer", "body"),
}


def kinds() -> list[type]:
    """Every struct and dataclass of ours that has a field which is called like a secret."""
    found = set()
    for module in pkgutil.walk_packages(frontend.__path__, "frontend."):
        if module.name.endswith("__main__"):
            continue
        for each in vars(import_module(module.name)).values():
            if inspect.isclass(each) and each.__module__.startswith("frontend."):
                found.add(each)
    return sorted((each for each in found if fields(each)), key=lambda each: each.__qualname__)


def fields(kind: type) -> set[str]:
    names: set[str] = set()
    if dataclasses.is_dataclass(kind):
        names = {each.name for each in dataclasses.fields(kind)}
    elif issubclass(kind, msgspec.Struct):
        names = set(kind.__struct_fields__)
    return {each for each in names & NAMES if (kind.__name__, each) not in HARMLESS}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__qualname__)
def test_what_holds_a_secret_does_not_show_it(kind):
    if dataclasses.is_dataclass(kind):
        shown = {each.name for each in dataclasses.fields(kind) if each.repr}
        assert not shown & fields(kind)
    else:
        assert kind.__repr__ is Discreet.__repr__


def test_neither_does_a_request():
    user = NewUser(username="ida", password=SECRET)
    headers = {"authorization": f"Bearer {SECRET}"}

    for each in (
        user,
        Asked(None, None, body=user, headers=headers),
        Request("GET", "/", "", headers),
    ):
        assert SECRET not in repr(each) + str(each)
    assert msgspec.json.decode(msgspec.json.encode(user))["password"] == SECRET
