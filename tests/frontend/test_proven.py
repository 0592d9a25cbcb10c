"""Who a credential was proven to be, and for how long that counts."""

import pytest

from frontend.access.proven import MAX_PROVEN, REMEMBER_SECONDS, Proven
from frontend.domain.message import ANONYMOUS, Evidence, Principal

ROW, TOKEN = Evidence("user", b"admin", b"row"), Evidence("token", b"t", b"token")
ADMIN = Principal("admin", is_admin=True, evidence=(ROW, TOKEN))


class Rows:
    """A snapshot of an account and a token."""

    def __init__(self, user=None, token=b"token"):
        self.rows = {("user", b"admin"): user, ("token", b"t"): token}

    def record(self, table, key):
        return self.rows[table, key]


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def proven(clock):
    return Proven(lambda: clock[0])


def test_a_proof_counts_while_the_account_is_the_same(proven):
    proven.note("Basic x", ADMIN, 60)

    assert proven.recall("Basic x", Rows(b"row")).principal is ADMIN
    assert proven.recall("Basic x", Rows(b"other")) is None
    assert proven.recall("Basic x", Rows(b"row", token=None)) is None
    assert proven.recall("Basic x", Rows()) is None
    assert proven.recall("Basic y", Rows(b"row")) is None


@pytest.mark.parametrize(("left", "counts"), [(5, 5), (60, 60), (300, REMEMBER_SECONDS), (-1, 0)])
def test_a_proof_ends_when_its_time_is_over(proven, clock, left, counts):
    proven.note("Bearer x", ANONYMOUS, left)

    clock[0] += counts - 0.1
    assert (proven.recall("Bearer x", Rows()) is not None) == (counts > 0)
    clock[0] += 0.1
    assert proven.recall("Bearer x", Rows()) is None


def test_neither_credentials_nor_many_of_them_are_kept(proven):
    for number in range(MAX_PROVEN + 10):
        proven.note(f"Basic {number}", ADMIN, 60)
    proven.note("Basic " + "x" * 5000, ADMIN, 60)

    rows = Rows(b"row")
    assert proven.recall("Basic 0", rows) is None
    assert proven.recall(f"Basic {MAX_PROVEN + 9}", rows).principal is ADMIN
    assert proven.recall("Basic " + "x" * 5000, rows) is None
    assert "Basic" not in repr(vars(proven))
