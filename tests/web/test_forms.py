"""Forms as browsers send them, and what is said of one that was refused."""

import pytest

from frontend.domain.faults import RequestInvalid
from frontend.web.forms import MAX_FIELDS, Form, Refusal, Typed


def test_fields_are_read_as_browsers_send_them():
    form = Form.parse(b"name=a+b%26c&empty=&item=1&item=2&text=x%0D%0Ay&umlaut=%C3%A4")

    assert form["name"] == "a b&c"
    assert form["empty"] == form["absent"] == ""
    assert form.texts("item") == ["1", "2"]
    assert form.texts("absent") == ()
    assert form["text"] == "x\ny"
    assert form["umlaut"] == "ä"


@pytest.mark.parametrize("content", [b"\xff", b"a=%ff", b"&".join([b"a=1"] * (MAX_FIELDS + 1))])
def test_what_no_browser_sends_is_refused(content):
    with pytest.raises(RequestInvalid):
        Form.parse(content)


def test_numbers_may_be_absent_and_have_a_unit():
    form = Form.parse(b"days=7&empty=+&size=1.5&word=x&much=1e999")

    assert form.number("days") == 7
    assert form.number("empty") is None
    assert form.number("size", 1 << 30) == 3 << 29
    for name in ("word", "much"):
        with pytest.raises(RequestInvalid):
            form.number(name, 1024)


@pytest.mark.parametrize(
    ("detail", "text", "field"),
    [
        ("a password has 8 to 1024 bytes", "a password has 8 to 1024 bytes", ""),
        ("the body is not as expected: Expected `int` - at `$.name`", "Expected `int`", "name"),
        ("Expected `str` - at `$.upstream.url`", "Expected `str`", "url"),
    ],
)
def test_a_refusal_names_the_field_at_fault(detail, text, field):
    refusal = Refusal.of("/x", 400, detail)

    assert (refusal.text, refusal.field) == (text, field)


def test_a_refused_form_keeps_what_was_typed_but_no_secret():
    form = Form.parse(b"name=ci&new_password=hunter2&scope=a")
    typed = Typed("/x", "", form, Refusal("/x", 400, "too long", "name"))

    assert typed.value("name") == "ci"
    assert typed.value("new_password") == ""
    assert typed.has("scope", "a")
    assert not typed.has("scope", "b", otherwise=True)
    assert typed.fault("name") == "too long"
    assert typed.fault("scope") == typed.others("name") == ""
    assert typed.others("scope") == "too long"


def test_a_fresh_form_shows_what_there_is():
    typed = Typed("/x", "")

    assert typed.value("name", "old") == "old"
    assert typed.has("scope", "a", otherwise=True)
