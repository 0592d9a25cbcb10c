"""`frontend.domain.conditions`: entity tags are digests."""

import pytest
from hypothesis import given, strategies as st

from cas.digest import Digest
from frontend.domain.conditions import (
    etag,
    is_not_modified,
    is_range_current,
    tag_expectations,
)
from frontend.domain.faults import PreconditionFailed
from index.changes import ImageName
from index.expectations import TagIs

IMAGE = ImageName("local/images", "app")
HERE, OTHER = Digest.of(b"here"), Digest.of(b"other")


@pytest.mark.parametrize(
    "header",
    [
        f'"{HERE}"',
        f'W/"{HERE}"',
        str(HERE),
        "*",
        f'"{OTHER}", "{HERE}"',
        f'"x",W/"{HERE}"',
        f"{OTHER},{HERE}",
    ],
)
def test_what_a_client_has_is_not_sent_again(header):
    assert is_not_modified(header, HERE)


@pytest.mark.parametrize("header", [None, "", f'"{OTHER}"', '"', ",,,", f'"{HERE}x"', '"*"', "W/"])
def test_what_a_client_lacks_is_sent(header):
    assert not is_not_modified(header, HERE)


@given(st.text(max_size=100))
def test_any_condition_can_be_judged(text):
    is_not_modified(text, HERE)


def test_a_range_is_current_only_under_the_exact_entity_tag():
    assert is_range_current(None, HERE)
    assert is_range_current(etag(HERE), HERE)
    assert not is_range_current(f"W/{etag(HERE)}", HERE)
    assert not is_range_current(etag(OTHER), HERE)
    assert not is_range_current("Sat, 29 Oct 1994 19:43:31 GMT", HERE)


def test_without_a_condition_nothing_is_expected():
    assert tag_expectations(None, None, IMAGE, "v1", HERE) == ()


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "current"),
    [
        (etag(HERE), None, HERE),
        ("*", None, HERE),
        (f"{etag(OTHER)}, {etag(HERE)}", None, HERE),
        (None, "*", None),
        (None, etag(OTHER), HERE),
    ],
)
def test_a_condition_that_holds_must_still_hold_at_the_commit(if_match, if_none_match, current):
    expected = TagIs(IMAGE, "v1", None if current is None else current.key)

    assert tag_expectations(if_match, if_none_match, IMAGE, "v1", current) == (expected,)


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "current"),
    [
        (etag(OTHER), None, HERE),
        (f"W/{etag(HERE)}", None, HERE),
        (etag(HERE), None, None),
        ("*", None, None),
        (None, "*", HERE),
        (None, etag(HERE), HERE),
        (etag(HERE), "*", HERE),
    ],
)
def test_a_condition_that_does_not_hold_is_refused_at_once(if_match, if_none_match, current):
    with pytest.raises(PreconditionFailed):
        tag_expectations(if_match, if_none_match, IMAGE, "v1", current)
