"""The verbs against a real server: through its socket, and from elsewhere with a password."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from frontend.main import main
from tests.frontend.live import ADMIN, PASSWORD
from tests.frontend.people import person
from tests.frontend.terminal import Terminal

INDEX = "application/vnd.oci.image.index.v1+json"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"n{secrets.token_hex(4)}"


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command: its exit code, and what it printed."""
    for each in list(os.environ):
        if each.startswith("ORLOP_"):
            monkeypatch.delenv(each)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(params=["socket", "url", "tls"])
def orlop(request, run, monkeypatch):
    """Run a command that must succeed, on any way to a server."""
    live = request.getfixturevalue("secure" if request.param == "tls" else "live")
    where = ["--data", str(live.server.data)]
    if request.param != "socket":
        monkeypatch.setenv("ORLOP_PASSWORD", PASSWORD)
        where = ["--url", live.url, "--login", "admin"]
    if request.param == "tls":
        where += ["--ca", live.server.settings.http.tls_certificate]

    def ask(*arguments: str) -> str:
        code, out, err = run(*arguments, *where)
        assert (code, err) == (0, "")
        return out

    ask.live = live
    return ask


def test_a_team_gets_a_repository_a_user_and_a_token(orlop, name):
    """The way of README."""
    orlop("repository", "create", f"local/{name}")
    password = orlop("user", "create", name, "--generate").strip()
    orlop("grant", "set", f"local/{name}", name, "writer")
    granted = orlop("grant", "list", f"local/{name}")
    made = orlop("token", "create", "ci", "--user", name, "--expires", "90d", "--scope",
                 f"local/{name}:pull,push", "--json")  # fmt: skip

    token = json.loads(made)["token"]
    image = f"/v2/local/{name}/app"
    for secret in (password, token):
        answer = orlop.live.stranger.post(f"{image}/blobs/uploads/", auth=(name, secret))
        assert answer.status_code == 202
    assert granted == f"{name}\twriter\n"
    assert orlop.live.stranger.get("/api/v1/users", auth=(name, password)).status_code == 403


def test_what_is_taken_away_is_gone(orlop, name):
    orlop("repository", "create", f"local/{name}")
    orlop("user", "create", name, "--generate")
    orlop("grant", "set", f"local/{name}", name, "reader")
    token = json.loads(orlop("token", "create", "t", "--user", name, "--json"))

    orlop("grant", "remove", f"local/{name}", name)
    orlop("token", "revoke", token["id"])
    disabled = json.loads(orlop("user", "disable", name, "--json"))
    enabled = json.loads(orlop("user", "enable", name, "--json"))

    assert orlop("grant", "list", f"local/{name}") == ""
    assert orlop("token", "list", "--user", name) == ""
    assert (disabled["disabled"], enabled["disabled"]) == (True, False)
    orlop("user", "delete", name)
    assert name not in orlop("user", "list")


def test_a_user_is_shown_and_becomes_an_administrator(orlop, name):
    orlop("user", "create", name, "--generate")
    before = json.loads(orlop("user", "show", name, "--json"))
    orlop("user", "role", name, "admin")
    after = json.loads(orlop("user", "show", name, "--json"))
    listed = json.loads(orlop("user", "list", "--json"))
    orlop("user", "delete", name)

    assert (before["role"], after["role"]) == ("user", "admin")
    assert after in listed


def test_a_password_is_changed(orlop, name):
    orlop("user", "create", name, "--generate")
    password = orlop("user", "password", name, "--generate").strip()

    assert orlop.live.stranger.get("/v2/", auth=(name, password)).status_code == 200


