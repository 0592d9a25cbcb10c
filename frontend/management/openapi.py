"""The management API described for programs: OpenAPI 3.1, made of the routes themselves.

Nothing is said twice: what a request may hold and what is answered are the schemas of the types
that parse and write them, and who may call is the route's `access`. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from frontend.management.problems import Problem
from frontend.management.routing import STREAM, Account, Anybody, OnRepository, Own, Route, Visitor

Json = dict[str, Any]

PROBLEM: Final = "application/problem+json"
SCHEMES: Final[Json] = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A user and the password; or any user, and an access token.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "orlop_session",
        "description": "What `POST /api/v1/session` set.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "Beside the cookie, on every call but GET: the session's `csrf_token`.",
    },
}

_PART: Final = re.compile(r"<(?:\w+:)?(\w+)>")  # of a path: <name>, or <converter:name>
_REFERENCE: Final = "#/components/schemas/"
_ROOT: Final = "/api/v1/"
_TAG: Final[Json] = {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match`."}}


def document(routes: Sequence[Route], version: str) -> Json:
    """The whole of it, as values for JSON."""
    schemas, components = _schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        operations = paths.setdefault(_PART.sub(r"{\1}", route.path), {})
        query = components[_name(schemas[route.query])] if route.query is not None else {}
        operations[route.method.lower()] = _operation(route, schemas, query)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orlop",
            "version": version,
            "description": "Management of a container registry. Images are pushed and pulled "
            "under /v2/, which the OCI Distribution Specification describes.",
        },
        "servers": [{"url": "/"}],  # where this document came from, behind whatever proxy
        "paths": paths,
        "components": {
            "schemas": _reached(components, paths),
            "securitySchemes": SCHEMES,
        },
    }


def _schemas(routes: Sequence[Route]) -> tuple[Mapping[Any, Json], Json]:
    """The schema of each type that a route has, and those that they refer to, by name."""
    said = (each for route in routes for each in (route.query, route.body, route.answer))
    kinds = [*dict.fromkeys((Problem, *(kind for kind in said if kind is not None)))]
    schemas, components = msgspec.json.schema_components(
        kinds, schema_hook=_anything, ref_template=_REFERENCE + "{name}"
    )
    return dict(zip(kinds, schemas, strict=True)), components


def _anything(_: type) -> Json:
    """The schema of `object`; an empty one would not do."""
    return {"description": "Any value."}


def _operation(route: Route, schemas: Mapping[Any, Json], query: Json) -> Json:
    made: Json = {
        "operationId": _identity(route),
        "summary": route.summary,
        "tags": [_topic(route)],
        "security": _security(route),
        "responses": _responses(route, schemas),
    }
    parameters = [*_parameters(route, query)]
    if parameters:
        made["parameters"] = parameters
    if route.body is not None:
        made["requestBody"] = {
            "required": not route.is_body_optional,
            "content": {"application/json": {"schema": schemas[route.body]}},
        }
    return made


def _identity(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(_ROOT))
    return "_".join((route.method.lower(), *words))


def _topic(route: Route) -> str:
    """The thing it is about: the first word below `/api/v1/`."""
    word: str = re.findall(r"\w+", route.path.removeprefix(_ROOT))[0]
    return word


def _parameters(route: Route, query: Json) -> Iterator[Json]:
    for name in _PART.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    needed = query.get("required", ())
    for name, schema in query.get("properties", {}).items():
        yield {"name": name, "in": "query", "required": name in needed, "schema": schema}
    if route.takes_if_match:
        words = "The `ETag` of what is to be changed: if it is another by now, the answer is 412."
        yield _header("If-Match", words)
    if _is_conditional(route):
        yield _header("If-None-Match", "The `ETag` of what is known: the answer to that is 304.")


def _header(name: str, words: str) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": words,
    }


def _is_conditional(route: Route) -> bool:
    """Whether who has the answer already may be told just that."""
    return route.has_etag and route.method == "GET"


def _security(route: Route) -> list[Json]:
    """Any one of these."""
    session: Json = {"session": []} if route.method == "GET" else {"session": [], "csrf": []}
    named: list[Json] = [{"basic": []}, {"bearer": []}, session]
    match route.access:
        case Anybody():
            return []
        case Visitor():
            return [{}, *named]
        case Account(is_direct=True) | Own(is_direct=True):
            return [{"basic": []}, session]
        case _:
            return named


def _responses(route: Route, schemas: Mapping[Any, Json]) -> Json:
    """Answers by status. What is not foreseen here is a problem too."""
    made: Json = {}
    for status in (route.status, *route.also):
        answer: Json = {"description": HTTPStatus(status).phrase}
        if route.answer is not None:
            content: Json = {"application/json": {"schema": schemas[route.answer]}}
            if route.is_streamed:
                content[STREAM] = {"schema": _line(schemas[route.answer])}
            answer["content"] = content
        if route.text:
            answer["content"] = {route.text: {"schema": {"type": "string"}}}
        if route.has_etag:
            answer["headers"] = _TAG
        made[str(status)] = answer
    if _is_conditional(route):
        made["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase, "headers": _TAG}
    problem = {PROBLEM: {"schema": schemas[Problem]}}
    for status in _refusals(route):
        phrase = HTTPStatus(status).phrase
        made.setdefault(str(status), {"description": phrase, "content": problem})
    made["default"] = {"description": "Any other problem.", "content": problem}
    return made


def _refusals(route: Route) -> Iterator[int]:
    if route.query is not None or route.body is not None:
        yield 400
    if not isinstance(route.access, Anybody):
        yield 401
        yield 403  # a token of `/v2/token` is for `/v2/` alone
    if isinstance(route.access, OnRepository) or "<" in route.path:
        yield 404
    if route.takes_if_match:
        yield 412
    if route.body is not None:
        yield 413


def _line(answer: Json) -> Json:
    """A line of the stream that is answered to whoever accepts one."""
    return {
        "type": "object",
        "description": "Each line is an object of one of these; `report` or `problem` is the last.",
        "properties": {
            "progress": {"type": "object"},
            "due": {"type": "object"},
            "report": answer,
            "problem": {"$ref": _REFERENCE + Problem.__name__},
        },
    }


def _reached(components: Json, paths: Json) -> Json:
    """Of `components`, those that `paths` refer to, and what those refer to."""
    reached: Json = {}
    left = [*_references(paths)]
    while left:
        name = left.pop()
        if name not in reached:
            reached[name] = components[name]
            left += _references(components[name])
    return dict(sorted(reached.items()))


def _references(value: object) -> Iterator[str]:
    match value:
        case {"$ref": str(target)}:
            yield target.removeprefix(_REFERENCE)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)


def _name(schema: Json) -> str:
    name: str = schema["$ref"].removeprefix(_REFERENCE)
    return name
