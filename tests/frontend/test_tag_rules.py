"""`frontend.domain.tag_rules`: which rule a tag falls under, and what each change must keep."""

import pytest

from frontend.domain.rule_faults import PatternsInvalid, QuotaExceeded, size_text
from frontend.domain.tag_rules import MAX_PATTERNS, parse_patterns, rule_of, rules_for
from index.changes import DropPackage, ImageName, Link, PutObject, SetTag, Unlink
from index.expectations import NoTagLike, TagKept, WithinQuota
from index.records import Repository

NAME = "local/images"
IMAGE = ImageName(NAME, "app")
D = b"\1" + bytes(32)
RULED = Repository(immutable_tags=("v*", "v1", "rc-?"), quota_bytes=5)
CHANGES = [
    PutObject(D, b""),
    Link(IMAGE, D),
    Link(IMAGE, D, 60),
    SetTag(IMAGE, "v1", D),
    SetTag(IMAGE, "v2", None),
    SetTag(IMAGE, "latest", D),
    DropPackage(IMAGE, "rc-1"),
    DropPackage(IMAGE, "rc-10"),
    Unlink(IMAGE, D),
]


def test_the_first_rule_that_matches_is_the_one():
    assert rule_of(("x", "v*", "v1"), "v1") == "v*"
    assert rule_of(("x", "v*"), "w1") is None
    assert rule_of((), "v1") is None


def test_every_change_that_a_rule_is_about_has_its_expectation_once():
    assert rules_for(RULED, NAME, CHANGES) == (
        WithinQuota(NAME),
        TagKept(IMAGE, "v1", D),
        TagKept(IMAGE, "v2", None),
        TagKept(IMAGE, "rc-1", None),
        NoTagLike(IMAGE, D, RULED.immutable_tags),
    )


def test_without_rules_nothing_is_expected():
    assert rules_for(Repository(), NAME, CHANGES) == ()


def test_patterns_are_kept_in_order_and_once():
    assert parse_patterns(["v*", "a", "v*"]) == ("v*", "a")


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["v*", ""], "empty"),
        (["a b"], "no tag has a ' '"),
        (["["], "without its"),
        ([f"{number}" for number in range(MAX_PATTERNS + 1)], "at most 32"),
    ],
)
def test_what_are_no_rules_is_refused_with_the_reason(texts, why):
    with pytest.raises(PatternsInvalid) as refused:
        parse_patterns(texts)

    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (10_000_000, "9.5 MiB"),
     (3 << 40, "3.0 TiB")],
)  # fmt: skip
def test_sizes_are_said_as_people_say_them(size, text):
    assert size_text(size) == text


def test_a_quota_is_told_with_its_figures_and_what_helps():
    error = QuotaExceeded(NAME, 1 << 20, 1 << 19, 1 << 21)

    assert str(error) == (
        "2.0 MiB more do not fit: repository local/images holds 512.0 KiB, and its quota is "
        "1.0 MiB. Delete packages (what they held counts until it is collected), or ask an "
        "administrator for more"
    )
