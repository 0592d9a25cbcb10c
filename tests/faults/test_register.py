"""The judge of histories: what it must let pass, and what it must not."""

import pytest

from tests.faults.register import Cleared, Dropped, Got, Operation, Put, contradiction


def history(*rows) -> list[Operation]:
    return [Operation(*row) for row in rows]


LINEAR = {
    "nothing": [],
    "a read of what was put": [(0, 1, Put("a")), (2, 3, Got("a"))],
    "a read meanwhile sees either": [(0, 9, Put("a")), (1, 2, Got(None)), (3, 4, Got("a"))],
    "puts at once end in either order": [
        (0, 5, Put("a")),
        (1, 4, Put("b")),
        (6, 7, Got("a")),
    ],
    "a lost put happened": [(0, 1, Put("a"), True), (2, 3, Got(None)), (4, 5, Got(None))],
    "a lost put did not happen": [(0, 8, Put("a"), True), (2, 3, Got(None)), (4, 5, Got("a"))],
    "a deletion found it": [(0, 1, Put("a")), (2, 3, Cleared(True)), (4, 5, Cleared(False))],
    "a manifest took its tag along": [(0, 1, Put("a")), (2, 3, Dropped("a")), (4, 5, Got(None))],
    "a manifest left another's tag": [
        (0, 1, Put("a")),
        (2, 3, Put("b")),
        (4, 5, Dropped("a")),
        (6, 7, Got("b")),
    ],
    "a lost deletion": [(0, 1, Put("a")), (2, 3, Cleared(True), True), (4, 5, Got(None))],
}

WRONG = {
    "a put that was never seen": [(0, 1, Put("a")), (2, 3, Got(None))],
    "a value from nowhere": [(0, 1, Got("a"))],
    "an old value": [(0, 1, Put("a")), (2, 3, Put("b")), (4, 5, Got("a"))],
    "back and forth": [
        (0, 1, Put("a")),
        (0, 9, Put("b")),
        (2, 3, Got("b")),
        (4, 5, Got("a")),
    ],
    "two deletions of one tag": [(0, 1, Put("a")), (2, 3, Cleared(True)), (4, 5, Cleared(True))],
    "a tag of a manifest that went": [(0, 1, Put("a")), (2, 3, Dropped("a")), (4, 5, Got("a"))],
    "a lost put comes too late": [
        (0, 3, Put("a"), True),
        (1, 4, Got(None)),
        (5, 6, Got(None)),
        (7, 8, Got("a")),
    ],
    "a lost put that came and went": [
        (0, 9, Put("a"), True),
        (1, 2, Got("a")),
        (3, 4, Got(None)),
    ],
}


@pytest.mark.parametrize("rows", LINEAR.values(), ids=LINEAR)
def test_what_can_have_happened_passes(rows):
    assert contradiction(history(*rows)) == []


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG)
def test_what_cannot_have_happened_is_found(rows):
    assert contradiction(history(*rows)) != []
