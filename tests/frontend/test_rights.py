"""`frontend.domain.rights`: who may do what, and what the others are told."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from frontend.domain.faults import Denied, NameUnknown, Unauthorized
from frontend.domain.message import Principal, Realm, Scope
from frontend.domain.rights import (
    CATALOG,
    ROLES,
    Place,
    allowed,
    challenge,
    may,
    parse_scopes,
    require,
    require_account,
    require_catalog,
    scope_of,
)
from index.changes import ImageName
from index.records import Repository

REALM = Realm("https://orlop.test/v2/token", "orlop")
NAME = ImageName("local/secret", "app")
PUBLIC, PRIVATE = Repository(visibility="public"), Repository()
ANONYMOUS, STRANGER, ADMIN = Principal(), Principal("eve"), Principal("admin", is_admin=True)
ACTIONS = ("pull", "push", "delete")


def outcome(principal, action, record, role=""):
    try:
        require(principal, action, NAME, Place(NAME.repository, record, role))
    except (Denied, NameUnknown, Unauthorized) as error:
        return type(error)
    return "yes"


@pytest.mark.parametrize(
    ("principal", "record", "pull", "change"),
    [
        (ANONYMOUS, PUBLIC, "yes", Unauthorized),
        (ANONYMOUS, PRIVATE, Unauthorized, Unauthorized),
        (ANONYMOUS, None, Unauthorized, Unauthorized),
        (STRANGER, PUBLIC, "yes", Denied),
        (STRANGER, PRIVATE, NameUnknown, NameUnknown),
        (STRANGER, None, NameUnknown, NameUnknown),
        (ADMIN, PUBLIC, "yes", "yes"),
        (ADMIN, PRIVATE, "yes", "yes"),
        (ADMIN, None, NameUnknown, NameUnknown),
    ],
)
def test_the_table_of_rights(principal, record, pull, change):
    assert [outcome(principal, action, record) for action in ACTIONS] == [pull, change, change]


@pytest.mark.parametrize(("who", "action"), list(itertools.product([ANONYMOUS, STRANGER], ACTIONS)))
def test_private_and_missing_cannot_be_told_apart(who, action):
    told = []
    for record in (PRIVATE, None):
        with pytest.raises((Unauthorized, NameUnknown)) as caught:
            require(who, action, NAME, Place(NAME.repository, record))
        told.append((type(caught.value), caught.value.__dict__, str(caught.value)))

    assert told[0] == told[1]


@pytest.mark.parametrize("record", [PUBLIC, PRIVATE, None])
def test_a_token_for_something_else_is_told_nothing_but_what_to_ask_for(record):
    narrow = Principal("admin", is_admin=True, grants={str(NAME): frozenset({"pull"})})

    assert outcome(narrow, "push", record) is Unauthorized
    with pytest.raises(Unauthorized) as caught:
        require(narrow, "pull", ImageName("local/other", "app"), Place("", record))
    assert challenge(REALM, caught.value).endswith(
        'scope="repository:local/other/app:pull",error="insufficient_scope"'
    )


@pytest.mark.parametrize(
    ("role", "may_do"),
    [
        ("", ()),
        ("reader", ("pull",)),
        ("writer", ("pull", "push")),
        ("admin", ("pull", "push", "delete", "admin")),
        ("owner", ()),  # of a later version: it gives nothing here
    ],
)
@pytest.mark.parametrize("record", [PUBLIC, PRIVATE, None])
def test_a_role_gives_what_it_says_where_there_is_a_repository(role, may_do, record):
    place = Place(NAME.repository, record, role)

    for action in (*ACTIONS, "admin"):
        expected = record is not None and (
            action in may_do or (action == "pull" and record is PUBLIC)
        )
        assert allowed(STRANGER, action, place) == expected
        assert allowed(ADMIN, action, place) == (record is not None)


@pytest.mark.parametrize(
    ("reach", "is_in"),
    [
        ("*", True),
        ("local/*", True),
        ("local/secret", True),
        ("local/secret2", False),
        ("loca/*", False),
        ("local", False),
        ("*/secret", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("who", [Principal("eve"), ADMIN])
def test_a_tokens_scopes_narrow_and_never_widen(reach, is_in, who):
    token = replace(who, scopes=(Scope(reach, frozenset({"pull", "push"})),))
    writer = Place(NAME.repository, PRIVATE, "admin")

    assert allowed(token, "pull", writer) == allowed(token, "push", writer) == is_in
    assert not allowed(token, "delete", writer)
    assert not allowed(token, "admin", writer)
    assert allowed(token, "pull", Place(NAME.repository, PUBLIC))
    assert allowed(token, "push", Place(NAME.repository, PRIVATE)) == (is_in and who.is_admin)
    assert not token.is_administrator


def test_a_token_grants_nothing_by_itself():
    token = Principal("", grants=parse_scopes([f"repository:{NAME}:*"]))

    assert outcome(token, "pull", PUBLIC) == "yes"
    assert outcome(token, "pull", PRIVATE) is Unauthorized
    assert outcome(token, "push", PUBLIC) is Unauthorized


@given(
    st.sampled_from([ANONYMOUS, STRANGER, ADMIN]),
    st.sampled_from(ACTIONS),
    st.sampled_from([PUBLIC, PRIVATE, None]),
    st.sampled_from([None, {}, {str(NAME): frozenset({"pull"})}]),
    st.sampled_from(["", *ROLES]),
)
def test_may_and_require_agree(principal, action, record, grants, role):
    who = Principal(principal.name, principal.is_admin, grants)

    place = Place(NAME.repository, record, role)
    assert may(who, action, NAME, place) == (outcome(who, action, record, role) == "yes")
    assert not may(who, action, NAME, place) or allowed(who, action, place)


def test_whoever_may_not_know_learns_the_command_all_the_same():
    with pytest.raises(NameUnknown, match="`orlop repository create local/secret`"):
        require(ADMIN, "push", NAME, Place(NAME.repository, None))


def test_the_base_asks_every_anonymous_for_an_account():
    for who in (ANONYMOUS, Principal(grants={})):
        with pytest.raises(Unauthorized) as caught:
            require_account(who)
        assert challenge(REALM, caught.value) == (
            'Bearer realm="https://orlop.test/v2/token",service="orlop"'
        )
    require_account(STRANGER)


def test_the_catalog_needs_an_account_or_its_own_token():
    for who in (ANONYMOUS, Principal(grants={}), Principal("eve", grants={})):
        with pytest.raises(Unauthorized) as caught:
            require_catalog(who)
        assert f'scope="{CATALOG}"' in challenge(REALM, caught.value)
    require_catalog(STRANGER)
    require_catalog(Principal(grants=parse_scopes([CATALOG])))


def test_who_pushes_needs_to_pull_too():
    assert scope_of(NAME, "push") == "repository:local/secret/app:pull,push"
    assert scope_of(NAME, "delete") == "repository:local/secret/app:delete"


@pytest.mark.parametrize(
    ("text", "grants"),
    [
        ("repository:a/b/c:pull,push", {"a/b/c": {"pull", "push"}}),
        ("repository(plugin):a/b/c:pull", {"a/b/c": {"pull"}}),
        ("repository:host:5000/a/b:pull", {"host:5000/a/b": {"pull"}}),
        ("repository:a/b/c:*", {"a/b/c": {"pull", "push", "delete"}}),
        ("repository:a/b/c:pull,fly,", {"a/b/c": {"pull"}}),
        ("repository:a:pull repository:b:push", {"a": {"pull"}, "b": {"push"}}),
        ("repository:a:pull repository:a:push", {"a": {"pull", "push"}}),
        ("registry:catalog:*", {CATALOG: {"*"}}),
        ("registry:catalog:pull", {}),
        ("registry:other:*", {}),
        ("other:a:pull", {}),
        ("repository:a", {}),
        (":::", {}),
        ("", {}),
    ],
)
def test_scopes_are_read_as_far_as_they_are_understood(text, grants):
    assert parse_scopes([text]) == grants


@given(st.lists(st.text(alphabet="repository:ab,*() \"\\", max_size=60), max_size=4))  # fmt: skip
def test_any_scopes_give_known_actions_only(texts):
    for name, actions in parse_scopes(texts).items():
        assert actions <= {"pull", "push", "delete"} or name == CATALOG


def test_a_challenge_has_no_empty_parts():
    assert challenge(REALM, Unauthorized(error="invalid_token")) == (
        'Bearer realm="https://orlop.test/v2/token",service="orlop",error="invalid_token"'
    )


def test_where_a_password_is_needed_the_challenge_is_basic():
    assert challenge(REALM, Unauthorized(is_basic=True)) == 'Basic realm="orlop"'
