"""Clients over HTTPS, with a certificate that they were told to trust."""

import pytest

from frontend.settings import Http, Settings
from tests.e2e.containers import containers_in
from tests.e2e.images import make_index_layout
from tests.e2e.oci import blobs_of, tagged_digest
from tests.frontend.certificates import make_pair
from tests.frontend.live import PASSWORD, running


@pytest.mark.parametrize("http2", [False, True])
def test_skopeo_pushes_and_pulls_over_https(folder, http2):
    pair, trusted, home = make_pair(folder), folder / "trusted", folder / "settings"
    trusted.mkdir()
    home.mkdir()
    (trusted / "ca.crt").write_bytes(pair.certificate.read_bytes())
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    settings = Settings(http=Http(listen="127.0.0.1:0", http2=http2, **files))
    source, target = make_index_layout(folder), folder / "target"
    skopeo = containers_in(home).skopeo
    keep = ("copy", "--all", "--preserve-digests")
    with running(folder / "data", settings, pair.trust()) as live:
        image = f"docker://127.0.0.1:{live.address[1]}/local/images/tls:1"
        login = f"admin:{PASSWORD}"

        skopeo(*keep, "--dest-cert-dir", str(trusted), "--dest-creds", login,
               f"oci:{source}:latest", image)  # fmt: skip
        skopeo(*keep, "--src-cert-dir", str(trusted), "--src-creds", login,
               image, f"oci:{target}:latest")  # fmt: skip

    assert blobs_of(target) == blobs_of(source)
    assert tagged_digest(target) == tagged_digest(source)
