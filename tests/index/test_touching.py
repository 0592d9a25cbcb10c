"""`index.touching`: times beside the rows that they are of."""

import pytest

from index import keys
from index.changes import SetTag, Touch, Unlink
from index.errors import TargetMissing
from tests.index.tables import IMAGE, PLACES, commit, digest_of, manifest, put

NOW = 5_000_000
EVERY = 3600


@pytest.fixture
def pulled(environment):
    """Touch the manifest, and say what its row is."""
    commit(environment, [*PLACES, *put(1), manifest(1), SetTag(IMAGE, "v1", digest_of(1))])
    key = environment.read(lambda view: view.image(IMAGE).id) + digest_of(1)

    def touch(at, environment=environment, **every):
        commit(environment, [Touch("pulled", key, key, at, **every)])
        return environment.read(lambda view: view.get("pulled", key))

    return touch


def test_a_time_is_written_once_an_hour(pulled):
    assert pulled(NOW) == keys.u64(NOW)
    assert pulled(NOW + EVERY - 1) == keys.u64(NOW)
    assert pulled(NOW + EVERY) == keys.u64(NOW + EVERY)
    assert pulled(NOW) == keys.u64(NOW + EVERY)


def test_a_time_is_written_as_often_as_is_wished(pulled):
    pulled(NOW)

    assert pulled(NOW + 59, every=60) == keys.u64(NOW)
    assert pulled(NOW + 60, every=60) == keys.u64(NOW + 60)


def test_a_time_goes_with_its_manifest_and_comes_to_none_that_is_gone(environment, pulled):
    pulled(NOW)

    commit(environment, [Unlink(IMAGE, digest_of(1))])

    assert environment.read(lambda view: view.entries("pulled")) == 0
    assert pulled(NOW + EVERY) is None


def test_no_other_table_has_times(environment):
    with pytest.raises(TargetMissing):
        commit(environment, [*PLACES, Touch("user", b"x", b"x", NOW)])
