"""Fragments of the change log: named so that a release can be put together from them."""

import re
from pathlib import Path

import pytest

CHANGES = Path(__file__).parents[2] / "changes"
FRAGMENTS = sorted(CHANGES.iterdir())
NAME = re.compile(r"[1-9][0-9]*\.(added|changed|fixed|removed)\.md")


def test_there_are_fragments_or_a_release_took_them():
    assert FRAGMENTS


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_named_for_its_issue_and_kind(path):
    assert path.name == "README.md" or NAME.fullmatch(path.name)


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_holds_sentences(path):
    text = path.read_text(encoding="utf-8")

    assert text.endswith(".\n")
    assert text == text.lstrip()
