"""What people with accounts, roles and tokens do with real clients."""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.containers import containers_in
from tests.e2e.dockerd import docker_client
from tests.e2e.images import make_small_layout
from tests.e2e.programs import new_folder
from tests.e2e.registry import Registry
from tests.e2e.test_containerd import NATIVE
from tests.e2e.test_docker import build, image_id, is_refusal, run

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Team:
    """A private repository, and people with roles in it."""

    registry: Registry
    name: str

    def person(self, role: str) -> Registry:
        """The registry as somebody new sees it."""
        user, password = f"{role}-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        self.call("POST", "/api/v1/users", username=user, password=password)
        self.call("PUT", f"/api/v1/repositories/{self.name}/grants/{user}", role=role)
        return Registry(self.registry.port, password, user)

    def token(self, whose: Registry, *actions: str) -> tuple[str, str]:
        """A token of theirs that is good here alone: its id, and itself."""
        scope = {"repository": self.name, "actions": list(actions)}
        body = {"name": "ci", "scopes": [scope], "username": whose.user}
        made = self.call("POST", "/api/v1/tokens", **body)
        return made["id"], made["token"]

    def call(self, method: str, path: str, **body: object) -> dict:
        content = json.dumps(body).encode() if body else None
        answer = self.registry.ask(method, path, content, JSON)
        assert answer.status < 300, answer.body
        return json.loads(answer.body) if answer.body else {}


@pytest.fixture(scope="module")
def team(registry: Registry) -> Team:
    team = Team(registry, f"local/team-{secrets.token_hex(3)}")
    storage, _, name = team.name.partition("/")
    team.call("POST", "/api/v1/repositories", storage=storage, name=name)
    return team


@pytest.fixture
def new_docker(docker_host):
    """Dockers of several people on one daemon."""
    with new_folder() as folder:
        yield lambda name: docker_client(docker_host, _made(folder / name))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def log_in(docker, who: Registry, password: str = "", user: str = "") -> None:
    arguments = ("--username", user or who.user, "--password-stdin", who.address)
    docker("login", *arguments, stdin=password or who.password)


def test_docker_pushes_with_a_writers_password_and_a_reader_only_pulls(
    team, new_docker, build_context
):
    writer, reader = team.person("writer"), team.person("reader")
    image = team.registry.image("app", team.name) + ":1"
    theirs, others = new_docker("writer"), new_docker("reader")
    log_in(theirs, writer)
    log_in(others, reader)
    built = build(theirs, build_context, image)

    refused = others.refused("push", image)
    theirs("push", image)
    theirs("rmi", image)
    others("pull", image)

    assert "denied" in refused or is_refusal(refused)
    assert image_id(others, image) == built


def test_docker_logs_in_with_a_token_under_any_name_until_it_is_revoked(
    team, new_docker, build_context
):
    writer = team.person("writer")
    token_id, token = team.token(writer, "pull", "push")
    docker = new_docker("ci")
    image = team.registry.image("by-token", team.name) + ":1"
    log_in(docker, writer, token, "whatever")
    build(docker, build_context, image)

    docker("push", image)
    team.call("DELETE", f"/api/v1/tokens/{token_id}")
    refused = docker.refused("push", image)

    assert is_refusal(refused)


def test_docker_keeps_no_password_and_its_login_ends_with_the_password(
    team, docker_host, folder, build_context
):
    writer = team.person("writer")
    docker = docker_client(docker_host, folder)
    image = team.registry.image("login", team.name) + ":1"
    log_in(docker, writer)
    build(docker, build_context, image)
    docker("push", image)
    kept = json.loads((folder / "config.json").read_text())["auths"][writer.address]
    path = f"/api/v1/users/{writer.user}/password"

    team.call("PUT", path, password=secrets.token_urlsafe(12))

    assert kept.get("identitytoken", "").startswith("orlopr_")
    assert writer.password not in base64.b64decode(kept["auth"]).decode()
    assert is_refusal(docker.refused("push", image))


def test_docker_logs_out(team, new_docker, build_context):
    reader = team.person("writer")
    docker = new_docker("out")
    image = team.registry.image("logout", team.name) + ":1"
    log_in(docker, reader)
    build(docker, build_context, image)
    docker("push", image)

    docker("logout", reader.address)

    assert is_refusal(docker.refused("push", image))


def test_docker_refuses_a_wrong_token_and_a_wrong_password_at_login(team, new_docker):
    reader = team.person("reader")
    docker = new_docker("wrong")
    for password in ("orlop_" + "A" * 43, secrets.token_urlsafe(12)):
        arguments = ("--username", reader.user, "--password-stdin", reader.address)

        said = docker.refused("login", *arguments, stdin=password)

        assert "unauthorized" in said.lower()


