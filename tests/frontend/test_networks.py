"""How near an address is, however it is written."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, strategies as st

from frontend.domain.networks import Allowance, Reach, reach_of


def clothed(inner: str) -> list[str]:
    """All the IPv6 addresses that may end at an IPv4 one."""
    number = int(IPv4Address(inner))
    return [
        f"::ffff:{inner}",
        f"::ffff:0:{inner}",
        f"64:ff9b::{inner}",
        f"64:ff9b:1::{inner}",
        str(IPv6Address(0x2002 << 112 | number << 80)),
        str(IPv6Address(0x20010000 << 96 | number << 64)),
        str(IPv6Address(0x20010000 << 96 | number ^ 0xFFFF_FFFF)),
        str(IPv6Address(0x20010DB9 << 96 | 0x5EFE << 32 | number)),
    ]


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("8.8.8.8", Reach.PUBLIC),
        ("2606:4700::1111", Reach.PUBLIC),
        ("::ffff:8.8.8.8", Reach.PUBLIC),
        ("64:ff9b::8.8.8.8", Reach.PUBLIC),
        ("127.0.0.1", Reach.INNER),
        ("127.9.9.9", Reach.INNER),
        ("10.1.2.3", Reach.INNER),
        ("172.16.0.1", Reach.INNER),
        ("192.168.1.1", Reach.INNER),
        ("100.64.0.1", Reach.INNER),
        ("192.0.2.1", Reach.INNER),
        ("198.18.0.1", Reach.INNER),
        ("240.0.0.1", Reach.INNER),
        ("::1", Reach.INNER),
        ("fd12::1", Reach.INNER),
        ("fec0::1", Reach.INNER),
        ("2001:db8::1", Reach.INNER),
        ("64:ff9b:1::8.8.8.8", Reach.INNER),
        ("::8.8.8.8", Reach.INNER),
        ("169.254.169.254", Reach.NEVER),
        ("169.254.0.1", Reach.NEVER),
        ("fe80::1", Reach.NEVER),
        ("fe80::1%eth0", Reach.NEVER),
        ("febf::1", Reach.NEVER),
        ("fd00:ec2::254", Reach.NEVER),
        ("fd20:ce::254", Reach.NEVER),
        ("100.100.100.200", Reach.NEVER),
        ("168.63.129.16", Reach.NEVER),
        ("0.0.0.0", Reach.NEVER),  # noqa: S104 - an address that nobody binds
        ("0.1.2.3", Reach.NEVER),
        ("::", Reach.NEVER),
        ("224.0.0.1", Reach.NEVER),
        ("ff02::1", Reach.NEVER),
        ("255.255.255.255", Reach.NEVER),
    ],
)
def test_an_address_is_public_inner_or_out_of_the_question(text, reach):
    assert reach_of(ip_address(text)) is reach


@pytest.mark.parametrize("inner", ["169.254.169.254", "127.0.0.1", "10.0.0.1", "168.63.129.16"])
def test_clothes_hide_nothing(inner):
    nearest = reach_of(ip_address(inner))

    assert nearest > Reach.PUBLIC
    for text in clothed(inner):
        assert reach_of(ip_address(text)) >= nearest, text


@given(st.integers(0, 2**32 - 1))
def test_no_clothes_make_an_address_farther(number):
    inner = IPv4Address(number)

    assert all(reach_of(ip_address(text)) >= reach_of(inner) for text in clothed(str(inner)))


ALLOWED = Allowance.parse(
    ["10.0.0.0/8", "Cache.example", "fd12::/16", "169.254.0.0/16"], ["own.example"]
)


@pytest.mark.parametrize(
    ("host", "address", "is_refused"),
    [
        ("any.example", "8.8.8.8", False),
        ("any.example", "127.0.0.1", True),
        ("any.example", "192.168.0.1", True),
        ("any.example", "10.9.9.9", False),
        ("any.example", "fd12::1", False),
        ("any.example", "fd13::1", True),
        ("cache.example", "192.168.0.1", False),
        ("cache.example", "169.254.169.254", True),
        ("own.example", "127.0.0.1", False),
        ("own.example", "::1", False),
        ("own.example", "169.254.169.254", True),
        ("own.example", "::ffff:169.254.169.254", True),
        ("10.0.0.1", "169.254.169.254", True),
    ],
)
def test_what_is_inner_must_be_our_own_or_allowed_and_some_things_never_are(
    host, address, is_refused
):
    assert ALLOWED.refuses(host, ip_address(address)) is is_refused


def test_a_host_is_trusted_by_name_or_by_literal_address():
    assert ALLOWED.trusts("cache.example")
    assert ALLOWED.trusts("10.1.1.1")
    assert not ALLOWED.trusts("192.168.0.1")
    assert not ALLOWED.trusts("own.example")


@pytest.mark.parametrize("text", ["10.0.0.0/33", "http://a", "a/b", "", "a b", "10.0.0.1/8", "-a"])
def test_what_is_neither_host_nor_network_is_refused(text):
    with pytest.raises(ValueError, match="neither a host"):
        Allowance.parse([text])
