"""One suite for every way to a server, and for the fake that tests of verbs use."""

import secrets
from pathlib import Path

import pytest

from frontend import client as client_module
from frontend.client import CommandFailed, iter_items
from frontend.local_client import LocalClient
from frontend.remote_client import RemoteClient, basic
from tests.frontend.fake_client import FakeClient
from tests.frontend.live import ADMIN

STORAGES = "/api/v1/storages"


def fake():
    def create(body):
        if body["name"] in {each["name"] for each in made.lists[STORAGES]}:
            raise CommandFailed(f"storage {body['name']} exists")
        made.lists[STORAGES].append({"name": body["name"], "created_at": "now"})
        return made.lists[STORAGES][-1]

    made = FakeClient()
    made.lists[STORAGES] = [{"name": "local", "created_at": "now"}]
    made.answers["POST", STORAGES] = create
    made.streams["/api/v1/fsck"] = [{"report": {"drift": []}}]
    return made


@pytest.fixture(params=["fake", "socket", "url", "tls"])
def client(request):
    if request.param == "fake":
        return fake()
    if request.param == "tls":
        secure = request.getfixturevalue("secure")
        authority = Path(secure.server.settings.http.tls_certificate)
        return RemoteClient(secure.url, basic(*ADMIN), authority)
    live = request.getfixturevalue("live")
    if request.param == "url":
        return RemoteClient(live.url + "/", basic(*ADMIN))
    return LocalClient(live.server.data)


@pytest.fixture
def name():
    """A storage that no other test has made."""
    return f"made-{secrets.token_hex(4)}"


def test_what_is_answered_comes_back(client, name):
    assert client.call("POST", STORAGES, {"name": name})["name"] == name


def test_a_refusal_has_the_words_of_the_server(client, name):
    client.call("POST", STORAGES, {"name": name})

    with pytest.raises(CommandFailed, match=f"storage {name} exists"):
        client.call("POST", STORAGES, {"name": name})


def test_a_list_is_read_to_its_end(client, name, monkeypatch):
    made = {f"{name}-{number}" for number in range(5)}
    for each in made:
        client.call("POST", STORAGES, {"name": each})
    monkeypatch.setattr(client_module, "_PAGE", 2)

    names = [each["name"] for each in iter_items(client, STORAGES)]

    assert made < set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_call_that_the_server_does_not_have_is_said(client, method):
    with pytest.raises(CommandFailed, match=f"does not know {method} /api/v1/nothing"):
        client.call(method, "/api/v1/nothing?page=1")


def test_a_stream_ends_with_its_report(client):
    assert [*client.stream("/api/v1/fsck")][-1]["report"]["drift"] == []


def test_a_stream_that_the_server_does_not_have_is_said(client):
    with pytest.raises(CommandFailed, match="does not know POST /api/v1/nothing"):
        next(client.stream("/api/v1/nothing"))
