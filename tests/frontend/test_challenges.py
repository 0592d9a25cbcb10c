"""WWW-Authenticate as registries write it, and as nobody should."""

import pytest
from hypothesis import given, strategies as st

from frontend.domain.challenges import MAX_LENGTH, Challenge, parse_challenges

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="r:a/b:pull,push"'


@pytest.mark.parametrize(
    ("text", "challenges"),
    [
        ("", []),
        ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
        (
            HUB,
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "r:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            "bearer REALM=https://a/t , service = s",
            [("bearer", {"realm": "https://a/t", "service": "s"})],
        ),
        (
            'Negotiate, Basic realm="x", Bearer realm="y"',
            [("negotiate", {}), ("basic", {"realm": "x"}), ("bearer", {"realm": "y"})],
        ),
        (
            'Newauth realm="apps", type=1, title="a \\"b\\", c", Basic realm="x"',
            [
                ("newauth", {"realm": "apps", "type": "1", "title": 'a "b", c'}),
                ("basic", {"realm": "x"}),
            ],
        ),
        ("NTLM TlRMTVNTUAA=, Basic realm=x", [("ntlm", {}), ("basic", {"realm": "x"})]),
        (' , ,Basic realm="",, Digest a=b,', [("basic", {"realm": ""}), ("digest", {"a": "b"})]),
        # What cannot be read ends the list.
        ('Basic realm="x", Bearer realm="y', [("basic", {"realm": "x"})]),
        ('Basic realm="x" Bearer realm="y"', []),
        ('Bearer realm="a", realm="b"', []),
        ("Bearer =x", []),
        ("=", []),
        ('"Bearer"', []),
        ("Basic realm=x" + " " * MAX_LENGTH, []),
        ("Bearer " + ",".join(f"p{i}=1" for i in range(100)), []),
    ],
)
def test_challenges_are_read_until_they_cannot_be(text, challenges):
    assert list(parse_challenges(text)) == [Challenge(*pair) for pair in challenges]


def test_there_is_an_end_to_challenges():
    assert len(parse_challenges(",".join(f"s{i} a=b" for i in range(1000)))) <= 8


@given(st.text(alphabet='aB =,"\\\t\n;/:', max_size=80))
def test_nothing_hostile_gets_through_as_an_error(text):
    for challenge in parse_challenges(text):
        assert challenge.scheme == challenge.scheme.lower()


@given(st.dictionaries(st.text("abc", min_size=1), st.text(max_size=20), min_size=1, max_size=8))
def test_what_is_quoted_comes_back(parameters):
    quoted = ", ".join(
        f'{name}="{value.translate({34: chr(92) + chr(34), 92: chr(92) * 2})}"'
        for name, value in parameters.items()
    )

    assert parse_challenges(f"Bearer {quoted}, Basic realm=x") == (
        Challenge("bearer", parameters),
        Challenge("basic", {"realm": "x"}),
    )
