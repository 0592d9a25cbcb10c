"""`frontend.errors`: every error of the three packages is answered, and in the form of the spec."""

import json
import re

import pytest

from cas import errors as cas_errors
from cas.digest import Digest
from cas.errors import Busy, CasError, DaemonAway, Damaged
from frontend.domain import faults, rule_faults, search_faults
from frontend.domain.faults import FrontendFault
from frontend.domain.message import Realm
from frontend.errors import WIRE, error_response, wire
from frontend.upstream import errors as upstream_errors
from index import errors as index_errors
from index.changes import ImageName
from index.errors import ExpectationsFailed, IndexFault
from index.expectations import TagExists

IMAGE = ImageName("local/images", "app")
ROOTS = (FrontendFault, CasError, IndexFault)


def kinds_of(module):
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ROOTS) and kind not in ROOTS
    ]


def body_of(response):
    return json.loads(b"".join(response.body))


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for module in (
            faults,
            rule_faults,
            search_faults,
            upstream_errors,
            cas_errors,
            index_errors,
        )
        for kind in kinds_of(module)
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_error_has_a_status_and_a_code(kind):
    assert kind in WIRE
    assert 400 <= WIRE[kind].status < 600
    assert re.fullmatch(r"[A-Z_]+", WIRE[kind].code)


def test_the_body_names_code_message_and_detail():
    missing = (Digest.of(b"a"), Digest.of(b"b"))

    response = error_response(faults.ManifestBlobUnknown(IMAGE, missing))

    assert response.status == 400
    entries = body_of(response)["errors"]
    assert [entry["code"] for entry in entries] == ["MANIFEST_BLOB_UNKNOWN"] * 2
    assert [entry["detail"]["digest"] for entry in entries] == list(map(str, missing))
    headers = dict(response.headers)
    assert headers["Content-Length"] == str(len(b"".join(response.body)))
    assert headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert headers["Content-Type"] == "application/json"


def test_head_has_the_length_but_no_body():
    error = faults.RouteUnknown("/v2/x")

    head, get = error_response(error, method="HEAD"), error_response(error)

    assert head.headers == get.headers
    assert head.body == ()


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (faults.Unauthorized(), "WWW-Authenticate", 'Bearer realm="x",service="y"'),
        (faults.MethodNotAllowed("PUT", ("GET", "HEAD")), "Allow", "GET, HEAD"),
        (faults.RangeNotSatisfiable(5), "Content-Range", "bytes */5"),
        (faults.TooManyRequests(7), "Retry-After", "7"),
        (upstream_errors.UpstreamLimited("x", retry_after=6.1), "Retry-After", "7"),
        (upstream_errors.UpstreamResting("x"), "Retry-After", "1"),
        (Busy("the queue"), "Retry-After", "1"),
        (DaemonAway(), "Retry-After", "1"),
    ],
)
def test_some_errors_bring_a_header(error, name, value):
    assert dict(error_response(error, realm=Realm("x", "y")).headers)[name] == value


def test_the_callers_own_headers_are_added():
    response = error_response(faults.RangeInvalid("0-4", 9), headers=(("Range", "0-8"),))

    assert response.status == 416
    assert dict(response.headers)["Range"] == "0-8"


@pytest.mark.parametrize(
    "error",
    [
        Damaged("/data/packs/0123", "a hole"),
        ExpectationsFailed((TagExists(ImageName("local/secret", "app"), "v1"),)),
        OSError("/data/packs/0123"),
    ],
)
def test_what_happened_inside_is_not_told(error):
    text = json.dumps(body_of(error_response(error)))

    assert "/data" not in text
    assert "secret" not in text


def test_an_error_that_is_not_ours_is_a_failure_of_the_server():
    assert wire(KeyError("x")).status == 500


def test_text_of_strangers_is_cut_and_escaped():
    response = error_response(faults.NameInvalid("<script>\ud800\r\n" + "x" * 10_000))

    assert len(b"".join(response.body)) < 1000


@pytest.mark.parametrize("kind", kinds_of(faults), ids=lambda kind: kind.__name__)
def test_messages_are_for_people(kind):
    values = {
        "digest": Digest.of(b""), "digests": (Digest.of(b""),), "image": IMAGE, "current": None,
        "allowed": ("GET",), "size": 5, "limit": 5, "expected": 5, "received": 4, "retry_after": 5,
    }  # fmt: skip
    fields = [name for name in kind.__dataclass_fields__ if name != "what"]
    error = kind(**{name: values.get(name, "some/text/here") for name in fields} | (
        {"what": "some text"} if "what" in kind.__dataclass_fields__ else {}
    ))  # fmt: skip

    for message, _ in error.entries():
        assert 5 < len(message) < 400
        assert message == message.strip()


@pytest.mark.parametrize("kind", kinds_of(upstream_errors), ids=lambda kind: kind.__name__)
def test_who_pulls_is_not_told_where_the_image_comes_from(kind):
    error = kind("https://upstream.example", "no route to 10.0.0.1")

    assert "example" not in str(error_response(error).body)
    assert "10.0.0.1" not in str(error_response(error).body)
    assert "upstream.example" in error.told
    assert "10.0.0.1" in error.told


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Damaged("pack 00ab", "the file is missing"), "pack 00ab: the file is missing"),
        (cas_errors.StoreFailed("a sync failed"), "a sync failed"),
        (KeyError("a bug"), "a bug"),
    ],
)
def test_what_the_log_is_said_to_tell_is_in_the_log(caplog, error, said):
    answer = error_response(error)

    assert "its log says how" in str(answer.body)
    assert said not in str(answer.body)
    assert said in caplog.text


def test_what_the_client_is_told_is_not_logged(caplog):
    error_response(faults.NameInvalid("X"))
    error_response(cas_errors.StorageFull(0, 0))

    assert caplog.text == ""
