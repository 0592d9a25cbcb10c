"""Text for a person's eyes."""

import pytest

from frontend.words import plain, size_text


def test_what_a_terminal_would_obey_is_not_left():
    assert plain("a\x1b[2Jb\r\n\tc\x9b\u202e é") == "a�[2Jb���c�� é"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB"),
     (1 << 62, "4096.0 PiB")],
)  # fmt: skip
def test_a_size_has_the_unit_that_suits_it(count, text):
    assert size_text(count) == text
