"""URLs of strangers: what is taken, and what could be read in two ways."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.urls import MAX_URL, Origin, Url, UrlInvalid

BASE = Url.parse("https://one.example/v2/a/blobs/x?y=1")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a.example", Url(Origin("http", "a.example", 80), "/")),
        ("HTTPS://A.Example:8443/P?q=%20#f", Url(Origin("https", "a.example", 8443), "/P?q=%20")),
        ("https://[2001:DB8::0:1]/", Url(Origin("https", "2001:db8::1", 443), "/")),
        ("http://127.0.0.1:5000/v2/", Url(Origin("http", "127.0.0.1", 5000), "/v2/")),
        ("http://a?b", Url(Origin("http", "a", 80), "/?b")),
        ("https://a/b@c", Url(Origin("https", "a", 443), "/b@c")),
    ],
)
def test_a_url_is_its_origin_and_what_is_asked_there(text, url):
    assert Url.parse(text) == url
    assert Url.parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a.example",
        "ftp://a",
        "http:/a",
        "http:///a",
        "http://",
        "http://a:0",
        "http://a:",
        "http://a:65536",
        "http://a:x",
        "http://user@a/",
        "http://user:secret@a/",
        "http://a@b@c/",
        "http://good.example\\@evil.example/",
        "http://good.example\\.evil.example/",
        "http://good.example%2f@evil.example",
        "http://a%00b/",
        "http://a/\r\nHost: b",
        "http://a/\n",
        "http://a/ b",
        " http://a/",
        "http://a/b\\c",
        "http://b\u00fccher.example",
        "http://a/\u00e9",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://017700000001/",
        "http://1.2.3.4.5/",
        "http://127.0.0.01/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://[1]/",
        "http://a./",
        "http://a..b/",
        "http://-a/",
        "http://.a/",
        "http://" + "a" * 64 + "/",
        "http://a/" + "b" * MAX_URL,
    ],
)
def test_what_could_be_misread_is_no_url(text):
    with pytest.raises(UrlInvalid):
        Url.parse(text)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("/other?z", "https://one.example/other?z"),
        ("//two.example/x", "https://two.example/x"),
        ("http://two.example:81/x", "http://two.example:81/x"),
        ("next", "https://one.example/v2/a/blobs/next"),
        ("?n=2", "https://one.example/v2/a/blobs/x?n=2"),
        (" /padded\t", "https://one.example/padded"),
    ],
)
def test_a_location_is_read_from_where_it_came(reference, url):
    assert str(BASE.join(reference)) == url


@pytest.mark.parametrize(
    "reference",
    ["file:///etc/passwd", "javascript:x", "///", "//", "//u@h/", "\\\\evil", "/\\evil"],
)
def test_a_location_that_leads_elsewhere_than_http_is_refused(reference):
    with pytest.raises(UrlInvalid):
        BASE.join(reference)


@given(st.text(max_size=60))
def test_what_is_taken_has_nothing_to_split_a_request_with(text):
    for parse in (Url.parse, BASE.join):
        try:
            url = parse("http://a/" + text if parse == Url.parse else text)
        except UrlInvalid:
            continue
        assert url.target.startswith("/")
        assert all(" " < character < "\x7f" for character in str(url))
        assert Url.parse(str(url)) == url


def test_a_query_grows_by_quoted_pairs():
    realm = Url.parse("https://a/token?x=1")

    assert realm.with_query(("scope", "a:b&c=d"), ("n", "1")).target == (
        "/token?x=1&scope=a%3Ab%26c%3Dd&n=1"
    )
    assert realm.with_query() == realm


def test_a_log_shows_no_signature():
    assert "secret" not in Url.parse("https://a/blob?sig=secret").shown
