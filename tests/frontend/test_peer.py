"""Who is at the other end: what our proxies say, and nothing that strangers do."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.peer import LOCAL, Peer, Proxies, network_of, parse_address

OURS = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]:80", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", ""),
        ("_hidden", ""),
        ("", ""),
        ("192.0.2.1/8", ""),
        ("192.0.2.300", ""),
        ("0x7f000001", ""),
        ("2130706433", ""),
        ("1" * 10_000, ""),
        ("192.0.2.1\n", "192.0.2.1"),
        ("[", ""),
    ],
)
def test_an_address_has_one_text(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (LOCAL, LOCAL),
        ("", ""),
    ],
)
def test_a_network_of_64_bits_is_one_client(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("hops", "address"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),  # the first is the client's own word
        ("203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("198.51.100.1:55, 10.0.0.2:80", "198.51.100.1"),
        ("[2001:db8::1]:55,fd00::2", "2001:db8::1"),
        ("198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("198.51.100.1, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("", "10.0.0.1"),
        (",,,", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("198.51.100.1" + ", 10.0.0.2" * 15, "198.51.100.1"),
        ("198.51.100.1" + ", 10.0.0.2" * 16, "10.0.0.2"),
        ("," * 60_000, "10.0.0.1"),
    ],
)
def test_the_last_hop_that_is_no_proxy_of_ours_is_the_client(hops, address):
    assert Proxies(OURS).find("10.0.0.1", {"x-forwarded-for": hops}).address == address


def test_strangers_are_believed_nothing():
    said = {
        "x-forwarded-for": "198.51.100.1",
        "x-real-ip": "198.51.100.1",
        "forwarded": "for=198.51.100.1;proto=https;host=evil",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil",
    }

    assert Proxies(OURS).find("203.0.113.1", said) == Peer("203.0.113.1")
    assert Proxies(()).find("10.0.0.1", said) == Peer("10.0.0.1")
    assert Proxies(OURS).find(LOCAL, said) == Peer(LOCAL)


def test_only_the_field_that_our_proxies_set_is_read():
    said = {"x-forwarded-for": "198.51.100.1", "forwarded": "for=198.51.100.2"}
    said |= {"x-real-ip": "198.51.100.3"}

    found = [
        Proxies(OURS, says).find("10.0.0.1", said).address
        for says in ("x-forwarded-for", "forwarded", "x-real-ip")
    ]

    assert found == ["198.51.100.1", "198.51.100.2", "198.51.100.3"]
    assert Proxies(OURS, "x-real-ip").find("10.0.0.1", {"forwarded": "for=1.2.3.4"}) == Peer(
        "10.0.0.1"
    )


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("for=198.51.100.1", Peer("198.51.100.1")),
        ('For="[2001:db8::1]:47"; Proto=HTTPS ;host="R.example:5000"',
         Peer("2001:db8::1", "https", "r.example:5000")),
        ("for=203.0.113.9, for=198.51.100.1;proto=http, for=10.0.0.2;proto=https",
         Peer("198.51.100.1", "https")),
        ("for=unknown", Peer("10.0.0.1")),
        ("proto=https", Peer("10.0.0.1", "https")),
        ("", Peer("10.0.0.1")),
        ('for="198.51.100.1', Peer("10.0.0.1")),
        (";;;=,==,", Peer("10.0.0.1")),
    ],
)  # fmt: skip
def test_forwarded_is_read_as_the_standard_writes_it(text, peer):
    assert Proxies(OURS, "forwarded").find("10.0.0.1", {"forwarded": text}) == peer


@pytest.mark.parametrize(
    ("scheme", "host", "found"),
    [
        ("https", "r.example", ("https", "r.example")),
        ("http, https", "a.example, R.example:5000", ("https", "r.example:5000")),
        ("javascript", 'a"b', ("", "")),
        ("https", "a b", ("https", "")),
        ("https", "[2001:db8::1]:5000", ("https", "[2001:db8::1]:5000")),
        ("https", "x" * 300, ("https", "")),
        ("https", "user@host", ("https", "")),
        ("https", "host/path", ("https", "")),
    ],
)
def test_scheme_and_host_are_what_a_url_may_have(scheme, host, found):
    said = {"x-forwarded-proto": scheme, "x-forwarded-host": host}
    peer = Proxies(OURS).find("10.0.0.1", said)

    assert (peer.scheme, peer.host) == found


def test_a_proxy_may_come_through_a_unix_socket():
    proxies = Proxies((LOCAL,))

    assert proxies
    assert proxies.find(LOCAL, {"x-forwarded-for": "198.51.100.1"}).address == "198.51.100.1"
    assert proxies.find("10.0.0.1", {"x-forwarded-for": "198.51.100.1"}).address == "10.0.0.1"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "", "10.0.0.0/33", "fe80::1%eth0/64"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of the library; the settings word it
        Proxies([text])


@given(st.text(max_size=300), st.sampled_from(["x-forwarded-for", "forwarded", "x-real-ip"]))
def test_whatever_is_said_an_address_comes_out(text, says):
    said = {says: text, "x-forwarded-proto": text, "x-forwarded-host": text}
    peer = Proxies(OURS, says).find("10.0.0.1", said)

    assert parse_address(peer.address) == peer.address
    assert peer.scheme in ("", "http", "https")
    assert not set(peer.host) & set(' "\\\r\n/@')
