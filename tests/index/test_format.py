"""Every byte of the index, as `docs/formats/index.md` says: a golden file that never changes."""

import json
from pathlib import Path

from index import keys
from index.records import (
    ChunkAt,
    Damage,
    Entry,
    Extent,
    Image,
    Link,
    Manifest,
    Object,
    Pack,
    Place,
    Repository,
    Run,
    Storage,
    Tag,
    Usage,
    Work,
)
from tests.index import golden

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "data" / "golden" / f"index-v{keys.FORMAT}.json"
DOCUMENT = (ROOT / "docs" / "formats" / "index.md").read_text(encoding="utf-8")
RECORDS = {
    "storage": Storage,
    "repository": Repository,
    "image": Image,
    "tag": Tag,
    "manifest": Manifest,
    "link": Link,
    "object": Object,
    "extent": Extent,
    "chunk": Place,
    "chunk_at": ChunkAt,
    "pack": Pack,
    "work": Work,
    "run": Run,
    "damage": Damage,
    "journal": Entry,
    "usage": Usage,
}


def test_every_key_and_value_has_the_bytes_of_the_golden_file():
    assert json.loads(golden.encode()) == json.loads(FILE.read_text(encoding="utf-8"))


def test_the_golden_files_values_read_back():
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]

    for name, record in RECORDS.items():
        value = bytes.fromhex(rows[name]["value"])
        assert record.decode(value).encode() == value


def test_the_golden_file_has_every_table_that_is_written():
    assert {name.split()[0] for name in golden.ROWS} | keys.RECORD_TABLES == set(keys.TABLES)


def test_every_meta_row_is_golden():
    named = {value for name, value in vars(keys).items() if name.startswith("META_")}

    assert {key for name, (key, _) in golden.ROWS.items() if name.startswith("meta")} == named


def test_every_table_and_meta_row_is_documented():
    words = {word.decode() for name, word in vars(keys).items() if name.startswith("META_")}

    assert [name for name in (*keys.TABLES, *words) if f"`{name}`" not in DOCUMENT] == []


def test_every_field_of_a_row_with_text_is_documented():
    rows = (Storage, Repository, Tag, Manifest, Work, Run, Damage, Entry)
    fields = {field for row in rows for field in row.__struct_fields__}

    assert [field for field in fields if f"`{field}`" not in DOCUMENT] == []
