"""Tags in the order in which people number them."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.versions import version_keys

TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True)


def ordered(*tags):
    return [tag for _, tag in sorted(zip(version_keys(tags), tags, strict=True))]


@pytest.mark.parametrize(
    "tags",
    [
        ("v1.2", "v1.9", "v1.10", "v1.10.1", "v2"),
        ("9", "10", "11.04"),
        ("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"),
        ("3.12.0a1", "3.12.0rc1", "3.12.0", "3.12.0-slim", "3.12.1"),
        ("2.0-RC1", "2.0", "2.0-alpine", "2.0-alpine3.9", "2.0-alpine3.10", "2.0.1"),
        ("edge", "latest", "0.1", "v0.2"),  # names before versions
        ("build-9", "build-10", "1"),
        ("20240131", "20240201"),
        ("1.02", "1.3"),
        ("1.0.dev3", "1.0"),
        ("1.0", "1.0-debian"),  # no word of ours, though it begins like one
    ],
)
def test_tags_stand_in_the_order_that_people_expect(tags):
    assert ordered(*reversed(tags)) == list(tags)


@given(st.lists(TAGS, max_size=50))
def test_every_tag_has_a_key_of_its_own_that_does_not_depend_on_the_others(tags):
    assert version_keys(tags) == [key for tag in tags for key in version_keys([tag])]


def test_more_tags_than_are_read_at_once_have_their_keys():
    tags = [f"v{number}" for number in range(4500)]

    assert ordered(*reversed(tags)) == tags
