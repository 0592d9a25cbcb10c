"""`frontend.domain.names`: the grammar, and nothing beside it."""

import pytest
from hypothesis import given, strategies as st

from cas.digest import Digest
from cas.errors import DigestInvalid
from frontend.domain.faults import NameInvalid, NameUnknown, TagInvalid
from frontend.domain.names import (
    is_component,
    is_tag,
    parse_name,
    parse_reference,
    parse_repository,
)
from index.changes import ImageName

COMPONENT = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,3}", fullmatch=True)
NAMES = st.lists(COMPONENT, min_size=3, max_size=6).map("/".join)


@given(NAMES)
def test_a_name_of_three_components_or_more_is_read_and_written_alike(text):
    assert str(parse_name(text)) == text


@pytest.mark.parametrize("verb", ["manifests", "blobs", "tags", "uploads", "referrers", "v2"])
def test_the_words_of_the_api_may_be_components(verb):
    assert parse_name(f"{verb}/{verb}/{verb}") == ImageName(f"{verb}/{verb}", verb)


@pytest.mark.parametrize("text", ["a", "a/b", "library/nginx"])
def test_a_name_of_fewer_components_is_unknown_and_says_how_names_look(text):
    with pytest.raises(NameUnknown, match="storage/repository/image"):
        parse_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a//b",
        "a/b/",
        "/a/b/c",
        "a/../b",
        "a/./b",
        "A/b/c",
        "a/b/C",
        "a/b/c\n",
        "a/b/%2e%2e",
        "a/b/a%00b",
        "a/b/\0",
        "a/b/-c",
        "a/b/c-",
        "a/b/c..d",
        "a/b/c___d",
        "a/b/c._d",
        "a/b/ü",
        "a/b/c:d",
        "a/b/c d",
        "a/b/\u0661",
        "a" * 256,
        "a/b/" + "c" * 252,
    ],
)
def test_what_is_not_of_the_grammar_is_invalid(text):
    with pytest.raises(NameInvalid):
        parse_name(text)


def test_a_name_may_have_255_characters():
    assert parse_name("a/b/" + "c" * 251).path == "c" * 251


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_one_of_two_errors(text):
    try:
        name = parse_name(text)
    except (NameInvalid, NameUnknown):
        return
    assert str(name) == text


@pytest.mark.parametrize("text", ["a" * 300, "x" * 100_000, "a." * 50_000, "a-" * 128])
def test_long_text_is_refused_at_once(text):
    with pytest.raises(NameInvalid):
        parse_name(text)


@given(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True))
def test_tags_are_references(text):
    assert parse_reference(text) == text


@pytest.mark.parametrize("text", ["", "-x", ".x", "a" * 129, "a b", "a\n", "ü", "a/b", "a%3A"])
def test_what_is_no_tag_is_invalid(text):
    assert not is_tag(text)
    with pytest.raises(TagInvalid):
        parse_reference(text)


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_digests_are_references(content, algorithm):
    digest = Digest.of(content, algorithm)

    assert parse_reference(str(digest)) == digest


@pytest.mark.parametrize(
    "text",
    ["a:b", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:../", "md5:" + "a" * 32],
)
def test_what_holds_a_colon_is_a_digest_or_invalid(text):
    with pytest.raises(DigestInvalid):
        parse_reference(text)


@pytest.mark.parametrize("text", ["local/images", "a.b/c-d", "a__b/c---d"])
def test_a_repository_is_created_under_two_components(text):
    assert "/".join(parse_repository(text)) == text


@pytest.mark.parametrize(
    "text", ["local", "a/b/c", "a/", "/a", "A/b", "a/B", "a/..", "", "a/" + "b" * 252]
)
def test_a_repository_is_not_created_under_anything_else(text):
    with pytest.raises(NameInvalid):
        parse_repository(text)


def test_a_storage_is_one_component():
    assert is_component("local")
    assert not is_component("a/b")
    assert not is_component("")