def test_a_proxy_is_created_shown_and_changed(orlop, name):
    repository = f"local/{name}"
    url = "https://registry.test/images"
    orlop("repository", "create", repository, "--proxy", url, "--offline", "--max-size", "1GiB")
    orlop("repository", "update", repository, "--online", "--ttl", "60")
    shown = json.loads(orlop("repository", "show", repository, "--json"))
    listed = orlop("repository", "list")
    orlop("repository", "delete", repository)

    assert shown["upstream"]["url"] == url
    assert (shown["upstream"]["offline"], shown["upstream"]["tag_ttl_seconds"]) == (False, 60)
    assert shown["upstream"]["max_bytes"] == 1 << 30
    assert f"{repository}\tprivate\t{url}\t" in listed


def test_a_repositorys_settings_change_and_it_goes(orlop, name):
    repository = f"{name}/team"
    orlop("storage", "create", name)
    orlop("repository", "create", repository, "--immutable", "v*", "--quota", "1GiB")
    orlop("repository", "update", repository, "--public", "--description", "ours", "--mutable")
    shown = json.loads(orlop("repository", "show", repository, "--json"))
    orlop.live.push(f"{repository}/app", b"content")
    orlop("repository", "delete", repository, "--force")
    orlop("storage", "delete", name)

    assert (shown["visibility"], shown["description"]) == ("public", "ours")
    assert (shown["immutable_tags"], shown["quota_bytes"]) == ([], 1 << 30)
    assert name not in orlop("storage", "list")


def test_packages_are_listed_found_and_deleted(orlop, name):
    repository = f"local/{name}"
    orlop("repository", "create", repository)
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    path = f"/v2/{repository}/app/web/manifests"
    for tag in ("v1", "v2"):
        answer = orlop.live.client.put(
            f"{path}/{tag}", content=content, headers={"Content-Type": INDEX}
        )
        assert answer.status_code == 201, answer.text

    newest = orlop("package", "list", repository, "--reverse", "--query", "WEB")
    found = json.loads(orlop("search", name, "tag:v1", "--json"))
    deleted = orlop("package", "delete", repository, "app/web:v1")
    left = orlop("package", "list", repository, "--image", "app/web")

    assert [line.partition("\t")[0] for line in newest.splitlines()] == ["app/web:v2", "app/web:v1"]
    assert [(each["kind"], each["tag"]) for each in found] == [("tag", "v1")]
    assert deleted == "deleted app/web:v1\n"
    assert left.startswith("app/web:v2\tsha256:")
    assert len(left.splitlines()) == 1


def test_the_journal_tells_who_did_what(orlop, name):
    orlop("repository", "create", f"local/{name}")
    orlop("repository", "update", f"local/{name}", "--public")
    entries = json.loads(orlop("journal", "--repository", f"local/{name}", "--json"))
    lines = orlop("journal", "--action", "repository.create").splitlines()

    assert [each["action"] for each in entries] == ["repository.create", "repository.update"]
    assert {each["actor"] for each in entries} == {"admin"}
    assert lines[-1].split("\t")[1:4] == ["admin", "repository.create", f"local/{name}"]


def test_maintenance_goes_every_way_too(orlop):
    assert "collected: " in orlop("gc")
    assert json.loads(orlop("fsck", "--json"))["drift"] == []
    assert json.loads(orlop("scrub", "--json"))["standing"] == 0
    assert json.loads(orlop("stats", "--json"))["logical"] >= 0


@pytest.mark.parametrize("way", ["environment", "argument", "file"])
def test_a_token_is_enough_elsewhere(live, run, monkeypatch, tmp_path, way):
    token = person(live, "admin").make_token()["token"]
    where = ["--url", live.url]
    if way == "environment":
        monkeypatch.setenv("ORLOP_TOKEN", token)
    elif way == "argument":
        where += ["--token", token]
    else:
        (tmp_path / "token").write_text(token + "\n")
        where += ["--token-file", str(tmp_path / "token")]

    code, out, err = run("repository", "list", *where)

    assert (code, err) == (0, "")
    assert "local/images" in out


