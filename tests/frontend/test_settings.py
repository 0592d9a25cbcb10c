"""Where each setting comes from, and what is said of one that cannot be."""

import os
import secrets
from pathlib import Path

import pytest

from frontend.outbound import build_way
from frontend.settings import (
    Proxy,
    SettingInvalid,
    Settings,
    SettingUnknown,
    count_workers,
    known_keys,
    listen_address,
    load,
    shown,
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_defaults_hold(here):
    settings = load(None, {}, {})

    assert settings.http.listen == "127.0.0.1:5080"
    assert settings.storage.data == "./orlop-data"
    assert settings.limits.manifest_bytes == 4194304


def test_environment_overrides_file_and_flags_override_both(here):
    (here / "orlop.toml").write_text(
        '[http]\nlisten = "a:1"\nstall_seconds = 5\n[gc]\ngrace_seconds = 1\n'
    )
    environment = {"ORLOP_HTTP__LISTEN": "b:2", "ORLOP_GC__GRACE_SECONDS": "2", "PATH": "x"}

    settings = load(None, environment, {"http.listen": "c:3", "storage.data": None})

    assert settings.http.listen == "c:3"
    assert settings.http.stall_seconds == 5
    assert settings.gc.grace_seconds == 2


def test_a_named_file_must_be_there(here):
    with pytest.raises(SettingInvalid, match=r"other\.toml"):
        load(here / "other.toml", {}, {})


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[http]\nlissen = 'x:1'\n", "http.lissen", "http.listen"),
        ("[htp]\nlisten = 'x:1'\n", "htp.listen", "http.listen"),
        ("[gc]\ngrace = 1\n", "gc.grace", "gc.grace_seconds"),
        ("[scrub]\ninterval = 1\n", "scrub.interval", "scrub.interval_seconds"),
        ("listen = 'x:1'\n", "listen", "http.listen"),
        ("[htp]\n", "htp", "http.http2"),
        ("[[http]]\nlisten = 'x:1'\n", "http", "http.http2"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(here, text, key, nearest):
    (here / "orlop.toml").write_text(text)

    with pytest.raises(SettingUnknown) as caught:
        load(None, {}, {})

    assert (caught.value.key, caught.value.nearest) == (key, nearest)
    assert "orlop.toml" in str(caught.value)


def test_an_unknown_variable_is_named(here):
    with pytest.raises(SettingUnknown, match=r"ORLOP_LOG__LEVLE.*log\.level"):
        load(None, {"ORLOP_LOG__LEVLE": "info"}, {})


def test_an_address_as_clients_reach_it_may_have_a_path_and_a_port(here):
    for url in ("https://registry.example", "http://[::1]:5080/", "https://host:8443/below"):
        assert load(None, {"ORLOP_HTTP__PUBLIC_URL": url}, {}).http.public_url == url


def test_ways_out_are_read_and_shown_without_their_passwords(here):
    password = secrets.token_urlsafe(12)
    environment = {
        "ORLOP_PROXY__ALLOW": "10.0.0.0/8, cache.example",
        "ORLOP_PROXY__HTTPS_PROXY": f"http://me:{password}@proxy.example:3128",
    }

    settings = load(None, environment, {})

    assert settings.proxy.allow == ("10.0.0.0/8", "cache.example")
    way = build_way(settings.proxy)
    assert str(way.proxies["https"].url) == "http://proxy.example:3128/"
    assert list(way.proxies) == ["https"]
    assert way.allowance.trusts("cache.example")
    assert shown(settings)["proxy"]["https_proxy"] == "http://***@proxy.example:3128"
    assert password not in str(shown(settings)) + repr(way)


def test_a_password_of_a_proxy_that_cannot_be_is_not_repeated(here):
    with pytest.raises(SettingInvalid) as caught:
        load(None, {"ORLOP_PROXY__HTTP_PROXY": "http://me:hidden@ho st"}, {})

    assert "hidden" not in str(caught.value)


def test_certificates_that_cannot_be_read_are_named(here):
    with pytest.raises(SettingInvalid, match=r"proxy\.ca: No such file"):
        build_way(Proxy(ca=str(here / "gone.pem")))


def test_the_admins_password_is_no_setting(here):
    load(None, {"ORLOP_ADMIN_PASSWORD": "x"}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORLOP_HTTP__STALL_SECONDS", "0"),
        ("ORLOP_HTTP__STALL_SECONDS", "soon"),
        ("ORLOP_HTTP__PUBLIC_URL", "registry.example"),
        ("ORLOP_HTTP__PUBLIC_URL", "ftp://registry.example"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://[::1"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://:80"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://host:x"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://host/#here"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://host/?a"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://admin:secret@host"),
        ("ORLOP_HTTP__PUBLIC_URL", 'http://host/"x'),
        ("ORLOP_HTTP__PUBLIC_URL", "http://host/a b"),
        ("ORLOP_HTTP__PUBLIC_URL", "http://b\u00fccher.example"),
        ("ORLOP_LOG__FORMAT", "xml"),
        ("ORLOP_HTTP__WORKERS", "0"),
        ("ORLOP_HTTP__WORKERS", "65"),
        ("ORLOP_HTTP__WORKERS", "all"),
        ("ORLOP_LIMITS__CONCURRENT_UPLOADS", "0"),
        ("ORLOP_LIMITS__MANIFEST_BYTES", "-1"),
        ("ORLOP_SCRUB__INTERVAL_SECONDS", "-1"),
        ("ORLOP_SCRUB__INTERVAL_SECONDS", "monthly"),
        ("ORLOP_SCRUB__BYTES_PER_SECOND", "-1"),
        ("ORLOP_SCRUB__BYTES_PER_SECOND", "1.5"),
        ("ORLOP_PROXY__ALLOW", "10.0.0.0/33"),
        ("ORLOP_PROXY__ALLOW", "a.example,http://b.example"),
        ("ORLOP_PROXY__HTTP_PROXY", "socks5://host:1080"),
        ("ORLOP_PROXY__HTTPS_PROXY", "host:3128"),
        ("ORLOP_PROXY__HTTPS_PROXY", "http://host:3128/path"),
        ("ORLOP_PROXY__CONNECTIONS", "0"),
    ],
)
def test_a_value_that_cannot_be_says_where_it_came_from(here, name, value):
    with pytest.raises(SettingInvalid, match=name):
        load(None, {name: value}, {})


@pytest.mark.parametrize("listen", ["5080", "host", ":5080", "host:", "host:x", "host:70000"])
def test_an_address_needs_host_and_port(here, listen):
    with pytest.raises(SettingInvalid):
        load(None, {}, {"http.listen": listen})


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("host:65535", ("host", 65535))],
)
def test_addresses_are_split(listen, address):
    assert listen_address(listen) == address


