"""Passwords: asked for, read from standard input, or made. Never an argument: all could read it."""

import secrets
import sys
from getpass import getpass
from typing import Final

from frontend.commands.common import Failure, Misuse

_LONGEST: Final = 64 << 10  # characters on standard input; the server says what is too long


def ask_password(prompt: str) -> str:
    """Ask on the terminal, without an echo.

    Raises:
        Failure: there is none, or nothing was said.
    """
    if not sys.stdin.isatty():
        raise Failure("there is no terminal to ask for a password on")
    try:
        password = getpass(prompt)
    except EOFError:
        password = ""
    if not password:
        raise Failure("no password, nothing done")
    return password


def new_password(name: str, *, is_stdin: bool, is_made: bool) -> str:
    """A password to be, in the way that the person chose.

    Raises:
        Misuse, Failure
    """
    if is_stdin and is_made:
        raise Misuse("--password-stdin and --generate: choose one of them")
    if is_made:
        return secrets.token_urlsafe(18)
    if is_stdin:
        return read_password()
    if not sys.stdin.isatty():
        raise Failure(
            "there is no terminal to ask for a password on: "
            "pipe it into --password-stdin, or have one made with --generate"
        )
    password = ask_password(f"New password of {name}: ")
    if ask_password("Again: ") != password:
        raise Failure("these are two passwords, nothing done")
    return password


def read_password() -> str:
    """All of standard input, without the line end that `echo` leaves there.

    Raises:
        Failure: that is none.
    """
    try:
        password = sys.stdin.read(_LONGEST + 1)
    except UnicodeDecodeError:
        raise Failure("the password is not UTF-8") from None
    if len(password) > _LONGEST:
        raise Failure("what is on standard input is too long for a password")
    password = password.removesuffix("\n").removesuffix("\r")
    if not password:
        raise Failure("no password on standard input, nothing done")
    return password
