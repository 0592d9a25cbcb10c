"""What credentials cost: the same manifest by every kind of them, in one run."""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import servers, wrk
from bench.cores import Cores, running_on
from bench.registry import tag_image
from bench.row import Row
from bench.servers import Server

ROUNDS = 3
SECONDS = 3.0
CONNECTIONS = 16
SHARE = 0.75  # of the rate without credentials, or RATE
RATE = 15_000


def credentials(folder: Path) -> Iterator[Row]:
    """Manifest GET by tag, 16 connections, one core: public, Basic, Bearer, and a cookie."""
    cores = Cores.default()
    with servers.orlop(folder / "credentials", cores=cores) as server, running_on(cores.load):
        public = _repository(server, "open", "public")
        team = _repository(server, "team", "private")
        for image in (public, team):
            tag_image(server, image, ["latest"])
        ways = {"nobody, public": (public, {})} | {
            name: (team, said) for name, said in _ways(server, team)
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (image, said) in ways.items():
                asking = replace(server, said=tuple(said.items()))
                path = f"/v2/{image}/manifests/latest"
                load = wrk.run(
                    asking, path, connections=CONNECTIONS, seconds=SECONDS, folder=folder
                )
                rates[name].append(load.operations / load.seconds)
        without = median(rates["nobody, public"])
        for name, found in rates.items():
            figure = f"{median(found):,.0f}/s, {median(found) / without:.2f}"
            yield Row(f"manifest GET, {name}", figure, f"≥ {RATE:,}/s or {SHARE}")


def _ways(server: Server, image: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Header fields of a reader of `image`, by every kind of credential."""
    repository = "/".join(image.split("/")[:2])
    name, password = "reader", secrets.token_urlsafe(12)
    _call(server, "POST", "/api/v1/users", {"username": name, "password": password})
    grant = f"/api/v1/repositories/{repository}/grants/{name}"
    _call(server, "PUT", grant, {"role": "reader"})
    reader = replace(server, user=name, password=password)
    token = _call(reader, "POST", "/api/v1/tokens", {"name": "bench"})["token"]
    by_token = replace(server, user="any", password=token)
    scope = f"/v2/token?scope=repository:{image}:pull"
    short = _call(reader, "GET", scope)["token"]
    yield "Basic, administrator", server.headers
    yield "Basic, password of a reader", reader.headers
    yield "Basic, access token", by_token.headers
    yield "Bearer, access token", {"Authorization": f"Bearer {token}"}
    yield "Bearer, registry token", {"Authorization": f"Bearer {short}"}
    yield "cookie of a session", {"Cookie": sign_in(server, name, password)}


def _repository(server: Server, name: str, visibility: str) -> str:
    body = {"storage": "local", "name": name, "visibility": visibility}
    _call(server, "POST", "/api/v1/repositories", body)
    return f"local/{name}/bench"


def sign_in(server: Server, name: str, password: str) -> str:
    """The header field `Cookie` of a session."""
    connection = server.connect()
    body = json.dumps({"username": name, "password": password})
    connection.request("POST", "/api/v1/session", body)
    answer = connection.getresponse()
    answer.read()
    return (answer.headers["Set-Cookie"] or "").partition(";")[0]


def _call(server: Server, method: str, path: str, body: object = None) -> dict[str, str]:
    connection = server.connect()
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, server.headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{path} answered {answer.status}: {said!r:.200}")
    found: dict[str, str] = json.loads(said)
    return found
