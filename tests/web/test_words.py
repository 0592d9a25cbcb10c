"""Values as people read them."""

import pytest

from frontend.web import words


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (102_348, "99.9 KiB"),
        (102_349, "100 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (1 << 80, "1048576 EiB"),
    ],
)
def test_a_size_has_its_unit(size, text):
    assert words.size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 45, "1 month ago"),
        (86400 * 800, "2 years ago"),
        (-30, "in a moment"),
        (-86400 * 3, "in 3 days"),
    ],
)
def test_an_age_is_in_one_unit(seconds, text):
    assert words.age_text(seconds) == text


def test_a_time_has_the_moment_itself_too():
    found = words.time_markup("2026-11-30T03:04:05Z", 1_796_007_845.0 + 3600)

    assert found == (
        '<time datetime="2026-11-30T03:04:05Z" title="2026-11-30 03:04:05 UTC">1 hour ago</time>'
    )
    assert words.time_markup(None, 0.0) == "never"


def test_numbers_of_things():
    assert words.plural(1, "image") == "1 image"
    assert words.plural(0, "image") == "0 images"
    assert words.plural(2, "repository", "repositories") == "2 repositories"
    assert words.count_text(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://a b", "https://", "x"]
)
def test_what_could_run_or_be_misread_is_no_link(text):
    assert not words.is_web_link(text)


def test_another_site_may_be_a_link():
    assert words.is_web_link("https://example.invalid/a?b=c#d")
