import subprocess
import sys
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, strategies as st

from cas import errors
from cas.digest import Digest
from cas.errors import CasError, ObjectTooLarge
from cas.remote import wire
from cas.remote.wire import FrameInvalid, Frames
from cas.verbs import Adopt, Owner, Progress, Report, StoreChange
from index import errors as index_errors
from index.changes import ImageName
from index.errors import IndexFault
from index.expectations import Expectation
from index.records import Entry

st.register_type_strategy(Digest, st.binary().map(Digest.of))
numbers = st.integers(0, 2**63)
texts = st.text()
details = st.dictionaries(texts, texts | numbers)  # its default is a dict: msgspec makes it anew
st.register_type_strategy(Entry, st.builds(Entry, at=numbers, action=texts, detail=details))


@pytest.fixture(autouse=True, scope="module")
def whole_numbers_of_64_bits():
    """No size, offset, time or revision has more; MessagePack has no more either."""
    st.register_type_strategy(int, numbers)
    yield
    st.register_type_strategy(int, st.integers())


CHANGES = get_args(StoreChange)
EXPECTATIONS = get_args(Expectation)
MESSAGES = (*get_args(wire.Request), *get_args(wire.Reply))


def subclasses(kind: type) -> set[type]:
    return {kind for each in kind.__subclasses__() for kind in (each, *subclasses(each))}


ERRORS = sorted(
    (kind for kind in subclasses(CasError) | subclasses(IndexFault) if kind.__module__ in
     (errors.__name__, index_errors.__name__)),
    key=lambda kind: kind.__name__,
)  # fmt: skip


def values(kind: type) -> st.SearchStrategy:
    return st.from_type(kind)


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_comes_out_as_it_went_in(kind):
    @given(values(kind))
    def check(change):
        assert wire.changes([wire.named(change)]) == (change,)

    check()


@pytest.mark.parametrize("kind", EXPECTATIONS)
def test_every_expectation_comes_out_as_it_went_in(kind):
    @given(values(kind))
    def check(expectation):
        assert wire.expectations([wire.named(expectation)]) == (expectation,)

    check()


@given(st.builds(Progress) | st.builds(Report))
def test_what_maintenance_tells_comes_out_as_it_went_in(told):
    assert wire.told(wire.named(told)) == told


def error_of(kind: type) -> st.SearchStrategy:
    by_name = {
        "Digest": st.from_type(Digest),
        "tuple[Expectation, ...]": st.lists(st.from_type(Expectation)).map(tuple),
        "str": st.text(),
        "int": numbers,
        str: st.text(),
        int: numbers,
    }
    return st.builds(kind, *(by_name[each.type] for each in fields(kind)))


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_comes_out_with_its_type_and_its_fields(kind):
    @given(error_of(kind))
    def check(error):
        found = wire.error(wire.named_error(error))

        assert type(found) is kind
        for each in fields(kind):
            assert getattr(found, each.name) == getattr(error, each.name)
        assert str(found) == str(error)

    check()


def test_every_error_type_of_both_packages_has_a_wire_form():
    assert set(wire.ERRORS) == set(ERRORS)


def test_no_two_types_on_the_wire_share_a_name():
    kinds = [*CHANGES, *EXPECTATIONS, Progress, Report, *ERRORS]

    assert len({kind.__name__ for kind in kinds}) == len(kinds)


raws = st.builds(lambda name, owner: wire.named(Adopt(name, Digest.of(b""), owner)),
                 st.text(), st.from_type(Owner))  # fmt: skip
st.register_type_strategy(wire.msgspec.Raw, raws.map(lambda named: named[1]))


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_comes_out_of_its_frame_as_it_went_in(kind):
    decode = wire.request if kind in get_args(wire.Request) else wire.reply

    @given(st.from_type(kind))
    def check(message):
        frames = Frames()
        frames.feed(wire.frame(message))
        found = decode(frames.take())

        assert type(found) is kind
        assert wire.frame(found) == wire.frame(message)
        assert not frames.is_within

    check()


def test_a_request_is_no_reply():
    content = content_of(wire.Cancel(Owner(ImageName("a", "b"), "c"), "d"))

    with pytest.raises(FrameInvalid):
        wire.reply(content)


def content_of(message) -> bytes:
    frames = Frames()
    frames.feed(wire.frame(message))
    return frames.take()


@pytest.mark.parametrize("decode", [wire.request, wire.reply])
@given(content=st.binary())
def test_any_garbage_is_one_named_error_or_a_message(decode, content):
    try:
        found = decode(content)
    except FrameInvalid:
        return
    assert isinstance(found, wire.Message)


@given(st.data(), st.integers(0, 10_000))
def test_a_damaged_message_is_one_named_error_or_a_message(data, seed):
    message = wire.Stage(Owner(ImageName("local/images", "a"), "admin"), "0" * 64, "key")
    content = bytearray(content_of(message))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))

    try:
        found = wire.request(bytes(content[: len(content) - seed % 3]))
    except FrameInvalid:
        return
    assert isinstance(found, wire.Message)


@pytest.mark.parametrize("read", [wire.told, wire.error, lambda v: wire.changes([v]),
                                  lambda v: wire.expectations([v])])  # fmt: skip
@pytest.mark.parametrize("name", ["", "object", "eval", "Link.__class__", "é" * 1000])
def test_a_type_that_is_not_registered_is_refused(read, name):
    with pytest.raises(FrameInvalid):
        read((name, wire.msgspec.Raw(b"\xc0")))


@pytest.mark.parametrize("read", [wire.told, wire.error, lambda v: wire.expectations([v])])
def test_a_value_in_another_ones_place_is_refused(read):
    change = wire.named(Adopt("a", Digest.of(b""), Owner(ImageName("a", "b"), "c")))

    with pytest.raises(FrameInvalid):
        read(change)


@pytest.mark.parametrize("fields", [[], [1], ["a", "b"], {}, None, [["a"]]])
def test_an_error_with_other_fields_is_refused(fields):
    with pytest.raises(FrameInvalid):
        wire.error(("UploadUnknown", wire.msgspec.Raw(wire.msgspec.msgpack.encode(fields))))


def test_deep_nesting_is_refused():
    with pytest.raises(FrameInvalid):
        wire.request(b"\x91" * 100_000)


# --- frames ---


@given(st.lists(st.binary(max_size=9)), st.integers(1, 20))
def test_frames_are_cut_wherever_the_pieces_end(contents, step):
    stream = b"".join(len(each).to_bytes(4) + each for each in contents)
    frames, found = Frames(), []

    for start in range(0, len(stream), step):
        frames.feed(stream[start : start + step])
        while (content := frames.take()) is not None:
            found.append(content)

    assert found == contents
    assert not frames.is_within


def test_a_frame_over_the_limit_is_refused_by_its_length_alone():
    frames = Frames()
    frames.feed((wire.MAX_FRAME + 1).to_bytes(4))

    with pytest.raises(FrameInvalid):
        frames.take()


def test_what_does_not_fit_a_frame_is_not_sent():
    with pytest.raises(ObjectTooLarge) as caught:
        wire.frame(wire.Broke("x" * wire.MAX_FRAME))

    assert caught.value.limit == wire.MAX_FRAME


def test_the_shape_is_the_same_in_every_process():
    program = "from cas.remote import wire; print(wire.SHAPE, end='')"
    other = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert other.stdout == wire.SHAPE


def test_another_field_is_another_shape(monkeypatch):
    monkeypatch.setitem(wire.ERRORS, errors.Busy, tuple[str, int])

    assert wire._shape() != wire.SHAPE
