"""What the fuzzer found (`test_fuzz.py`), so that it is not lost again."""

import pytest

from tests.frontend.live import head


@pytest.mark.parametrize("path", [b"/healthz", b"/api/v1/stats", b"/none", b"/v2/"])
@pytest.mark.parametrize(
    "host", [b".", b"a..b", b"x" * 64, b".x", b"", b"%", b"[::]:0", b"x:99999"]
)
def test_a_host_that_no_resolver_would_take_is_answered_like_any_other(live, path, host):
    asked = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"

    received = live.exchange(asked % (path, host))

    assert head(received) == head(live.exchange(asked % (path, b"x")))
