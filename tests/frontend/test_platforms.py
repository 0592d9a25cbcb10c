"""`frontend.domain.platforms`: what an image runs on, for lists."""

import json

import pytest
from hypothesis import given, strategies as st

from frontend.domain.platforms import MOST, of_config, of_descriptors

LINUX = {"os": "linux", "architecture": "amd64"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LINUX, ("linux/amd64",)),
        (LINUX | {"variant": "v2"}, ("linux/amd64/v2",)),
        (LINUX | {"variant": "", "rootfs": {}}, ("linux/amd64",)),
        (LINUX | {"variant": 5}, ("linux/amd64",)),
        ({"os": "linux"}, ()),
        ({"os": "linux", "variant": "v2"}, ()),
        ({"os": "", "architecture": "amd64", "variant": "v1"}, ()),
        ({"os": "x" * 33, "architecture": "y"}, ()),
        ({"os": "a\nb", "architecture": "y"}, ()),
        ([], ()),
        ("linux/amd64", ()),
    ],
)
def test_a_config_says_what_it_runs_on_or_nothing(config, said):
    assert of_config(json.dumps(config).encode()) == said


@given(st.binary(max_size=200))
def test_whatever_a_config_is_it_refuses_nothing(content):
    assert isinstance(of_config(content), tuple)


def test_an_index_lists_each_platform_once_and_attestations_never():
    unknown = {"os": "unknown", "architecture": "unknown"}

    said = of_descriptors(
        [LINUX, unknown, None, "x", {"os": "windows", "architecture": "arm64"}, LINUX]
    )

    assert said == ("linux/amd64", "windows/arm64")


def test_an_index_of_many_platforms_lists_the_first():
    many = [{"os": "linux", "architecture": f"a{number}"} for number in range(MOST + 9)]

    assert len(of_descriptors(many)) == MOST