def test_without_login_docker_pulls_what_is_public_and_nothing_that_is_private(
    team, docker, new_docker, public, build_context
):
    docker_of_nobody = new_docker("nobody")
    open_image = team.registry.image("open", public) + ":1"
    closed_image = team.registry.image("closed", team.name) + ":1"
    build(docker, build_context, open_image, closed_image)
    for image in (open_image, closed_image):
        docker("push", image)
        docker("rmi", image)

    docker_of_nobody("pull", open_image)
    refused = docker_of_nobody.refused("pull", closed_image)
    asked = Registry(team.registry.port, "", "").ask(
        "GET", f"/v2/{team.name}/closed/manifests/1", headers={"Authorization": ""}
    )

    assert run(docker_of_nobody, open_image) == build_context.message
    assert is_refusal(refused)
    assert asked.status == 401


def test_podman_logs_in_with_a_token_and_out_again(team, folder):
    writer = team.person("writer")
    _, token = team.token(writer, "pull", "push")
    layout = make_small_layout(folder)
    containers = containers_in(_made(folder / "podman"))
    containers.trust(team.registry)
    image = team.registry.image("podman", team.name) + ":1"
    arguments = ("--username", "ci", "--password-stdin", writer.address)

    containers.podman("login", *arguments, stdin=token)
    containers.podman("pull", f"oci:{layout}:latest")
    name = containers.podman("images", "--quiet").split()[0]
    containers.podman("push", name, image)
    containers.podman("rmi", "--all", "--force")
    containers.podman("pull", image)
    containers.podman("logout", writer.address)

    assert "unauthorized" in containers.podman.refused("pull", image).lower()


def test_skopeo_copies_with_credentials_of_the_command_line(team, folder):
    writer, reader = team.person("writer"), team.person("reader")
    _, token = team.token(writer, "pull", "push")
    layout = make_small_layout(folder)
    containers = containers_in(_made(folder / "skopeo"))
    containers.trust(team.registry)
    image = "docker://" + team.registry.image("skopeo", team.name) + ":1"

    refused = containers.skopeo.refused(
        "copy", "--dest-creds", reader.credentials, f"oci:{layout}:latest", image
    )
    containers.skopeo("copy", "--dest-creds", f"ci:{token}", f"oci:{layout}:latest", image)
    seen = containers.skopeo("inspect", "--creds", reader.credentials, image)

    assert "denied" in refused.lower()
    assert json.loads(seen)["Digest"].startswith("sha256:")
    assert "unauthorized" in containers.skopeo.refused("inspect", image).lower()


def test_ctr_pulls_with_a_token(team, ctr, folder):
    writer, reader = team.person("writer"), team.person("reader")
    _, token = team.token(reader, "pull")
    containers = containers_in(_made(folder / "skopeo"))
    containers.trust(team.registry)
    image = team.registry.image("ctr", team.name) + ":1"
    layout = make_small_layout(folder)
    copy = ("copy", "--dest-creds", writer.credentials)
    containers.skopeo(*copy, f"oci:{layout}:latest", f"docker://{image}")

    ctr("images", "pull", *NATIVE, "--plain-http", "--user", f"ci:{token}", image)
    ctr("images", "remove", "--sync", image)
    refused = ctr.refused("images", "pull", *NATIVE, "--plain-http", "--user", "ci:no", image)

    assert "401" in refused or "authorization" in refused.lower()


def test_a_pull_secret_as_kubernetes_has_it_is_enough(team, docker_host, folder, build_context):
    writer, reader = team.person("writer"), team.person("reader")
    _, token = team.token(reader, "pull")
    image = team.registry.image("kubernetes", team.name) + ":1"
    pushing = docker_client(docker_host, _made(folder / "pushing"))
    log_in(pushing, writer)
    build(pushing, build_context, image)
    pushing("push", image)
    pushing("rmi", image)
    auth = base64.b64encode(f"puller:{token}".encode()).decode()
    entry = {"username": "puller", "password": token, "auth": auth}
    secret = json.dumps({"auths": {reader.address: entry}})
    (_made(folder / "kubelet") / "config.json").write_text(secret)
    containers = containers_in(_made(folder / "cri"))
    containers.trust(team.registry)
    (folder / "cri" / "auth.json").write_text(secret)

    docker_client(docker_host, folder / "kubelet")("pull", image)
    seen = containers.skopeo("inspect", f"docker://{image}")

    assert run(pushing, image) == build_context.message
    assert json.loads(seen)["Name"].endswith("/kubernetes")
