"""Fields of an upstream's answers."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.fields import (
    MAX_WAIT,
    Part,
    Rate,
    next_page,
    parse_length,
    parse_part,
    parse_rate,
    parse_retry_after,
)
from frontend.domain.urls import Url

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
ASKED = Url.parse("https://hub.example/v2/library/nginx/tags/list?n=5")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("99999999999", MAX_WAIT),
        ("9" * 30, None),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", MAX_WAIT),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("+5", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_longer_than_a_day(text, seconds):
    assert parse_retry_after(text, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_bounded(text):
    seconds = parse_retry_after(text, NOW)

    assert seconds is None or 0 <= seconds <= MAX_WAIT


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100;w=21600", Rate(100, 21600)),
        ("76", Rate(76, None)),
        (" 0 ; w=60 ", Rate(0, 60)),
        ("100;w=21600;comment=x", Rate(100, 21600)),
        ("100, 100;w=60", Rate(100, None)),
        (None, None),
        ("", None),
        ("many", None),
        ("-1", None),
        ("1" * 20, None),
    ],
)
def test_docker_hubs_figures_are_read(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes 5-9/10", Part(5, 10, 10)),
        ("bytes 0-0/*", Part(0, 1, None)),
        ("bytes 9-5/10", None),
        ("bytes 5-10/10", None),
        ("bytes */10", None),
        ("items 0-1/2", None),
        ("bytes 0-" + "9" * 40 + "/*", None),
        (None, None),
        ("", None),
    ],
)
def test_a_part_lies_within_its_total(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0),
        ("12", 12),
        ("+1", None),
        ("1, 1", None),
        ("9" * 40, None),
        (None, None),
        ("-1", None),
    ],
)
def test_a_length_is_digits(text, length):
    assert parse_length(text) == length


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ('</v2/library/nginx/tags/list?last=b&n=5>; rel="next"', "?last=b&n=5"),
        ("<https://hub.example/v2/library/nginx/tags/list?x>; rel=next", "?x"),
        ('<?last=b>; title="a, b; c"; rel="prev next"', "?last=b"),
        ('</v2/a>; rel=prev, <?z>; rel="next"', "?z"),
        ('<https://evil.example/v2/library/nginx/tags/list?x>; rel="next"', None),
        ('<http://hub.example/v2/library/nginx/tags/list?x>; rel="next"', None),
        ('</v2/other/image/tags/list?x>; rel="next"', None),
        ('<?n=5>; rel="next"', None),  # the page that was just asked: no end
        ('<?x>; rel="last"', None),
        ("<?x>", None),
        ("?x; rel=next", None),
        (None, None),
        ("<?" + "x" * 20_000 + ">; rel=next", None),
    ],
)
def test_the_next_page_is_one_of_the_same_list(link, page):
    url = next_page(link, ASKED)

    expected = None if page is None else f"https://hub.example/v2/library/nginx/tags/list{page}"
    assert (url and str(url)) == expected
