"""Cookies of pages: no script reads them, and nobody else writes what they say."""

import pytest

from frontend.domain.message import Realm
from frontend.web import cookies

PLAIN = Realm("http://localhost/v2/token", "localhost")
SECURE = Realm("https://localhost/v2/token", "localhost")
SESSION = "orlop_session=abc"


def sent(field):
    """The Cookie field of a browser that was told so."""
    return field[1].partition(";")[0]


@pytest.mark.parametrize("field", [cookies.set_theme("dark", SECURE), cookies.drop_flash(SECURE)])
def test_no_script_and_no_other_site_gets_at_them(field):
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= set(field[1].split("; "))
    assert "Secure" not in cookies.drop_flash(PLAIN)[1]


def test_a_theme_is_one_of_ours():
    assert cookies.theme_of(f"a=b; {sent(cookies.set_theme('dark', PLAIN))}") == "dark"
    assert cookies.theme_of("orlop_theme=light") == "light"
    assert cookies.theme_of('orlop_theme="><script>') == cookies.theme_of("") == ""
    assert "Max-Age=0" in cookies.set_theme("", PLAIN)[1]


def test_a_flash_is_for_its_session_alone():
    flash = sent(cookies.set_flash("Done: ä;<b>", SESSION, PLAIN))

    assert cookies.flash_of(f"{SESSION}; {flash}") == "Done: ä;<b>"
    assert cookies.flash_of(f"orlop_session=other; {flash}") == ""
    assert cookies.flash_of(f"{SESSION}; orlop_flash=YQ==.{'0' * 64}") == ""
    assert cookies.flash_of(f"{SESSION}; orlop_flash=é.é") == ""
    assert cookies.flash_of(SESSION) == ""
