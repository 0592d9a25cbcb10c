"""Changes to accounts, as changes and expectations of one commit: what goes along, what must stay.

A look at a snapshot decides; the expectations have the commit fail when it was not so any more.
"""

from collections.abc import Iterator

import msgspec

from frontend.access import grants, sessions, tokens, users
from frontend.access.users import TABLE, User
from index.changes import Change, PutRecord
from index.expectations import Expectation, RecordIs
from index.view import View

Plan = tuple[list[Change], list[Expectation]]


class LastAdmin(Exception):
    """Nobody would be left who may administer the registry."""


def plan_creation(view: View, name: str, user: User) -> Plan:
    """Make the account of a folded name, which there is not.

    A role that was given in the same moment as an earlier account of the name went, has outlived
    it: the namesake does not inherit that either.
    """
    changes: list[Change] = [*_belongings(view, name), users.put(name, user)]
    return changes, [RecordIs(TABLE, name.encode(), None)]


def plan_change(view: View, name: str, row: bytes, user: User) -> Plan:
    """Make the account of a folded name, whose row is `row`, be as `user` says.

    Raises:
        LastAdmin
    """
    expectations: list[Expectation] = [RecordIs(TABLE, name.encode(), row)]
    if not _is_able(user):
        expectations += _expect_another(view, name, User.decode(row))
    return [users.put(name, user)], expectations


def plan_removal(view: View, name: str, row: bytes) -> Plan:
    """Remove an account with its tokens, sessions and roles: a namesake inherits nothing.

    Raises:
        LastAdmin
    """
    changes: list[Change] = [PutRecord(TABLE, name.encode(), None), *_belongings(view, name)]
    expectations: list[Expectation] = [RecordIs(TABLE, name.encode(), row)]
    return changes, [*expectations, *_expect_another(view, name, User.decode(row))]


def plan_password(view: View, name: str, row: bytes, encoded: str, via: str) -> Plan:
    """Give an account another password; the session that asked for it, `via`, stays."""
    user = users.with_password(User.decode(row), encoded)
    changes: list[Change] = [users.put(name, user)]
    _, _, session_id = via.partition("session:")
    for each, session in list(sessions.ROWS.iter_of(view, name)):
        if each == session_id:
            kept = msgspec.structs.replace(session, epoch=user.epoch)
            changes.append(sessions.ROWS.put(each, kept))
        else:
            changes += sessions.ROWS.drop(each, session)
    for each, token in list(tokens.ROWS.iter_of(view, name)):
        if token.kind == "refresh":
            changes += tokens.drop_token(each, token)
    return changes, [RecordIs(TABLE, name.encode(), row)]


def _belongings(view: View, name: str) -> Iterator[PutRecord]:
    for token_id, token in tokens.ROWS.iter_of(view, name):
        yield from tokens.drop_token(token_id, token)
    for session_id, session in sessions.ROWS.iter_of(view, name):
        yield from sessions.ROWS.drop(session_id, session)
    for repository, _ in grants.iter_roles(view, name):
        yield from grants.put_grant(repository, name, None)


def _is_able(user: User) -> bool:
    return user.is_admin and not user.is_disabled


def _expect_another(view: View, name: str, user: User) -> list[Expectation]:
    """That an administrator is left who can sign in: one that stays as it is in this commit.

    Two who remove each other at once each expect the other: one of them fails.
    """
    if not _is_able(user):
        return []
    for key, value in view.iter_records(TABLE):
        if key != name.encode() and _is_able(User.decode(value)):
            return [RecordIs(TABLE, key, value)]
    raise LastAdmin
