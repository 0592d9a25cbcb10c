"""The command line as a person at a terminal has it, and what others on the machine see of it."""

import secrets
from pathlib import Path

import pytest

from tests.frontend.live import PASSWORD
from tests.frontend.terminal import Terminal

SECRET = secrets.token_urlsafe(12)


def arguments_of(terminal: Terminal) -> bytes:
    """What everybody on the machine can read."""
    return Path(f"/proc/{terminal.pid}/cmdline").read_bytes()


def test_a_list_is_a_table(live):
    live.create_repository("local/terminal", "public")
    terminal = Terminal("repository", "list", "--data", str(live.server.data))

    assert terminal.end() == 0
    lines = terminal.shown.splitlines()
    assert "REPOSITORY" in lines[0]
    assert "VISIBILITY" in lines[0]
    (line,) = (each for each in lines if "local/terminal" in each)
    assert line.split()[:2] == ["local/terminal", "public"]


def test_an_empty_cell_and_marks_of_markup_are_shown_as_they_are(live):
    body = {"storage": "local", "name": "marked", "description": "[red]a[/red]"}
    live.client.post("/api/v1/repositories", json=body).raise_for_status()
    terminal = Terminal("repository", "list", "--data", str(live.server.data))

    assert terminal.end() == 0
    assert "[red]a[/red]" in terminal.shown


def test_a_password_is_asked_for_without_an_echo(live):
    url = ("--url", live.url, "--login", "admin")
    terminal = Terminal("storage", "list", *url)
    terminal.wait_for("Password of admin: ")
    seen = arguments_of(terminal)
    terminal.type(PASSWORD)

    assert terminal.end() == 0
    assert "local" in terminal.shown
    assert PASSWORD not in terminal.shown
    assert b"storage" in seen
    assert PASSWORD.encode() not in seen


def test_a_wrong_password_is_told_in_a_line(live):
    terminal = Terminal("storage", "list", "--url", live.url, "--login", "admin")
    terminal.wait_for("Password of admin: ")
    terminal.type(SECRET)

    assert terminal.end() == 1
    assert SECRET not in terminal.shown
    assert "orlop: " in terminal.shown.splitlines()[-1]


@pytest.mark.parametrize("said", [(SECRET, SECRET + "x"), ("",)])
def test_a_new_password_is_asked_for_until_it_is_sure(live, said):
    terminal = Terminal("user", "create", "typo", "--data", str(live.server.data))
    for prompt, each in zip(("New password of typo: ", "Again: "), said, strict=False):
        terminal.wait_for(prompt)
        terminal.type(each)

    assert terminal.end() == 1
    assert "nothing done" in terminal.shown
    assert SECRET not in terminal.shown


def test_whoever_interrupts_a_question_gets_no_traceback(live):
    terminal = Terminal("user", "create", "typo", "--data", str(live.server.data))
    terminal.wait_for("New password of typo: ")
    terminal.interrupt()

    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
