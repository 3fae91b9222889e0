"""The list of an export, and what is noted of files."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from tasks.exports.contents import (
    Disjoint,
    FileFacts,
    MadeBy,
    Note,
    contents_bytes,
    learn_facts,
    notes_bytes,
    read_notes,
)
from tasks.exports.verify_export import DamagedError, read_contents
from tasks.schema.errors import StoreError

FACTS = FileFacts(3, "0" * 64)
PARQUET = FileFacts(3, "1" * 64, rows=2, columns=["a: INT64 NONE NONE 1/0"])


def learnt(path: Path) -> FileFacts:
    return dict(learn_facts({path.name: (path, blake3(path.read_bytes()).hexdigest())}))[path.name]


def test_the_list_is_read_as_it_was_written() -> None:
    rule = Disjoint(("{split}/*.parquet",), ("group_id",), splits=(("train",), ("test", "validation")))
    data = contents_bytes({"b": FACTS, "a.parquet": PARQUET}, [rule], MadeBy("flow", "digest"))
    assert data == contents_bytes({"a.parquet": PARQUET, "b": FACTS}, [rule], MadeBy("flow", "digest"))
    read = read_contents(data)
    assert (read.files, read.rules) == ({"a.parquet": PARQUET, "b": FACTS}, [rule])
    assert read.made_by == {"flow": "flow", "manifest": "digest"}
    assert read.digest == hashlib.blake2b(data, digest_size=32).hexdigest()
    assert list(json.loads(data)) == ["format", "made_by", "disjoint", "files", "seal"]
    assert read_contents(contents_bytes({}, [], None)).files == {}
    for place in range(len(data)):
        with pytest.raises(DamagedError):
            read_contents(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_facts_of_each_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    lists = pa.array([[1.0], []], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": ["a", "b"], "of": lists, "n": pa.array([1, None], pa.uint64())}), path)
    facts = learnt(path)
    assert facts.size == path.stat().st_size
    assert facts.blake2b == hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    assert facts.rows == 2
    assert facts.columns == [
        "id: BYTE_ARRAY STRING UTF8 1/0",
        "of.list.element: FLOAT NONE NONE 3/1",
        "n: INT64 INT UINT_64 1/0",
    ]
    assert (facts.members, learnt_of(tmp_path, "a.bin", b"a").columns) == (None, None)
    assert learnt_of(tmp_path, "a.csv", b"\xef\xbb\xbfa,b\n1,2").columns == ["a", "b"]
    assert learnt_of(tmp_path, "a.tar", bytes(1024)).members == 0


def learnt_of(folder: Path, name: str, data: bytes) -> FileFacts:
    (folder / name).write_bytes(data)
    return learnt(folder / name)


def test_what_is_not_what_was_written_is_told(tmp_path: Path) -> None:
    for name, data in (("a.parquet", b"PAR1"), ("a.tar", b"x" * 600), ("b.tar", b"x")):
        with pytest.raises(StoreError, match="is not what was written"):
            learnt_of(tmp_path, name, data)
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(StoreError, match="does not hold what was written"):
        list(learn_facts({"a": (tmp_path / "a", "0" * 64)}))
    with pytest.raises(StoreError, match="is not what was written"):
        list(learn_facts({"b": (tmp_path / "b", "0" * 64)}))


def test_notes_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "files.json"
    path.write_text(json.dumps({"a": ["0" * 64, "photo"], "b c/d": ["1" * 64, "", {"size": 3, "blake2b": "0" * 64}]}))
    notes = read_notes(path)
    assert notes == {"a": Note("0" * 64, "photo"), "b c/d": Note("1" * 64, "", FACTS)}
    path.write_bytes(notes_bytes({**notes, "e": Note("2" * 64, "", PARQUET)}))
    assert read_notes(path) == {**notes, "e": Note("2" * 64, "", PARQUET)}
    for wrong in ("{", '{"../a": ["%s", ""]}' % ("0" * 64), '{"a": ["0", ""]}'):
        path.write_text(wrong)
        with pytest.raises(StoreError, match="is damaged"):
            read_notes(path)
