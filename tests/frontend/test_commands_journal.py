"""`orlop journal`: the last entries, and those to come."""

import json
from urllib.parse import parse_qs

import pytest

from frontend.commands.server import Server
from tests.frontend.fake_client import FakeClient


class Journal(FakeClient):
    """Entries of `everybody`, numbered from 1, as the server pages through them."""

    def __init__(self, *actors: str) -> None:
        super().__init__()
        self.entries: list[dict] = []
        self.most = 1000  # entries that the server looks at for one call
        for actor in actors:
            self.add(actor)

    def add(self, actor: str) -> None:
        number = len(self.entries) + 1
        self.entries.append(
            {"number": number, "time": f"t{number}", "actor": actor, "action": "user.create",
             "target": "x", "address": "local", "via": "socket", "detail": {"role": "user"}}
        )  # fmt: skip

    def call(self, method, path, body=None):
        place, _, query = path.partition("?")
        assert (method, place) == ("GET", "/api/v1/journal")
        said = {name: values[0] for name, values in parse_qs(query).items()}
        if "after" in said:
            after = int(said["after"])
            rows = [each for each in self.entries if each["number"] > after]
        else:
            after, before = None, int(said.get("before", 1 << 60))
            rows = [each for each in reversed(self.entries) if each["number"] < before]
        looked_at = rows[: min(int(said["per_page"]), self.most)]
        last = looked_at[-1]["number"] if looked_at else after
        is_all = after is None and len(looked_at) == len(rows)
        items = [each for each in looked_at if said.get("actor") in (None, each["actor"])]
        return {"items": items, "next": None if is_all else last}


@pytest.fixture
def log(monkeypatch):
    made = Journal("ann", "bob", "ann", "bob", "ann")
    monkeypatch.setattr(Server, "_client", made)
    return made


def times(out: str) -> list[str]:
    return [line.partition("\t")[0] for line in out.splitlines()]


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_the_last_entries_are_shown_the_newest_last(log, orlop, most):
    log.most = most

    assert times(orlop("journal")[1]) == ["t1", "t2", "t3", "t4", "t5"]
    assert times(orlop("journal", "--lines", "2")[1]) == ["t4", "t5"]
    assert times(orlop("journal", "--lines", "2", "--actor", "bob")[1]) == ["t2", "t4"]
    assert orlop("journal", "--lines", "0")[1] == ""


def test_an_entry_is_cells_or_all_that_is_known(log, orlop):
    code, out, err = orlop("journal", "--lines", "1")

    assert (code, out, err) == (0, "t5\tann\tuser.create\tx\tlocal\tsocket\trole=user\n", "")
    assert json.loads(orlop("journal", "--lines", "1", "--json")[1]) == log.entries[-1:]


@pytest.mark.parametrize("is_empty", [False, True])
def test_what_happens_meanwhile_follows(log, orlop, monkeypatch, is_empty):
    if is_empty:
        log.entries.clear()
    before = len(log.entries)
    rests = []

    def rest(_):
        rests.append(len(log.entries))
        if len(rests) == 3:
            raise KeyboardInterrupt
        for actor in ("eve", "bob"):
            log.add(actor)

    monkeypatch.setattr("frontend.commands.journal.sleep", rest)

    code, out, _ = orlop("journal", "--follow", "--lines", "1", "--json")

    numbers = [json.loads(line)["number"] for line in out.splitlines()]
    assert code == 130
    assert numbers == [*range(max(before, 1), before + 5)]


def test_what_was_left_out_is_not_asked_for_again(log, orlop, monkeypatch):
    """Entries of others pass by too: the number to go on from is theirs."""

    def rest(_):
        if len(log.entries) > 5:
            raise KeyboardInterrupt
        for actor in ("bob", "bob", "ann"):
            log.add(actor)

    monkeypatch.setattr("frontend.commands.journal.sleep", rest)

    out = orlop("journal", "--follow", "--lines", "0", "--actor", "ann")[1]

    assert times(out) == ["t8"]


def test_a_repository_that_cannot_be_is_2(log, orlop):
    assert orlop("journal", "--repository", "local")[0] == 2
