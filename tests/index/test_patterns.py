"""`index.patterns`: which tags a pattern matches, which texts are none, and what a match costs."""

import fnmatch

import pytest
from hypothesis import given, strategies as st

from index.patterns import MAX_PATTERN, PatternInvalid, compile_pattern, matches

MATCHING = [
    ("v1", "v1"), ("*", "v1"), ("*", "a"), ("v*", "v"), ("v*", "v1.2.3"), ("*-final", "1-final"),
    ("v?", "v1"), ("v[0-9]", "v7"), ("v[!0-9]", "vx"), ("release-*-x86", "release-1-2-x86"),
    ("[a-]b", "-b"), ("[-a]b", "-b"), ("**", "x"), ("v*.*", "v1.2"), ("[A-Z]*", "Release"),
    ("*a*b*", "xaxbx"), ("[.]*", ".x"), ("[v]1", "v1"), ("*ab", "aab"), ("*aba", "ababa"),
]  # fmt: skip
DIFFERENT = [
    ("v1", "v1.0"), ("v1", "xv1"), ("v*", "V1"), ("v?", "v"), ("v?", "v12"), ("v[0-9]", "vx"),
    ("v[!0-9]", "v7"), ("*-final", "final"), ("v*.*", "v1"), ("a.b", "axb"), ("*a*b*", "ba"),
    ("*-a-*", "-a"), ("a*a", "a"),
]  # fmt: skip
INVALID = [
    ("", "empty"),
    ("a" * (MAX_PATTERN + 1), "more than 128"),
    ("v1 ", "' '"),
    ("v/1", "'/'"),
    ("é", "'é'"),
    ("a\n", r"'\\n'"),
    ("v[0-9", "without its"),
    ("v[]", "no character"),
    ("v[!]", "no character"),
    ("v]", "']'"),
    ("[9-0]", "no range"),
    ("[^a]", "no range"),
    ("[a/]", "no range"),
    ("{a,b}", "'{'"),
    ("v\\*", "no tag has"),
]


@pytest.mark.parametrize(("pattern", "tag"), MATCHING)
def test_a_pattern_matches_the_whole_of_a_tag(pattern, tag):
    assert matches(pattern, tag)


@pytest.mark.parametrize(("pattern", "tag"), DIFFERENT)
def test_a_pattern_does_not_match_what_differs(pattern, tag):
    assert not matches(pattern, tag)


@pytest.mark.parametrize(("text", "why"), INVALID)
def test_what_is_no_pattern_is_refused_with_the_reason(text, why):
    with pytest.raises(PatternInvalid, match=why):
        compile_pattern(text)


TAGS = st.text("abAB01._-", min_size=1, max_size=12)
PATTERNS = st.lists(
    st.sampled_from(["*", "?", "a", "b", "B", "0", "1", ".", "-", "[ab]", "[!ab]", "[0-9]"]),
    min_size=1,
    max_size=8,
).map("".join)


@given(PATTERNS, TAGS)
def test_patterns_are_those_of_a_shell(pattern, tag):
    assert matches(pattern, tag) == fnmatch.fnmatchcase(tag, pattern)


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_one_named_error(text):
    try:
        compile_pattern(text)
    except PatternInvalid as error:
        assert str(error)


def test_no_pattern_takes_long_over_any_tag():
    """A matcher that went back over each of its stars would not come to an end here."""
    tag = "a" * 127 + "b"

    assert not matches("*a" * (MAX_PATTERN // 2), tag)
    assert not matches("*a*[a]?" * 18 + "c", tag)
