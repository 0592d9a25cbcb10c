"""Skopeo over TLS, with a certificate that it was told to trust."""

from pathlib import Path

from tests.e2e.containers import containers_in
from tests.e2e.images import make_index_layout
from tests.e2e.oci import blobs_of, tagged_digest

KEEP = ("copy", "--all", "--preserve-digests")


def copy_there_and_back(folder: Path, certificate: Path, image: str, login: str) -> None:
    """Push an index to `image` (host/name:tag), pull it, and see that every byte is the same."""
    trusted, home, target = folder / "trusted", folder / "settings", folder / "target"
    trusted.mkdir()
    home.mkdir()
    (trusted / "ca.crt").write_bytes(certificate.read_bytes())
    source, skopeo = make_index_layout(folder), containers_in(home).skopeo
    there = f"docker://{image}"

    skopeo(*KEEP, "--dest-cert-dir", str(trusted), "--dest-creds", login,
           f"oci:{source}:latest", there)  # fmt: skip
    skopeo(*KEEP, "--src-cert-dir", str(trusted), "--src-creds", login,
           there, f"oci:{target}:latest")  # fmt: skip

    assert blobs_of(target) == blobs_of(source)
    assert tagged_digest(target) == tagged_digest(source)