def test_a_token_that_was_revoked_is_told_and_not_repeated(live, run):
    somebody = person(live)
    made = somebody.make_token()
    live.client.delete(f"/api/v1/tokens/{made['id']}").raise_for_status()

    code, out, err = run("repository", "list", "--url", live.url, "--token", made["token"])

    assert (code, out) == (1, "")
    assert "ORLOP_TOKEN" in err
    assert made["token"] not in err
    assert len(err.splitlines()) == 1


def test_whoever_may_not_is_told_why(live, run, monkeypatch):
    somebody = person(live)
    monkeypatch.setenv("ORLOP_PASSWORD", somebody.password)

    code, out, err = run("user", "list", "--url", live.url, "--login", somebody.name)

    assert (code, out) == (1, "")
    assert err == "orlop: only an administrator may list users\n"


def test_a_person_changes_his_own_password(live):
    somebody, new = person(live), secrets.token_urlsafe(12)
    where = ("--url", live.url, "--login", somebody.name)
    terminal = Terminal("user", "password", somebody.name, *where)
    for prompt, said in (
        (f"Password of {somebody.name}: ", somebody.password),
        (f"New password of {somebody.name}: ", new),
        ("Again: ", new),
    ):
        terminal.wait_for(prompt)
        terminal.type(said)

    assert terminal.end() == 0
    assert somebody.password not in terminal.shown
    assert new not in terminal.shown
    assert live.stranger.get("/v2/", auth=(somebody.name, new)).status_code == 200
    assert live.stranger.get("/v2/", auth=somebody.auth).status_code == 401


def test_on_a_terminal_a_token_comes_with_words(live, name):
    where = ("--data", str(live.server.data))
    terminal = Terminal("token", "create", name, "--expires", "1d", *where)

    assert terminal.end() == 0
    assert f"created token {name} of admin, valid until 20" in terminal.shown
    (line,) = (each for each in terminal.shown.splitlines() if each.startswith("    "))
    assert live.stranger.get("/v2/", auth=("any", line.strip())).status_code == 200


def test_no_secret_can_be_read_by_others_on_the_machine(live):
    """Neither in the arguments while it runs, nor in what it prints."""
    somebody = person(live)
    where = ("--url", live.url, "--login", somebody.name)
    terminal = Terminal("storage", "list", *where, ORLOP_PASSWORD=somebody.password)
    seen = Path(f"/proc/{terminal.pid}/cmdline").read_bytes()

    assert terminal.end() == 1
    assert somebody.password.encode() not in seen
    assert somebody.password not in terminal.shown


def test_a_reader_that_had_enough_is_no_traceback(live):
    program = [sys.executable, "-m", "frontend.main"]
    listing = subprocess.Popen(  # noqa: S603 - our own program
        [*program, "repository", "list", "--data", str(live.server.data)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.close()
    said = listing.stderr.read()
    listing.stderr.close()

    assert (listing.wait(), said) == (1, b"")


def test_every_list_has_all_of_its_pages(live, run, monkeypatch):
    monkeypatch.setattr("frontend.client._PAGE", 2)
    somebody = person(live)
    for _ in range(3):
        somebody.make_token()
    where = ("--data", str(live.server.data))

    for arguments, path in (
        (["storage", "list"], "/api/v1/storages"),
        (["repository", "list"], "/api/v1/repositories"),
        (["user", "list"], "/api/v1/users"),
        (["token", "list", "--user", somebody.name], f"/api/v1/tokens?username={somebody.name}"),
    ):
        items = json.loads(run(*arguments, "--json", *where)[1])
        mark = "&" if "?" in path else "?"
        assert items == live.client.get(f"{path}{mark}per_page=1000").json()["items"]
    assert len(items) == 3


def test_admin_is_admin(live, run):
    """The credentials of these tests are those of the server."""
    assert live.stranger.get("/v2/", auth=ADMIN).status_code == 200
    assert run("user", "show", "admin", "--data", str(live.server.data))[0] == 0
