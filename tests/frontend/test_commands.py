"""The verbs over the API: what they ask for, and what they print. No server: a fake client."""

import io
import json
import secrets

import pytest

SECRET = secrets.token_urlsafe(16)
NOW = "2026-11-30T02:00:00Z"
USER = {"username": "ann", "role": "user", "disabled": False, "created_at": NOW}
GRANT = {"username": "ann", "role": "reader"}
STORAGE = {"name": "local", "created_at": NOW}
TOKEN = {
    "id": "t1",
    "name": "ci",
    "username": "ann",
    "created_at": NOW,
    "expires_at": None,
    "last_used_at": None,
    "scopes": [{"repository": "local/team", "actions": ["pull", "push"]}],
}
REPOSITORY = {
    "storage": "local",
    "name": "team",
    "kind": "hosted",
    "visibility": "private",
    "description": "ours",
    "upstream": None,
    "created_at": NOW,
}
UPSTREAM = {"url": "https://registry.test/library", "username": ""}
PROXY = REPOSITORY | {"name": "hub", "kind": "proxy", "upstream": UPSTREAM}


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ("storage create a", ("POST", "/api/v1/storages", {"name": "a"})),
        ("storage delete a/b", ("DELETE", "/api/v1/storages/a%2Fb", None)),
        (
            "repository create local/a",
            (
                "POST",
                "/api/v1/repositories",
                {"storage": "local", "name": "a", "visibility": "private"},
            ),
        ),
        (
            "repository create local/a --public --description x --quota 10GiB "
            "--immutable v* --immutable release-*",
            (
                "POST",
                "/api/v1/repositories",
                {
                    "storage": "local",
                    "name": "a",
                    "visibility": "public",
                    "description": "x",
                    "immutable_tags": ["v*", "release-*"],
                    "quota_bytes": 10 << 30,
                },
            ),
        ),
        (
            "repository update local/a --private --quota 0",
            (
                "PATCH",
                "/api/v1/repositories/local/a",
                {"visibility": "private", "quota_bytes": 0},
            ),
        ),
        (
            "repository update local/a --public --mutable",
            (
                "PATCH",
                "/api/v1/repositories/local/a",
                {"visibility": "public", "immutable_tags": []},
            ),
        ),
        (
            "repository update local/a --description=",
            ("PATCH", "/api/v1/repositories/local/a", {"description": ""}),
        ),
        ("repository delete local/a", ("DELETE", "/api/v1/repositories/local/a", None)),
        (
            "repository delete local/a --force",
            ("DELETE", "/api/v1/repositories/local/a?force=true", None),
        ),
        ("user delete ann", ("DELETE", "/api/v1/users/ann", None)),
        ("user enable ann", ("PATCH", "/api/v1/users/ann", {"disabled": False})),
        ("user disable ann", ("PATCH", "/api/v1/users/ann", {"disabled": True})),
        ("user role ann admin", ("PATCH", "/api/v1/users/ann", {"role": "admin"})),
        (
            "grant set local/a ann writer",
            ("PUT", "/api/v1/repositories/local/a/grants/ann", {"role": "writer"}),
        ),
        (
            "grant remove local/a a@b",
            ("DELETE", "/api/v1/repositories/local/a/grants/a%40b", None),
        ),
        ("token create ci", ("POST", "/api/v1/tokens", {"name": "ci"})),
        (
            "token create ci --user ann --expires 90d --scope local/a:pull,push --scope *:pull",
            (
                "POST",
                "/api/v1/tokens",
                {
                    "name": "ci",
                    "username": "ann",
                    "expires_in_seconds": 90 * 86_400,
                    "scopes": [
                        {"repository": "local/a", "actions": ["pull", "push"]},
                        {"repository": "*", "actions": ["pull"]},
                    ],
                },
            ),
        ),
        ("token revoke t1", ("DELETE", "/api/v1/tokens/t1", None)),
    ],
)
def test_a_verb_is_one_call(fake, orlop, arguments, call):
    method, path, _ = call
    fake.answers[method, path.partition("?")[0]] = (
        (TOKEN | {"token": "x"}) if "token" in path else {}
    )

    code, out, err = orlop(*arguments.split())
    as_json = orlop(*arguments.split(), "--json")

    assert (code, err, fake.calls[0]) == (0, "", call)
    assert len(fake.calls) == 2
    assert len(out.splitlines()) == 1
    assert isinstance(json.loads(as_json[1]), dict)


