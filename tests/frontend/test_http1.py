"""What is refused of a request that h11 lets through."""

import h11
import pytest

from frontend.server.http1 import HEADER_COUNT, refusal


def request(method=b"GET", target=b"/", headers=(), version=b"1.1"):
    return h11.Request(
        method=method, target=target, headers=[(b"Host", b"x"), *headers], http_version=version
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"])
def test_an_ordinary_request_is_not_refused(method):
    assert refusal(request(method)) == 0
    assert refusal(request(method, b"/v2/?a=b", [(b"Content-Length", b"3")], b"1.0")) == 0


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(b"TRACE"), 501),
        (request(b"get"), 501),
        (request(target=b"*"), 400),
        (request(target=b"http://x/"), 400),
        (request(version=b"2.0"), 400),
        (request(version=b"0.9"), 400),
        (request(headers=[(b"X", b"y")] * HEADER_COUNT), 431),
        (request(headers=[(b"X", b"y" * 40_000)]), 431),
        (request(target=b"/" + b"x" * 40_000), 431),
        (request(headers=[(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")]), 400),
    ],
)
def test_what_has_no_place_here_is_refused(asked, status):
    assert refusal(asked) == status
