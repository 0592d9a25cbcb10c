"""The certificate: what is wrong with a pair is said, and a renewed one is used."""

import contextlib
import logging
import ssl
import subprocess

import pytest

from frontend.server import certificate
from frontend.server.certificate import Certificate, CertificateUnusable, open_certificate
from frontend.settings import Http, SettingInvalid, load
from tests.frontend.certificates import Pair, make_pair


def opened(files: Pair) -> Certificate:
    return Certificate(files.certificate, files.key, ["http/1.1"])


def shown_by(context: ssl.SSLContext, trust: ssl.SSLContext) -> bytes:
    """The certificate that a handshake shows to a client."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trust.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True)


async def test_it_is_what_a_handshake_shows_and_old_versions_are_not_spoken(pair):
    context = opened(pair).context()

    assert shown_by(context, pair.trust())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_renewed_pair_is_used_and_one_that_is_half_there_is_not(
    pair, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(certificate, "LOOK_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    other = make_pair(tmp_path, 2)
    used = opened(pair)
    first = used.context()
    before = shown_by(first, pair.trust())

    pair.key.write_bytes(other.key.read_bytes())
    halfway = [used.context() for _ in range(3)]
    complaints = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    pair.certificate.write_bytes(other.certificate.read_bytes())
    renewed = used.context()

    assert halfway == [first] * 3
    assert len(complaints) == 1
    assert str(pair.key) in complaints[0]
    assert shown_by(renewed, other.trust()) != before


async def test_the_files_are_not_looked_at_for_every_connection(pair, tmp_path):
    used = opened(pair)
    first = used.context()
    pair.replace(make_pair(tmp_path, 2))

    assert used.context() is first


def _lost(files: Pair, _: Pair) -> Pair:
    files.certificate.unlink()
    return files


def _swapped(files: Pair, _: Pair) -> Pair:
    return Pair(files.key, files.certificate)


def _foreign(files: Pair, other: Pair) -> Pair:
    return Pair(files.certificate, other.key)


def _broken(files: Pair, _: Pair) -> Pair:
    files.certificate.write_text(
        "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
    )
    return files


def _broken_key(files: Pair, _: Pair) -> Pair:
    files.key.write_text("-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n")
    return files


def _locked(files: Pair, _: Pair) -> Pair:
    locked = files.key.with_name("locked.pem")
    command = ["openssl", "pkcs8", "-topk8", "-in", str(files.key), "-out", str(locked)]
    subprocess.run([*command, "-passout", "pass:secret"], check=True, capture_output=True)  # noqa: S603 - constant
    return Pair(files.certificate, locked)


@pytest.mark.parametrize(
    ("spoil", "part", "words"),
    [
        (_lost, "certificate", "No such file"),
        (_swapped, "certificate", "no certificate in PEM"),
        (_foreign, "key", "not the key of"),
        (_broken, "certificate", "not usable"),
        (_broken_key, "key", "not usable"),
        (_locked, "key", "passphrase"),
    ],
)
def test_a_pair_that_cannot_be_used_names_the_file(pair, tmp_path, spoil, part, words):
    spoilt = spoil(pair, make_pair(tmp_path, 2))

    with pytest.raises(CertificateUnusable, match=words) as caught:
        opened(spoilt)

    assert str(caught.value).startswith(f"{getattr(spoilt, part)}: ")


@pytest.mark.parametrize(("given", "lacking"), [("certificate", "key"), ("key", "certificate")])
def test_one_without_the_other_is_a_mistake(given, lacking, tmp_path):
    with pytest.raises(SettingInvalid, match=f"http.tls_{lacking}"):
        load(None, {f"ORLOP_HTTP__TLS_{given.upper()}": str(tmp_path / "x.pem")}, {})


def test_without_a_certificate_there_is_none():
    assert open_certificate(Http()) is None
