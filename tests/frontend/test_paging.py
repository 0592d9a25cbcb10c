"""`frontend.domain.paging`: n, last, Link."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, strategies as st

from frontend.domain.faults import PaginationNumberInvalid, RequestInvalid
from frontend.domain.paging import (
    MAX_PAGE,
    Page,
    cut,
    first,
    next_link,
    parse_page,
    parse_query,
)


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", Page(MAX_PAGE, "")),
        ("n=", Page(MAX_PAGE, "")),
        ("n=0", Page(0, "")),
        ("n=10&last=v1", Page(10, "v1")),
        ("last=a%2Fb", Page(MAX_PAGE, "a/b")),
        ("n=2147483647", Page(MAX_PAGE, "")),
        ("n=" + "9" * 10_000, Page(MAX_PAGE, "")),
        ("n=" + "0" * 10_000 + "7", Page(7, "")),
        ("n=1&n=2&last=a&last=b", Page(1, "a")),
    ],
)
def test_a_page_is_capped_and_read_from_the_first_parameters(query, page):
    assert parse_page(parse_query(query)) == page


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "%2B1", "1e3", "%20", "%D9%A1", "1_0", "0x1"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(PaginationNumberInvalid):
        parse_page(parse_query(f"n={text}"))


@given(st.text(max_size=80))
def test_any_query_is_a_page_or_a_refusal(query):
    try:
        page = parse_page(parse_query(query))
    except PaginationNumberInvalid:
        return
    assert 0 <= page.limit <= MAX_PAGE
    page.last.encode()


def test_a_long_last_is_cut_beyond_the_length_of_any_name():
    assert len(parse_page(parse_query("last=" + "%C3%A4" * 5000)).last.encode()) <= 300


def test_a_query_of_too_many_parameters_is_refused():
    with pytest.raises(RequestInvalid):
        parse_query("&".join(["a=b"] * 1000))


def test_the_first_value_of_a_parameter_counts():
    assert first(parse_query("a=1&a=2&b="), "a") == "1"
    assert first(parse_query("a=1&b="), "b") == ""
    assert first(parse_query("a=1"), "c") is None


@given(st.lists(st.integers(), max_size=20), st.integers(0, 25))
def test_a_page_is_the_beginning_and_says_whether_there_is_more(entries, limit):
    rest = iter(entries)

    page, has_more = cut(rest, limit)

    assert page == entries[:limit]
    assert has_more == (0 < limit < len(entries))
    assert len(list(rest)) >= len(entries) - limit - 1


@given(st.text(max_size=30))
def test_a_link_carries_any_text_there_and_back(text):
    name, value = next_link("/v2/a/b/c/tags/list", {"n": "5", "last": text})

    assert name == "Link"
    target, _, relation = value.partition("; ")
    assert relation == 'rel="next"'
    assert target[0] + target[-1] == "<>"
    parts = urlsplit(target[1:-1])
    assert parts.path == "/v2/a/b/c/tags/list"
    assert parse_qs(parts.query, keep_blank_values=True) == {"n": ["5"], "last": [text]}
    assert target.isascii()