def test_workers_are_a_number_or_one_for_each_core(here):
    assert count_workers(load(None, {}, {})) == 1
    assert count_workers(load(None, {"ORLOP_HTTP__WORKERS": "3"}, {})) == 3
    auto = load(None, {"ORLOP_HTTP__WORKERS": "3"}, {"http.workers": "auto"})
    assert count_workers(auto) == len(os.sched_getaffinity(0))


def test_a_file_that_is_no_toml_is_named(here):
    (here / "orlop.toml").write_bytes(b"\xff")

    with pytest.raises(SettingInvalid, match=r"orlop\.toml"):
        load(None, {}, {})


def test_every_key_has_its_section():
    assert "http.min_body_rate" in known_keys()
    assert all(key.count(".") == 1 for key in known_keys())


def test_every_key_is_documented_with_its_default():
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")

    for key in known_keys():
        section, _, name = key.partition(".")
        default = getattr(getattr(Settings(), section), name)
        default = str(default).lower() if isinstance(default, bool) else default  # as TOML has it
        default = list(default) if isinstance(default, tuple) else default
        row = next(line for line in text.splitlines() if line.startswith(f"| `{key}` |"))
        shown = row.split("|")[2].strip().strip("`")
        assert key == "http.public_url" or shown in (str(default), str(default).removesuffix(".0"))


def test_proxies_come_as_a_list_or_with_commas_between(here):
    (here / "orlop.toml").write_text('[http]\ntrusted_proxies = ["10.0.0.0/8", "local"]\n')
    given = {"ORLOP_HTTP__TRUSTED_PROXIES": "::1, 192.0.2.0/24"}

    assert load(None, {}, {}).http.trusted_proxies == ("10.0.0.0/8", "local")
    assert load(None, given, {}).http.trusted_proxies == ("::1", "192.0.2.0/24")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33"])
def test_a_proxy_that_is_no_network_is_refused_with_its_name(here, text):
    with pytest.raises(SettingInvalid, match=r"ORLOP_HTTP__TRUSTED_PROXIES: http.trusted_proxies"):
        load(None, {"ORLOP_HTTP__TRUSTED_PROXIES": text}, {})
