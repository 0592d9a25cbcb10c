"""The description of the management API says what the server does, and nothing else.

tests/data/openapi/schema-3.1.json   https://spec.openapis.org/oas/3.1/schema/2022-10-07
"""

import json
import re
import secrets
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest

from frontend import VERSION
from frontend.app import RegistryApp
from frontend.management.openapi import document
from frontend.management.routes import management_routes
from frontend.management.routing import Account, Anybody, Reply, Route, Visitor
from frontend.web.pages import web_pages

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests" / "data" / "openapi" / "schema-3.1.json").read_text())
PATH = "/api/v1/openapi.json"
PLACES = {"storage": "local", "name": "images", "username": "admin"}
NEEDED = {"q": "images", "image": "app", "reference": "v1"}  # parameters of queries
SIGN_OUT = ("DELETE", "/api/v1/session")  # only a session can: test_sessions_api.py
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def described(live):
    return live.stranger.get(PATH).json()


def operations(described):
    return {
        (method.upper(), path): operation
        for path, item in described["paths"].items()
        for method, operation in item.items()
    }


def check(described, operation, answer):
    """The answer is one of those that are described, in every field, and has no other field."""
    said = operation["responses"].get(str(answer.status_code), operation["responses"]["default"])
    kind = answer.headers.get("Content-Type")
    if "content" not in said:
        assert (answer.content, kind) == (b"", None)
        return
    schema = closed({"components": described["components"], **said["content"][kind]["schema"]})
    jsonschema.Draft202012Validator(schema).validate(
        answer.json() if "json" in kind else answer.text
    )


