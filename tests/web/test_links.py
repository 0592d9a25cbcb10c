"""Addresses of pages, and which may be followed."""

import pytest
from hypothesis import given, strategies as st

from frontend.web import links


@pytest.mark.parametrize(
    "text",
    [
        "//evil.invalid",
        "/\\evil.invalid",
        "http://evil.invalid/",
        "javascript:alert(1)",
        "evil",
        "",
        "/a\nSet-Cookie: x",
        "/a b",
        "/\t/evil.invalid",
        "/a\\b",
        "/" + "a" * 2001,
        "/\N{RIGHT-TO-LEFT OVERRIDE}",
    ],
)
def test_what_may_lead_elsewhere_leads_home(text):
    assert links.local_path(text) == "/"


@pytest.mark.parametrize("text", ["/", "/account", "/r/local/images/a:v1?q=x&page=2", "/a//b"])
def test_a_page_of_ours_may_be_returned_to(text):
    assert links.local_path(text) == text


@given(st.text())
def test_whatever_is_returned_to_begins_with_one_slash_and_is_visible_ascii(text):
    found = links.local_path("/" + text)

    assert found.startswith("/")
    assert found[1:2] not in ("/", "\\")
    assert found.isascii()
    assert found.isprintable()


def test_an_image_and_what_lies_below_its_name_have_different_pages():
    assert links.image_link("local/images", "a/b") == "/r/local/images/a/b"
    assert links.folder_link("local/images", "a/b") == "/r/local/images/a/b/"
    assert links.folder_link("local/images", "") == links.repository_link("local", "images")


def test_a_manifest_is_named_as_one_pulls_it():
    digest = "sha256:" + "0" * 64

    assert links.manifest_link("local/images", "a", "v1", digest) == "/r/local/images/a:v1"
    assert links.manifest_link("local/images", "a", None, digest) == f"/r/local/images/a@{digest}"


def test_a_query_has_what_is_not_empty_and_quotes_it():
    said = {"q": 'a&b="c', "page": None, "sort": ""}

    assert links.query_link("/search", said) == "/search?q=a%26b%3D%22c"
    assert links.query_link("/", {}) == "/"
