"""What people write on the command line."""

import pytest
from hypothesis import given, strategies as st

from frontend.commands.names import (
    call_path,
    package_text,
    parse_package,
    parse_scope,
    parse_seconds,
    parse_size,
    repository_path,
    scope_text,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("1024", 1024), ("1k", 1024), ("500MB", 500_000_000), ("10GiB", 10 << 30),
        ("1.5 GiB", 3 << 29), ("2T", 2 << 40), ("7b", 7),
    ],
)  # fmt: skip
def test_a_size_is_a_number_and_its_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1.GiB", "1,5G", "10 GiBs", "1e9", "9" * 30, "٣"]
)
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@given(st.integers(0, 10**17))
def test_bytes_are_exact(count):
    assert parse_size(str(count)) == count
    assert parse_size(f"{count}KiB") == count << 10


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("12h", 43_200), ("90d", 7_776_000)]
)
def test_a_time_is_a_number_and_its_unit(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0d", "d", "1.5h", "1 d", "1mo", "never"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is no time"):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["local/team:pull,push", "local/*:pull", "*:pull,push,delete"])
def test_a_scope_is_shown_as_it_was_written(text):
    assert scope_text(parse_scope(text)) == text


@pytest.mark.parametrize("text", ["", "pull", "a:", ":pull", "a:,"])
def test_what_is_no_scope(text):
    with pytest.raises(ValueError, match="is no scope"):
        parse_scope(text)


@pytest.mark.parametrize("text", ["a:v1", "a/b:v1", "a/b@sha256:00", "a@sha256:00"])
def test_a_package_is_shown_as_it_was_written(text):
    assert package_text(parse_package(text)) == text


@pytest.mark.parametrize("text", ["", "a", ":v1", "a:", "@sha256:00", "a@", "a:b/c"])
def test_what_is_no_package(text):
    with pytest.raises(ValueError, match="is no package"):
        parse_package(text)


def test_names_of_people_may_hold_anything():
    assert call_path("users", "a/b?c#d é") == "/api/v1/users/a%2Fb%3Fc%23d%20%C3%A9"
    assert repository_path("local/a", "grants") == "/api/v1/repositories/local/a/grants"
