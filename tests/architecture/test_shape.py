"""The shape of the code: what a reader may rely on in every module."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cas", "index", "frontend")
LONGEST = 400  # lines of a module; 150 is what we aim at
FORBIDDEN = "TO" + "DO"  # spelled so that this file may be looked at too


def modules_of(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


OURS = modules_of(*PACKAGES)
ALL = modules_of(*PACKAGES, "tests", "bench")


@pytest.mark.parametrize("package", PACKAGES)
def test_our_package_is_the_one_that_is_imported(package):
    assert importlib.import_module(package).__file__ == str(ROOT / package / "__init__.py")


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_module_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_nothing_is_left_for_later_in_a_comment(path):
    assert FORBIDDEN not in path.read_text(encoding="utf-8")
