"""A store on an empty directory, with the repository that tests push to; or without the store."""

import pytest

from cas import layout
from cas.local import open_store
from cas.uploads.sessions import Sessions
from tests.cas.backups import Site, shrink
from tests.cas.pushing import noise, prepare, push
from tests.cas.staging_area import SECRET


@pytest.fixture
async def store(request, tmp_path):
    """With the module's SETTINGS, if it has some."""
    async with open_store(tmp_path, getattr(request.module, "SETTINGS", None)) as opened:
        await prepare(opened)
        yield opened


@pytest.fixture
async def root(tmp_path):
    """A data directory with one blob, and nobody who serves it."""
    async with open_store(tmp_path) as store:
        await prepare(store)
        await push(store, noise(200_000))
    return tmp_path


@pytest.fixture
def idle(tmp_path):
    """Sessions whose hashing tasks do not run."""
    (tmp_path / layout.UPLOADS).mkdir()
    return Sessions(tmp_path, SECRET, 0)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A data directory and a folder for its backup; small blobs go every way that large ones go."""
    shrink(monkeypatch)
    return Site(tmp_path)
