"""The script in every export: what it finds, on exports as they are, with one thing changed, and under Python alone."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.exports import verify_export, webbody_pieces
from tasks.exports.contents import Disjoint, contents_bytes, digest_of
from tasks.exports.m2p_tables import export_m2p_tables
from tasks.exports.m2p_tree import export_m2p_tree
from tasks.exports.owned import OwnedFolder
from tasks.exports.verify_export import SEAL, FileFacts, file_facts, main, verify
from tasks.exports.webbody_bundle import export_bundles
from tasks.exports.webbody_facts import WHOLE, BundleConfig
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tests.exports.m2p_shards import Video, write_build
from tests.exports.webbody_shards import CARD, Build

Change = Callable[[Path], object]

M2P, TABLES = "m2p", "m2p/tables"
CLIP = "train/dance_a_c000"
ROWS, DATA, TAR = "rows.parquet", "data/train-00000.parquet", "webdataset/train-00000.tar"
SAMPLES, TESTED = "samples/train-00000.parquet", "subset_config/test.csv"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`m2p`, folders of clips, with `tables` in it, and `whole_body_bundle`; the splits of a bundle share no photo."""
    top = tmp_path_factory.mktemp("exports")
    shards, split = write_build(top / "in", [Video(frames=(3, 5)), Video("dance_b", (4,), split="validation")])
    export_m2p_tree(shards, split, top / M2P)
    export_m2p_tables(shards, split, top / TABLES, ("parquet", "webdataset"), title="Dance")
    build = Build()
    build.members = [row for row in build.members if "/p0/" in str(row["sample_id"])]
    every = BundleConfig(formats=("recordio", "webdataset", "parquet"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webbody_pieces, "PIECE_ROWS", 5)
        export_bundles(Store(top / "store"), build.write(top / "bodies"), top, every, card=CARD, threads=2)
    return top


def flipped(name: str, place: float) -> Change:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[round(place * (len(data) - 1))] ^= 1
        (folder / name).write_bytes(data)

    return change


def written(name: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def swapped(name: str, other: str) -> Change:
    def change(folder: Path) -> None:
        first = (folder / name).read_bytes()
        (folder / name).write_bytes((folder / other).read_bytes())
        (folder / other).write_bytes(first)

    return change


def linked(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def a_folder(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def table(name: str, change: Callable[[pa.Table], pa.Table]) -> Change:
    """The table with something changed, as a Parquet file that is in order."""
    return lambda folder: pq.write_table(change(pq.read_table(folder / name, partitioning=None)), folder / name)


def lines(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return written(name, lambda data: b"".join(change(data.splitlines(keepends=True))))


def column(name: str, values: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index(name)
        return rows.set_column(
            place, rows.schema.field(name), pa.array(values(rows[name].to_pylist()), rows.schema.field(name).type)
        )

    return change


def retyped(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("similarity")
    return rows.set_column(place, "similarity", rows["similarity"].cast(pa.float64()))


def members(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """A tar file with other members: each a block of header and its data, filled to blocks."""

    def changed(data: bytes) -> bytes:
        found, at = [], 0
        while data[at]:
            size = int(data[at + 124 : at + 135], 8)
            end = at + 512 + size + -size % 512
            found.append(data[at:end])
            at = end
        return b"".join(change(found)) + bytes(1024)

    return written(TAR, changed)


def listed(change: Callable[[dict[str, Any]], object], *, sealed: bool = True) -> Change:
    """contents.json with something changed, and with the digest of itself that it then must have."""

    def changed(data: bytes) -> bytes:
        said = json.loads(data)
        seal = said.pop("seal")
        change(said)
        head = json.dumps(said).encode()[:-1] + b",\n"
        return head + SEAL + (digest_of(head) if sealed else seal).encode() + b'"\n}\n'

    return written("contents.json", changed)


def forged(name: str, change: Change) -> Change:
    """A file changed, and contents.json made to fit it."""

    def changed(folder: Path) -> None:
        change(folder)
        facts = {key: value for key, value in file_facts(folder / name, name)._asdict().items() if value is not None}
        listed(lambda said: said["files"].update({name: facts}))(folder)

    return changed


def also(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def copied(name: str, other: str) -> Change:
    def change(folder: Path) -> None:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, folder / other)
        else:
            shutil.copyfile(folder / name, folder / other)

    return change


def moved(name: str, other: str) -> Change:
    return lambda folder: (folder / name).rename(folder / other)


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def first_to(split: str) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [split, *values[1:]]


def of(name: str, **facts: object) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["files"][name].update(facts)


def song_of_validation(said: dict[str, Any]) -> None:
    said["samples"]["dance_a_c000"]["group"] = "group-dance_b"


def as_json(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        said = json.loads(data)
        change(said)
        return json.dumps(said).encode()

    return changed


FACTS = {"size": 1, "blake2b": "0" * 64}
VIDEO, MUSIC = f"{CLIP}/video.mp4", f"{CLIP}/music_features.npy"
OTHER = "train/dance_a_c001/music_features.npy"

TAMPERINGS: dict[str, tuple[str, Change, str]] = {
    "Parquet: a bit at the start": (WHOLE, flipped(DATA, 0), "other bytes"),
    "Parquet: a bit in the middle": (WHOLE, flipped(DATA, 0.5), "other bytes"),
    "Parquet: a bit at the end": (WHOLE, flipped(DATA, 1), "does not read as Parquet"),
    "CSV: a bit at the start": (WHOLE, flipped("labels.csv", 0), "other columns"),
    "CSV: a bit in the middle": (WHOLE, flipped("kps_xyn.csv", 0.5), "other bytes"),
    "CSV: a bit at the end": (WHOLE, flipped("labels.csv", 1), "other bytes"),
    "tar: a bit at the start": (WHOLE, flipped(TAR, 0), "other bytes"),
    "tar: a bit in the middle": (WHOLE, flipped(TAR, 0.5), TAR),
    "tar: a bit at the end": (WHOLE, flipped(TAR, 1), "other bytes"),
    "RecordIO: a bit at the start": (WHOLE, flipped("train.rec", 0), "other bytes"),
    "RecordIO: a bit in the middle": (WHOLE, flipped("train.rec", 0.5), "other bytes"),
    "RecordIO: a bit at the end": (WHOLE, flipped("face.rec", 1), "other bytes"),
    "index: a bit": (WHOLE, flipped("train.idx", 0.5), "other bytes"),
    "clip: a bit at the start": (M2P, flipped(VIDEO, 0), "other bytes"),
    "clip: a bit in the middle": (M2P, flipped(VIDEO, 0.5), "other bytes"),
    "clip: a bit at the end": (M2P, flipped(VIDEO, 1), "other bytes"),
    "array: a bit": (M2P, flipped(MUSIC, 0.5), "other bytes"),
    "picture: a bit": (M2P, flipped(f"{CLIP}/reference_image.jpg", 0.5), "other bytes"),
    "poses: a bit": (M2P, flipped(f"{CLIP}/pose_annotations.json", 0.5), "other bytes"),
    "card: a bit": (TABLES, flipped("README.md", 0.5), "other bytes"),
    "Parquet cut": (WHOLE, written(ROWS, lambda data: data[:-9]), "does not read as Parquet"),
    "CSV cut": (WHOLE, written("shapes.csv", lambda data: data[:-9]), "bytes, not"),
    "tar cut within its end": (WHOLE, written(TAR, lambda data: data[:-512]), "bytes, not"),
    "tar cut": (WHOLE, written(TAR, lambda data: data[:3000]), "without its end"),
    "clip cut": (M2P, written(VIDEO, lambda data: data[:-1]), "bytes, not"),
    "emptied": (M2P, written(MUSIC, lambda _: b""), "has 0 bytes"),
    "a byte appended to a clip": (M2P, written(VIDEO, lambda data: data + b"\0"), "bytes, not"),
    "a byte appended to a tar": (WHOLE, written(TAR, lambda data: data + b"\0"), "bytes, not"),
    "a line end appended to a CSV": (WHOLE, written("labels.csv", lambda data: data + b"\n"), "5 rows, not 4"),
    "two files of one kind swapped": (M2P, swapped(MUSIC, OTHER), "bytes, not"),
    "files of two splits swapped": (TABLES, swapped(SAMPLES, "samples/validation-00000.parquet"), "and in train"),
    "deleted": (M2P, gone(f"{CLIP}/face_embedding.npy"), "is missing"),
    "renamed": (M2P, moved(MUSIC, f"{CLIP}/music.npy"), "is missing"),
    "a sample deleted": (M2P, lambda folder: shutil.rmtree(folder / CLIP), "is missing"),
    "a folder in place of a file": (M2P, a_folder(MUSIC), "is no file"),
    "a link in place of a file": (M2P, linked(MUSIC), "is a link"),
    "a link in place of a folder": (M2P, linked(CLIP), "is a link"),
    "Parquet: a row removed": (WHOLE, table(DATA, lambda rows: rows.slice(1)), "8 rows, not 9"),
    "Parquet: a row twice": (WHOLE, table(DATA, lambda rows: pa.concat_tables([rows, rows[:1]])), "10 rows, not 9"),
    "Parquet: rows in another order": (WHOLE, table(ROWS, lambda rows: rows.sort_by("identity")), "bytes"),
    "Parquet: a column dropped": (WHOLE, table(ROWS, lambda rows: rows.drop_columns("number")), "other columns"),
    "Parquet: a column renamed": (WHOLE, table(ROWS, lambda rows: rows.rename_columns({"idx": "id"})), "other columns"),
    "Parquet: a column retyped": (WHOLE, table(ROWS, retyped), "similarity: DOUBLE"),
    "Parquet: columns swapped": (WHOLE, table(ROWS, lambda r: r.select(r.schema.names[::-1])), "other columns"),
    "Parquet: a split changed": (WHOLE, table(ROWS, column("split", first_to("train"))), "is in test and in train"),
    "Parquet: a split misspelt": (WHOLE, table(ROWS, column("split", first_to("trian"))), "'trian'"),
    "CSV: a row removed": (WHOLE, lines("kps_xyn.csv", lambda rows: rows[:-1]), "11 rows, not 12"),
    "CSV: a row twice": (WHOLE, lines("shapes.csv", lambda rows: [*rows, rows[-1]]), "13 rows, not 12"),
    "CSV: two rows swapped": (WHOLE, lines("labels.csv", lambda rows: [rows[0], *rows[:0:-1]]), "other bytes"),
    "CSV: another header": (WHOLE, lines("labels.csv", lambda r: [b"label,id\n", *r[1:]]), "other columns"),
    "tar: a member removed": (WHOLE, members(lambda found: found[1:]), "26 members, not 27"),
    "tar: a member twice": (WHOLE, members(lambda found: [*found, found[0]]), "28 members, not 27"),
    "a sample copied to another split": (M2P, copied(CLIP, "validation/dance_a_c000"), "in validation and in train"),
    "a sample copied there renamed": (M2P, copied(CLIP, "validation/new"), "lies among its samples"),
    "a sample moved to another split": (M2P, moved(CLIP, "validation/dance_a_c000"), "is missing"),
    "a table copied to another split": (TABLES, copied(SAMPLES, "samples/validation-00001.parquet"), "in validation"),
    "contents.json: another digest": (M2P, listed(of(MUSIC, blake2b="0" * 64), sealed=False), "was edited"),
    "contents.json: another size": (M2P, listed(of(MUSIC, size=1), sealed=False), "was edited"),
    "contents.json: other rows": (TABLES, listed(of(SAMPLES, rows=1), sealed=False), "was edited"),
    "contents.json: other columns": (TABLES, listed(of(SAMPLES, columns=[]), sealed=False), "was edited"),
    "contents.json: a file left out": (M2P, listed(lambda said: said["files"].pop(MUSIC), sealed=False), "was edited"),
    "contents.json: no splits": (M2P, listed(lambda said: said["disjoint"].clear(), sealed=False), "was edited"),
    "contents.json: a bit": (M2P, flipped("contents.json", 0.3), "was edited"),
    "contents.json cut": (M2P, written("contents.json", lambda data: data[: len(data) // 2]), "is damaged"),
    "contents.json emptied": (M2P, written("contents.json", lambda _: b""), "is damaged"),
    "contents.json deleted": (M2P, gone("contents.json"), "contents.json is missing"),
    "contents.json of another export": (M2P, copied("tables/contents.json", "contents.json"), "is missing"),
    "verify.py edited": (M2P, written("verify.py", lambda data: data + b"# fine\n"), "verify.py has"),
    "verify.py deleted": (M2P, gone("verify.py"), "verify.py is missing"),
    "sealed anew: another digest": (M2P, listed(of(MUSIC, blake2b="0" * 64)), "other bytes"),
    "sealed anew: no digest": (M2P, listed(of(MUSIC, blake2b="")), "no size and digest"),
    "sealed anew: another size": (M2P, listed(of(MUSIC, size=1)), "bytes, not 1"),
    "sealed anew: other rows": (TABLES, listed(of(SAMPLES, rows=1)), "2 rows, not 1"),
    "sealed anew: other columns": (TABLES, listed(of(SAMPLES, columns=["a"])), "other columns"),
    "sealed anew: other members": (WHOLE, listed(of(TAR, members=1)), "27 members, not 1"),
    "sealed anew: a sample left out": (M2P, listed(lambda said: said["files"].pop(VIDEO)), "lies among its samples"),
    "sealed anew: a file of none": (M2P, listed(lambda said: said["files"].update({"a": FACTS})), "a is missing"),
    "sealed anew: another format": (M2P, listed(lambda said: said.update(format="x")), "has the format 'x'"),
    "made to fit: a split changed": (WHOLE, forged(ROWS, table(ROWS, column("split", first_to("train")))), "in test"),
    "made to fit: a sample of two splits": (
        TABLES, forged(SAMPLES, table("samples/train-00000.parquet", column("sample_id", first_to("dance_b/c000")))),
        "sample_id 'dance_b/c000' is in",
    ),
    "made to fit: a group of two splits": (
        TABLES, forged(SAMPLES, table(SAMPLES, column("group", first_to("group-dance_b")))), "group 'group-dance_b' is",
    ),
    "made to fit: an identity of two splits": (
        WHOLE, forged(DATA, table(DATA, column("identity", first_to("id-0")))), "identity 'id-0' is in train and in",
    ),
    "made to fit: a group of the folders": (
        M2P, forged("metadata.json", written("metadata.json", as_json(song_of_validation))), "group 'group-dance_b' is",
    ),
    "made to fit: a row of another list": (
        WHOLE, forged(TESTED, lines(TESTED, lambda rows: [*rows, b"1,x,1\n"])), "local_idx '1' is in test",
    ),
    "made to fit: a test identity in a subset": (
        WHOLE, forged(ROWS, table(ROWS, column("subsets", lambda old: [["wb12m"], *old[1:]]))), "wb_testing",
    ),
}  # fmt: skip
"""What was done -> to which export, how, and a part of the fault that is told."""


def test_untouched_exports_are_as_they_were_written(exports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (M2P, WHOLE, "wb4m", "wb12m", "wb_testing"):
        assert main([str(exports / name)]) == 0
        said = capsys.readouterr().out
        assert "as it was written" in said
        assert "warning" not in said
        assert " 0 rows in one split" not in said


def test_more_than_fifty_tamperings_are_listed() -> None:
    assert len(TAMPERINGS) >= 50


@pytest.mark.parametrize("what", TAMPERINGS)
def test_a_tampering_is_found(what: str, exports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, change, told = TAMPERINGS[what]
    folder = shutil.copytree(exports / name, tmp_path / "copy")
    change(folder)
    assert main([str(folder)]) == 1
    faults = [line for line in capsys.readouterr().out.splitlines() if "FAULT" in line]
    assert any(told in line for line in faults), faults


@pytest.mark.parametrize(
    "name", ["../in/split.parquet", "/etc/hostname", "train/../../x", "./a", "a//b", "", "a\\b", "C:x", "a\0"]
)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    facts = FileFacts(1, "0" * 64)
    (tmp_path / "contents.json").write_bytes(contents_bytes({name: facts}, [], None))
    (fault,) = verify(tmp_path).faults
    assert "no place in the folder" in fault


def test_a_list_that_fits_a_forgery_is_found_by_its_digest(exports: Path, tmp_path: Path) -> None:
    digest = verify(exports / M2P).contents
    assert digest is not None
    folder = shutil.copytree(exports / M2P, tmp_path / "copy")
    assert verify(folder, expect=digest.digest.upper()).faults == []
    forged(MUSIC, flipped(MUSIC, 0.5))(folder)
    assert verify(folder).faults == []
    (fault,) = verify(folder, expect=digest.digest).faults
    assert "not the expected one" in fault


def test_quick_looks_at_sizes_only(exports: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exports / M2P, tmp_path / "copy")
    flipped(MUSIC, 0.5)(folder)
    assert verify(folder, quick=True).faults == []
    (folder / VIDEO).write_bytes(b"")
    assert len(verify(folder, quick=True).faults) == 1


def test_files_that_people_add_are_warnings(exports: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exports / M2P, tmp_path / "copy")
    for name in ("notes.txt", f"{CLIP}/notes.txt", "tables.csv"):
        (folder / name).write_bytes(b"mine")
    found = verify(folder)
    assert found.faults == []
    assert [said.split(" ")[0] for said in found.warnings] == ["notes.txt", "tables.csv", f"{CLIP}/notes.txt"]
    assert found.nested == [folder / "tables"]


def test_the_exports_inside_are_checked_too(exports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(exports / M2P, tmp_path / "copy")
    (folder / "tables/README.md").unlink()
    assert main([str(folder)]) == 1
    assert "FAULT: README.md is missing" in capsys.readouterr().out


def test_a_piece_in_the_making_is_told(exports: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exports / M2P, tmp_path / "copy")
    (folder / ".mannequin/pieces").mkdir()
    (folder / ".mannequin/pieces/a.json").write_text('{\n"a.png": null\n}')
    (fault,) = verify(folder).faults
    assert "running or was stopped" in fault


def test_splits_without_names_are_each_their_own(tmp_path: Path) -> None:
    with OwnedFolder(tmp_path, LocalFiles()) as out:
        out.put({"folds.csv": b'id,fold,group\na,0,"x"\nb,1,x\nc,1,\nd,0,\n'})
        out.declare(Disjoint(("*.csv",), ("id", "group"), "fold"))
        out.finish()
    (fault,) = verify(tmp_path).faults
    assert "group 'x' is in 1 and in 0 (folds.csv)" in fault


@pytest.mark.parametrize(
    ("data", "rows"),
    [(b"", 0), (b"a", 0), (b"a\n", 0), (b"a\nb", 1), (b'a,b\n"x\ny",1\n2,"say ""\n"""\n', 2), (b'"a\nb"\r\n1\r\n', 1)],
)
def test_rows_of_csv_are_counted_as_readers_do(data: bytes, rows: int, tmp_path: Path) -> None:
    import csv

    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with path.open(newline="") as stream:
        header, *read = list(csv.reader(stream)) or [[]]
    facts = file_facts(path, path.name)
    assert (facts.rows, facts.columns) == (len(read), header)
    assert facts.rows == rows


def test_it_runs_alone(exports: Path, tmp_path: Path) -> None:
    source = Path(verify_export.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) == {"pyarrow"}
    folder = shutil.copytree(exports / TABLES, tmp_path / "copy")
    assert (folder / "verify.py").read_text() == source
    done = subprocess.run([sys.executable, "-I", folder / "verify.py"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{folder}\n")
    assert done.stdout.endswith("as it was written\n")
