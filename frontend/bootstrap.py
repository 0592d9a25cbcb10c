"""What an empty data directory needs before it is a registry: a place, a repository, a person."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from cas.verbs import Store, View
from frontend.access.passwords import MAX_PASSWORD, hash_password
from frontend.access.secret import is_secret
from frontend.access.users import ADMIN, TABLE, new_user, put
from frontend.greeting import PASSWORD_VARIABLE, FirstStart
from index.changes import Change, CreateStorage, PutRepository
from index.expectations import Expectation, RecordIs, RepositoryAbsent, StorageAbsent
from index.records import Repository

STORAGE: Final = "local"
REPOSITORY: Final = "local/images"
PASSWORD_FILE: Final = "admin-password"  # noqa: S105 - a file's name


@dataclass(eq=False)
class PasswordUnusable(Exception):
    """The chosen password is one that nobody could log in with. It is not repeated."""

    def __str__(self) -> str:
        return (
            f"{PASSWORD_VARIABLE} must be UTF-8 text of at most {MAX_PASSWORD} bytes, and not of "
            "the form of a token"
        )


async def prepare(
    store: Store, data: Path, environment: Mapping[str, str], *, is_terminal: bool
) -> FirstStart | None:
    """Create storage `local`, private repository `local/images` and user `admin`, all or nothing.

    Returns None when there is a user already: then nothing is touched.

    Raises:
        PasswordUnusable: the one that was chosen.
    """
    if store.read(_has_user):
        return None
    chosen = _chosen(environment)
    password = chosen or secrets.token_urlsafe(18)
    encoded = await trio.to_thread.run_sync(hash_password, password)
    file = None
    if chosen is None and not is_terminal:
        file = data / PASSWORD_FILE
        _write_secret(file, password)  # before the account: nobody must have to guess it
    await store.commit(*_first_changes(store.read(_places), encoded))
    return FirstStart(None if chosen else password, file)


def _chosen(environment: Mapping[str, str]) -> str | None:
    """The password that the person wants; an empty one is none."""
    password = environment.get(PASSWORD_VARIABLE) or None
    try:
        is_usable = password is None or (
            len(password.encode()) <= MAX_PASSWORD and not is_secret(password)
        )
    except UnicodeEncodeError:  # bytes that are no text: no client could send them
        is_usable = False
    if not is_usable:
        raise PasswordUnusable
    return password


def _has_user(view: View) -> bool:
    return next(iter(view.iter_records(TABLE)), None) is not None


def _places(view: View) -> tuple[bool, bool]:
    return view.storage(STORAGE) is not None, view.repository(REPOSITORY) is not None


def _first_changes(
    places: tuple[bool, bool], encoded: str
) -> tuple[list[Change], list[Expectation]]:
    has_storage, has_repository = places
    changes: list[Change] = [put(ADMIN, new_user(encoded, ADMIN, int(time.time())))]
    expectations: list[Expectation] = [RecordIs(TABLE, ADMIN.encode(), None)]
    if not has_storage:
        changes.append(CreateStorage(STORAGE))
        expectations.append(StorageAbsent(STORAGE))
    if not has_repository:
        changes.append(PutRepository(REPOSITORY, Repository(created_at=int(time.time()))))
        expectations.append(RepositoryAbsent(REPOSITORY))
    return changes, expectations


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # it may be an older file, with another mode
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