def closed(schema):
    """The same, with no room for properties that are not described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(each) for key, each in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def test_anybody_may_read_it_and_it_is_openapi(described):
    jsonschema.Draft202012Validator(SCHEMA).validate(described)

    assert described["openapi"].startswith("3.1.")
    assert described["info"]["version"] == VERSION


def test_the_version_is_the_packages():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_what_is_registered_is_described_and_the_other_way_round(live, described):
    pages = {page.name for page in web_pages(live.registry)}  # tests/web
    rules = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in RegistryApp(live.registry).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint not in pages
    }

    assert set(operations(described)) == rules
    assert all(set(item) <= METHODS for item in described["paths"].values())


def test_every_operation_has_a_name_of_its_own(described):
    names = [each["operationId"] for each in operations(described).values()]

    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(described):
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))

    assert references == set(described["components"]["schemas"])


def test_every_schema_is_one(described):
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_part_of_a_path_is_a_parameter(described):
    for (_, path), operation in operations(described).items():
        said = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
        assert said == re.findall(r"{(\w+)}", path)


def test_what_is_answered_to_a_get_is_what_is_described(live, described):
    live.create_repository(f"local/{live.image().rpartition('/')[2]}")
    live.push(live.image(), b"described" * 10_000)
    called = 0

    for (method, path), operation in operations(described).items():
        needs = [each for each in operation.get("parameters", ()) if each["required"]]
        if method == "GET" and all(each["name"] in PLACES | NEEDED for each in needs):
            query = {each["name"]: NEEDED[each["name"]] for each in needs if each["in"] == "query"}
            for client in (live.client, live.stranger):
                answer = client.get(path.format_map(PLACES), params=query)
                if path != PATH:  # any value
                    check(described, operation, answer)
            called += answer.status_code in (200, 401)
    assert called > 8


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/repositories", {"storage": "local", "name": "described"}, 201),
        ("/api/v1/repositories", {"storage": "local", "name": "images"}, 409),
        ("/api/v1/repositories", {"storage": "local"}, 400),
        ("/api/v1/repositories", {"storage": "local", "name": "x" * 70_000}, 413),
        ("/api/v1/storages", {"name": "described"}, 201),
        ("/api/v1/gc", {"dry_run": True}, 200),
        ("/api/v1/gc", {}, 200),
        ("/api/v1/fsck", None, 200),
        ("/api/v1/scrub", {}, 200),
    ],
)
def test_what_is_answered_to_a_post_is_what_is_described(live, described, path, body, status):
    answer = live.client.post(path, json=body)

    assert answer.status_code == status
    check(described, operations(described)["POST", path], answer)


ONE, REPOSITORY = "/api/v1/users/{username}", "/api/v1/repositories/{storage}/{name}"
GRANT, LIFE = f"{REPOSITORY}/grants/{{username}}", {"username": "lives"}
OTHER = {"If-Match": '"other"'}
SCOPES = [{"repository": "life/one", "actions": ["pull"]}]
OLD, NEW = ({"password": secrets.token_urlsafe(12)} for _ in range(2))
STEPS = (  # method, path, body, the statuses of calling it so often, query, headers
    ("POST", "/api/v1/storages", {"name": "life"}, (201, 409)),
    ("POST", "/api/v1/repositories", {"storage": "life", "name": "one"}, (201, 409)),
    ("PATCH", REPOSITORY, {"visibility": "public", "immutable_tags": ["v*"]}, (200, 200)),
    ("PATCH", REPOSITORY, {"kind": "proxy"}, (409,)),
    ("PATCH", REPOSITORY, {}, (412,), {}, OTHER),
    ("POST", "/api/v1/users", LIFE | OLD, (201, 409)),
    ("POST", "/api/v1/users", {"username": "-"} | OLD, (400,)),
    ("PATCH", ONE, {"disabled": False}, (200,)),
    ("PATCH", ONE, {"disabled": True}, (412,), {}, OTHER),
    ("PUT", f"{ONE}/password", NEW, (204,)),
    ("PUT", GRANT, {"role": "reader"}, (200, 200)),
    ("GET", GRANT, None, (200,)),
    ("POST", "/api/v1/tokens", {"name": "t", "scopes": SCOPES} | LIFE, (201,)),
    ("GET", "/api/v1/tokens", None, (200,), LIFE),
    ("DELETE", "/api/v1/tokens/{id}", None, (204, 404)),
    ("POST", "/api/v1/session", LIFE | NEW, (201,)),
    ("GET", "/api/v1/session", None, (200,)),
    ("GET", "/api/v1/sessions", None, (200,), LIFE),
    ("DELETE", "/api/v1/sessions/{id}", None, (204, 404)),
    ("DELETE", GRANT, None, (204, 404)),
    ("DELETE", ONE, None, (204, 404)),
    ("DELETE", "/api/v1/storages/{storage}", None, (409,)),
    ("DELETE", REPOSITORY, None, (204, 404), {"force": "true"}),
    ("DELETE", "/api/v1/storages/{storage}", None, (204, 404)),
)


def test_the_life_of_an_account_and_of_a_repository_is_what_is_described(live, described):
    """Whatever changes something, done and refused, in an order that makes sense."""
    places = {"storage": "life", "name": "one"} | LIFE

    for method, path, body, statuses, *more in STEPS:
        query, headers = (*more, {}, {})[:2]
        for status in statuses:
            answer = live.client.request(
                method, path.format_map(places), json=body, params=query, headers=headers
            )
            live.client.cookies.clear()
            assert answer.status_code == status, answer.text
            check(described, operations(described)[method, path], answer)
            found = answer.json() if answer.content else {}
            places["id"] = (found.get("items") or [found])[0].get("id", places.get("id"))


def test_nothing_that_changes_something_is_left_out_of_these_tests(described):
    asked = {(method, path) for method, path, *_ in STEPS}
    alone = {"/api/v1/gc", "/api/v1/fsck", "/api/v1/scrub", f"{REPOSITORY}/packages"}

    for method, path in operations(described):
        assert method == "GET" or (method, path) in asked or path in alone or path == SIGN_OUT[1]
    assert SIGN_OUT in operations(described)


def test_the_outcome_of_a_deletion_is_what_is_described(live, described):
    path = "/api/v1/repositories/{storage}/{name}/packages"
    body = {"items": [{"image": "a", "tag": "b"}, {"image": "a"}]}

    answer = live.client.request("DELETE", path.format_map(PLACES), json=body)

    assert answer.json()["missing"]
    check(described, operations(described)["DELETE", path], answer)


def test_a_parameter_that_is_described_is_accepted(live, described):
    seen = 0
    places = PLACES | {"name": "nowhere", "id": "x"}  # so that nothing is deleted

    for (method, path), operation in operations(described).items():
        for each in operation.get("parameters", ()):
            if each["in"] == "query":
                answer = live.client.request(
                    method, path.format_map(places), params={each["name"]: "1"}
                )
                assert "no parameter" not in answer.text
                seen += 1
    assert seen >= 4


def test_a_body_that_is_described_as_closed_is(live, described):
    """What the schema forbids, the server refuses, and needs what it calls required."""
    schema = described["components"]["schemas"]["NewRepository"]

    assert schema["additionalProperties"] is False
    for name in schema["required"]:
        body = {"storage": "local", "name": "x"}
        del body[name]
        assert live.client.post("/api/v1/repositories", json=body).status_code == 400


def test_who_may_call_is_said_as_the_door_decides_it(live, described):
    for route in management_routes(live.registry):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)
        said = operations(described)[route.method, path]
        is_open = isinstance(route.access, Anybody | Visitor)
        assert (said["security"] == [] or {} in said["security"]) == is_open
        assert ("401" in said["responses"]) == (not isinstance(route.access, Anybody))


# --- of routes that there may not be ---


class Body(msgspec.Struct):
    """What is to be."""

    size: int


def one(**more):
    async def handler(_):
        return Reply()

    fields = {"method": "PATCH", "path": "/api/v1/things/<path:place>", "access": Account()}
    route = Route(**fields | {"handler": handler, "summary": "One.", "status": 204} | more)
    described = document([route], "1")
    jsonschema.Draft202012Validator(SCHEMA).validate(described)
    return next(iter(operations(described).values()))


def test_who_must_name_a_revision_is_told_how():
    said = one(has_etag=True, takes_if_match=True, answer=Body, status=200)

    assert "If-Match" in [each["name"] for each in said["parameters"]]
    assert "ETag" in said["responses"]["200"]["headers"]
    assert "412" in said["responses"]


@pytest.mark.parametrize(
    "path", ["/api/v1/repositories/{storage}/{name}", "/api/v1/users/{username}"]
)
def test_who_has_an_answer_already_can_say_so(live, described, path):
    said = operations(described)["GET", path]
    have = live.client.get(path.format_map(PLACES)).headers["ETag"]

    answer = live.client.get(path.format_map(PLACES), headers={"If-None-Match": have})

    assert answer.status_code == 304
    check(described, said, answer)
    assert "If-None-Match" in [each["name"] for each in said["parameters"]]
    assert "304" not in one(has_etag=True, answer=Body, status=200)["responses"]


def test_an_answer_without_a_body_has_none():
    assert "content" not in one()["responses"]["204"]


def test_a_cookie_alone_does_not_change_anything():
    assert {"session": [], "csrf": []} in one()["security"]
    assert {"session": []} in one(method="GET")["security"]
    assert {"bearer": []} not in one(access=Account(is_direct=True))["security"]


def test_a_stream_is_described_beside_its_report():
    content = one(answer=Body, status=200, is_streamed=True)["responses"]["200"]["content"]

    assert set(content) == {"application/json", "application/x-ndjson"}


def test_a_body_may_be_left_out_where_the_route_says_so():
    assert one(body=Body)["requestBody"]["required"]
    assert not one(body=Body, is_body_optional=True)["requestBody"]["required"]