@pytest.mark.parametrize(
    "arguments",
    [
        "repository create team",
        "repository create a/b/c",
        "repository show /a",
        "repository create local/a --quota many",
        "repository update local/a",
        "repository update local/a --immutable v* --mutable",
        "repository update local/a --public --private",
        "user role ann king",
        "user create ann --password-stdin --generate",
        "user create ann --password hunter2",
        "grant set local/a ann owner",
        "token create ci --expires soon",
        "token create ci --expires 0d",
        "token create ci --scope local/a",
        "token create ci --scope :pull",
        "token create",
        "package delete local/a",
        "package delete local/a app",
        "package delete local/a app:v1 app@",
        "package list local/a --sort colour",
        "search",
        "user list --data d --url https://a",
        "user list --token x",
        "user list --url https://a --token x --token-file y",
        "fsck --repair --url https://a",
    ],
)
def test_what_cannot_be_meant_is_2_and_asks_nobody(orlop, fake, arguments, monkeypatch):
    if "--token" in arguments or "--data" in arguments:  # the client itself finds out
        monkeypatch.undo()

    code, out, err = orlop(*arguments.split())

    assert code == 2
    assert fake.calls == []
    assert out + err


# --- lists ---


@pytest.mark.parametrize(
    ("arguments", "listed", "line"),
    [
        ("storage list", ("storages", STORAGE), f"local\t{NOW}"),
        ("repository list", ("repositories", REPOSITORY), f"local/team\tprivate\t\t{NOW}\tours"),
        (
            "repository list",
            ("repositories", PROXY),
            f"local/hub\tprivate\thttps://registry.test/library\t{NOW}\tours",
        ),
        ("user list", ("users", USER), f"ann\tuser\tno\t{NOW}"),
        ("grant list local/team", ("repositories/local/team/grants", GRANT), "ann\treader"),
        ("token list", ("tokens", TOKEN), "t1\tci\tann\t\t\tlocal/team:pull,push"),
        ("token list --user ann", ("tokens", TOKEN), "t1\tci\tann\t\t\tlocal/team:pull,push"),
    ],
)
def test_a_list_is_lines_of_cells_or_all_of_its_items(fake, orlop, arguments, listed, line):
    path, item = listed
    fake.lists[f"/api/v1/{path}"] = [item] * 1001

    lines = orlop(*arguments.split())[1].splitlines()
    items = json.loads(orlop(*arguments.split(), "--json")[1])

    assert lines == [line] * 1001
    assert items == [item] * 1001


@pytest.mark.parametrize("path", ["storages", "repositories", "users", "tokens"])
def test_an_empty_list_is_nothing(fake, orlop, path):
    fake.lists[f"/api/v1/{path}"] = []
    word = {"storages": "storage", "repositories": "repository"}.get(path, path[:-1])

    assert orlop(word, "list") == (0, "", "")
    assert json.loads(orlop(word, "list", "--json")[1]) == []


def test_what_strangers_wrote_adds_no_cell_and_no_line(fake, orlop):
    bad = REPOSITORY | {"description": "a\tb\nc\x1b[31m"}
    fake.lists["/api/v1/repositories"] = [bad]

    assert orlop("repository", "list")[1] == f"local/team\tprivate\t\t{NOW}\ta�b�c�[31m\n"


def test_one_thing_is_a_field_a_line(fake, orlop):
    fake.answers["GET", "/api/v1/users/ann"] = USER

    assert orlop("user", "show", "ann")[1] == (
        f"username\tann\nrole\tuser\ndisabled\tno\ncreated at\t{NOW}\n"
    )
    assert json.loads(orlop("user", "show", "ann", "--json")[1]) == USER


def test_statistics_name_each_repository(fake, orlop):
    figures = {"name": "local/team", "linked": 5, "images": 2, "manifests": 3}
    fake.answers["GET", "/api/v1/stats"] = {"logical": 7, "repositories": [figures]}

    out = orlop("stats")[1]

    assert out == "logical  7\nlocal/team: 2 images, 3 manifests, 5 bytes\n"


