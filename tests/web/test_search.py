"""The search page: what it finds for whom, and what it says when it finds nothing."""

import pytest

from tests.frontend.test_lists import push


@pytest.fixture(scope="module")
def pushed(live, team):
    """An image in the team's repository, and one that is public."""
    for name in (f"{team}/needle/app", "local/public/needle/app"):
        push(live, name, "v1", "v2")
    return team


def test_an_image_is_found_with_a_link_to_it(visitors, pushed):
    page = visitors["reader"].get("/search", params={"q": "needle/app"})

    assert page.status_code == 200
    assert f'href="/r/{pushed}/needle/app"' in page.text
    assert 'href="/r/local/public/needle/app"' in page.text


def test_a_tag_and_its_digest_lead_to_the_manifest(visitors, pushed):
    page = visitors["reader"].get("/search", params={"q": f"repository:{pushed} tag:v1"})

    assert f'href="/r/{pushed}/needle/app:v1"' in page.text
    assert f'href="/r/{pushed}/needle/app:v2"' not in page.text


def test_who_is_not_signed_in_finds_what_is_public_and_is_told_so(visitors, pushed):
    page = visitors["anonymous"].get("/search", params={"q": "needle"})

    assert 'href="/r/local/public/needle/app"' in page.text
    assert pushed not in page.text
    assert "in what is public" in page.text


def test_a_stranger_does_not_learn_of_what_is_hidden(visitors, pushed):
    page = visitors["stranger"].get("/search", params={"q": f"repository:{pushed} needle"})

    assert "Nothing that you may see matches" in page.text
    assert "/needle/app" not in page.text


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "  "}])
def test_without_a_question_the_page_says_what_can_be_asked(visitors, query):
    page = visitors["anonymous"].get("/search", params=query)

    assert page.status_code == 200
    for term in ("tag:1.2", "type:sbom", "repository:team"):
        assert f"<code>{term}</code>" in page.text


def test_an_unknown_field_comes_back_with_what_may_have_been_meant(visitors):
    page = visitors["anonymous"].get("/search", params={"q": "repo:x"})

    assert page.status_code == 200  # browsers log any other, at each key
    assert "did you mean repository:" in page.text
    assert 'value="repo:x"' in page.text
    assert 'role="alert"' in page.text


def test_a_question_that_is_too_long_comes_back_with_the_reason(visitors):
    page = visitors["anonymous"].get("/search", params={"q": "x" * 301})

    assert page.status_code == 400
    assert "x" * 301 in page.text


def test_what_was_asked_is_shown_as_text(visitors):
    evil = '"><script>alert(1)</script>'

    page = visitors["anonymous"].get("/search", params={"q": evil})

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


def test_a_page_beyond_the_last_leads_back(visitors, pushed):
    page = visitors["reader"].get("/search", params={"q": "needle", "page": "9"})

    assert page.status_code == 200
    assert "Nothing on this page" in page.text
    assert 'href="/search?q=needle"' in page.text


def test_results_are_a_live_region_that_scripts_replace_as_one_types(visitors, pushed):
    page = visitors["reader"].get("/search", params={"q": "needle"}).text

    assert 'data-live="results"' in page
    assert '<div id="results">' in page
    assert "data-say" in page
    assert 'aria-live="polite"' in page
