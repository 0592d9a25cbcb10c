"""Configs as people read them: whatever a stranger pushed as one."""

import json

import pytest
from hypothesis import given, strategies as st

from frontend.domain.image_config import (
    LONGEST,
    MOST,
    ImageConfig,
    Step,
    lines_of_layers,
    read_config,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("config", "history", "Env", "Labels", "ExposedPorts", "created_by")),
            inner,
        )
    ),
)


def read(value, *, is_image=True):
    return read_config(json.dumps(value).encode(), is_image=is_image)


def test_a_config_says_how_an_image_runs():
    value = {
        "created": "2026-01-02T03:04:05Z",
        "config": {
            "User": "app",
            "Entrypoint": ["/bin/app"],
            "Cmd": ["--serve"],
            "Env": ["PATH=/bin"],
            "ExposedPorts": {"8080/tcp": {}, "443/tcp": {}},
            "Labels": {"a": "b"},
            "WorkingDir": "/srv",
        },
        "history": [{"created_by": "COPY . /"}, {"created_by": "ENV A=1", "empty_layer": True}],
    }

    assert read(value) == ImageConfig(
        created="2026-01-02T03:04:05Z",
        user="app",
        working_dir="/srv",
        entrypoint=("/bin/app",),
        cmd=("--serve",),
        env=("PATH=/bin",),
        ports=("443/tcp", "8080/tcp"),
        labels={"a": "b"},
        history=(
            Step(created_by="COPY . /"),
            Step(created_by="ENV A=1", makes_layer=False),
        ),
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":'])
def test_what_is_no_json_object_is_no_config(content):
    assert read_config(content, is_image=True) is None


@given(JSON)
def test_any_form_is_read_without_a_refusal(value):
    for is_image in (True, False):
        found = read(value, is_image=is_image)

        assert (found is None) == (not isinstance(value, dict))


def test_texts_are_cut_and_lists_end():
    found = read(
        {
            "author": "x" * (LONGEST + 1),
            "config": {
                "Env": ["a"] * (MOST + 1),
                "Labels": {str(n): "v" for n in range(MOST + 1)},
            },
            "history": [{}] * (MOST + 1),
        }
    )

    assert len(found.author) == LONGEST
    assert (len(found.env), len(found.labels), len(found.history)) == (MOST, MOST, MOST)


def test_a_config_of_another_kind_shows_its_texts():
    chart = {"name": "app", "version": "1.2.3", "keywords": ["x"]}

    assert read(chart, is_image=False).about == {"name": "app", "version": "1.2.3"}


def test_a_line_belongs_to_the_layer_it_made():
    first, empty, second = Step(), Step(makes_layer=False), Step(comment="b")

    assert lines_of_layers([first, empty, second], 2) == [first, second]


def test_lines_that_do_not_fit_the_layers_belong_to_none():
    assert lines_of_layers([Step()], 2) == [None, None]
