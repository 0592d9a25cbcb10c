"""The first start: what it creates, whom it tells the password, and that it happens once."""

import pytest

from cas.local import open_store
from frontend.access.passwords import is_password
from frontend.access.users import find
from frontend.bootstrap import (
    PASSWORD_FILE,
    REPOSITORY,
    STORAGE,
    PasswordUnusable,
    prepare,
)


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path) as store:
        yield store


def admin(store):
    return store.read(lambda view: find(view, "admin"))


async def test_an_empty_directory_becomes_a_registry(store, tmp_path):
    first = await prepare(store, tmp_path, {}, is_terminal=True)

    assert store.read(lambda view: view.storage(STORAGE)) is not None
    assert store.read(lambda view: view.repository(REPOSITORY)).visibility == "private"
    assert admin(store).is_admin
    assert is_password(admin(store).hash, first.password)


async def test_on_a_terminal_the_password_is_in_no_file(store, tmp_path):
    first = await prepare(store, tmp_path, {}, is_terminal=True)

    assert first.file is None
    assert not (tmp_path / PASSWORD_FILE).exists()


async def test_without_a_terminal_the_password_is_in_a_file_for_the_owner_alone(store, tmp_path):
    (tmp_path / PASSWORD_FILE).write_text("old")
    (tmp_path / PASSWORD_FILE).chmod(0o644)

    first = await prepare(store, tmp_path, {}, is_terminal=False)

    assert first.file == tmp_path / PASSWORD_FILE
    assert first.file.stat().st_mode & 0o777 == 0o600
    assert is_password(admin(store).hash, first.file.read_text().strip())


async def test_a_chosen_password_is_used_and_written_nowhere(store, tmp_path):
    first = await prepare(store, tmp_path, {"ORLOP_ADMIN_PASSWORD": "mine"}, is_terminal=False)

    assert (first.password, first.file) == (None, None)
    assert is_password(admin(store).hash, "mine")
    assert not (tmp_path / PASSWORD_FILE).exists()


async def test_a_second_start_changes_nothing(store, tmp_path):
    await prepare(store, tmp_path, {}, is_terminal=True)
    before = admin(store)

    assert await prepare(store, tmp_path, {"ORLOP_ADMIN_PASSWORD": "x"}, is_terminal=True) is None
    assert admin(store) == before


async def test_an_empty_choice_is_none(store, tmp_path):
    first = await prepare(store, tmp_path, {"ORLOP_ADMIN_PASSWORD": ""}, is_terminal=False)

    assert first.file is not None
    assert is_password(admin(store).hash, first.file.read_text().strip())


@pytest.mark.parametrize("chosen", ["x" * 1025, "\u00e9" * 513, "\udcff"])
async def test_a_password_that_could_never_log_in_is_refused(store, tmp_path, chosen):
    with pytest.raises(PasswordUnusable) as caught:
        await prepare(store, tmp_path, {"ORLOP_ADMIN_PASSWORD": chosen}, is_terminal=False)

    assert chosen not in str(caught.value)
    assert admin(store) is None