# --- secrets ---


def test_a_password_comes_from_standard_input(fake, orlop, monkeypatch):
    fake.answers["POST", "/api/v1/users"] = USER
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\r\n"))

    code, out, err = orlop("user", "create", "ann", "--admin", "--password-stdin")

    assert (code, out, err) == (0, "created user ann\n", "")
    body = {"username": "ann", "password": SECRET, "role": "admin"}
    assert fake.calls == [("POST", "/api/v1/users", body)]


@pytest.mark.parametrize("said", ["", "\n", "x" * 70_000])
def test_what_is_no_password_is_refused(fake, orlop, monkeypatch, said):
    monkeypatch.setattr("sys.stdin", io.StringIO(said))

    code, out, err = orlop("user", "password", "ann", "--password-stdin")

    assert (code, out, fake.calls) == (1, "", [])
    assert len(err) < 200


def test_without_a_terminal_nobody_is_asked(fake, orlop, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))

    code, _, err = orlop("user", "create", "ann")

    assert (code, fake.calls) == (1, [])
    assert "--password-stdin" in err
    assert "--generate" in err


@pytest.mark.parametrize(
    ("verb", "method", "path"),
    [("create", "POST", "/api/v1/users"), ("password", "PUT", "/api/v1/users/ann/password")],
)
def test_a_password_that_is_made_comes_alone_into_a_pipe(fake, orlop, verb, method, path):
    fake.answers[method, path] = USER if verb == "create" else None

    first = orlop("user", verb, "ann", "--generate")[1].strip()
    second = json.loads(orlop("user", verb, "ann", "--generate", "--json")[1])["password"]

    assert [body["password"] for _, _, body in fake.calls] == [first, second]
    assert first != second
    assert len(first) >= 20


def test_a_token_comes_alone_into_a_pipe(fake, orlop):
    made = TOKEN | {"token": SECRET}
    fake.answers["POST", "/api/v1/tokens"] = made

    assert orlop("token", "create", "ci") == (0, f"{SECRET}\n", "")
    assert json.loads(orlop("token", "create", "ci", "--json")[1]) == made


# --- which server ---


def test_a_token_is_needed_elsewhere(orlop, monkeypatch):
    monkeypatch.delenv("ORLOP_TOKEN", raising=False)

    code, _, err = orlop("user", "list", "--url", "https://registry.invalid")

    assert code == 1
    assert "ORLOP_TOKEN" in err
    assert "--login" in err


@pytest.mark.parametrize("way", ["argument", "file", "environment"])
def test_a_token_that_cannot_be_one_is_not_repeated(orlop, monkeypatch, tmp_path, way):
    monkeypatch.delenv("ORLOP_TOKEN", raising=False)
    wrong = f"{SECRET} {SECRET}"
    arguments = ["user", "list", "--url", "https://registry.invalid"]
    if way == "argument":
        arguments += ["--token", wrong]
    elif way == "file":
        (tmp_path / "token").write_text(wrong)
        arguments += ["--token-file", str(tmp_path / "token")]
    else:
        monkeypatch.setenv("ORLOP_TOKEN", wrong)

    code, out, err = orlop(*arguments)

    assert code == 1
    assert SECRET not in out + err
    assert "characters that no token has" in err


def test_a_file_without_a_token_is_named(orlop, tmp_path):
    for content in (None, b"\xff"):
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        code, _, err = orlop(
            "user", "list", "--url", "https://a.invalid", "--token-file", str(path)
        )
        assert code == 1
        assert str(path) in err


def test_a_directory_that_is_named_counts_more_than_the_environment(orlop, monkeypatch, tmp_path):
    monkeypatch.setenv("ORLOP_URL", "https://registry.invalid")
    monkeypatch.setenv("ORLOP_TOKEN", SECRET)

    here = orlop("user", "list", "--data", str(tmp_path))
    there = orlop("user", "list")

    assert f"no server runs on {tmp_path}" in here[2]
    assert "registry.invalid" in there[2]
    assert SECRET not in here[2] + there[2]
