"""Golden values of docs/formats/packs.md: what is on people's disks must stay readable."""

import json
import re
from pathlib import Path

import pytest

from cas import layout
from cas.uploads.chunking import ChunkList, new_cutter
from cas.verbs import Owner
from index.changes import ImageName
from index.lock import hold_directory
from tests.cas.pushing import GZIP, noise, push

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "golden" / "packs-v1.json").read_text())


@pytest.mark.parametrize("each", GOLDEN["sessions"])
def test_session_ids_are_what_they_were(each):
    owner = Owner(ImageName("local/images", "a/b"), each["principal"], each["algorithm"])
    secret = bytes.fromhex(each["secret"])

    assert layout.session_id(secret, owner, bytes.fromhex(each["nonce"])) == each["session"]
    layout.check_session(secret, owner, each["session"])


@pytest.mark.parametrize("each", GOLDEN["cuts"])
def test_known_bytes_are_cut_where_they_were(each):
    content = bytes.fromhex(each["head"]) + noise(each["size"], "golden")
    chunks = ChunkList()

    chunks.add(memoryview(content), new_cutter(content[:4]).cut(memoryview(content), is_last=True))

    assert list(chunks.lengths) == each["lengths"]
    assert chunks.names[:32].hex() == each["first"]


async def test_a_pack_is_the_bytes_of_its_chunks_and_nothing_else(store, tmp_path):
    contents = [noise(100_000), GZIP + noise(70_000, "second")]
    for content in contents:
        await push(store, content)

    (path,) = (tmp_path / layout.PACKS).iterdir()

    assert path.read_bytes() == b"".join(contents)
    assert re.fullmatch("[0-9a-f]{16}", path.name)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_lock_file_names_its_holder(tmp_path):
    with hold_directory(tmp_path):
        line = (tmp_path / "lock").read_text()

    assert re.fullmatch(r"process \d+ on \S+, since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", line)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


async def test_folders_are_private(store, tmp_path):
    for name in (layout.PACKS, layout.UPLOADS, layout.INDEX):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
