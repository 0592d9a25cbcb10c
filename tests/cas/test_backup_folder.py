"""Golden values of docs/formats/backup.md, and what of a folder needs no store."""

import json
import os
from pathlib import Path

import pytest
from blake3 import blake3

from cas.backup.folder import BackupRefused, State, open_for_backup, open_for_restore, refusing_full
from index.errors import NoSpace

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "golden" / "backup-v1.json").read_text())
STATE = State(
    bytes.fromhex(GOLDEN["state"]["store"]),
    tuple(GOLDEN["state"]["indexes"]),
    frozenset(int(pack, 16) for pack in GOLDEN["state"]["incomplete"]),
)


def test_the_state_is_written_and_read_as_it_was():
    assert STATE.encode().decode() == GOLDEN["file"]
    assert State.decode(GOLDEN["file"].encode()) == STATE


def test_files_have_the_names_that_they_had(tmp_path):
    with open_for_backup(tmp_path / "backup") as folder:
        folder.write_state(STATE)
        folder.remove_unfinished("index").write_bytes(b"")
        folder.publish("index")
        os.close(folder.open_pack(0xABC, writes=True))

    names = {str(path.relative_to(tmp_path / "backup")) for path in tmp_path.rglob("*")}
    assert {"backup.json", "index", "lock", "packs", "packs/0000000000000abc"} <= names
    with open_for_restore(tmp_path / "backup") as folder:
        assert folder.read_state() == STATE
        assert folder.hash_index() == blake3(b"").hexdigest() == STATE.indexes[0]
        assert list(folder.iter_packs()) == [0xABC]
        assert folder.pack_size(0xABC) == 0


@pytest.mark.parametrize("error", [OSError(28, "full"), OSError(122, "quota"), NoSpace()])
def test_a_full_disk_is_said_so(tmp_path, error):
    with (
        pytest.raises(BackupRefused, match="is full: nothing was lost"),
        refusing_full(tmp_path, "nothing was lost"),
    ):
        raise error


def test_another_error_is_left_as_it_is(tmp_path):
    with pytest.raises(PermissionError), refusing_full(tmp_path, ""):
        raise PermissionError(13, "Permission denied")
