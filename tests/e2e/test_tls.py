"""Clients over HTTPS, with a certificate that they were told to trust."""

import pytest

from frontend.settings import Http, Settings
from tests.e2e.tls import copy_there_and_back
from tests.frontend.certificates import make_pair
from tests.frontend.live import PASSWORD, running


@pytest.mark.parametrize("http2", [False, True])
def test_skopeo_pushes_and_pulls_over_https(folder, http2):
    pair = make_pair(folder)
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    settings = Settings(http=Http(listen="127.0.0.1:0", http2=http2, **files))
    with running(folder / "data", settings, pair.trust()) as live:
        image = f"127.0.0.1:{live.address[1]}/local/images/tls:1"
        copy_there_and_back(folder, pair.certificate, image, f"admin:{PASSWORD}")
