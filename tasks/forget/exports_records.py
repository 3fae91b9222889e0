"""Record files and bundles of people without the pictures that go; what is left is numbered anew, without gaps."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.recordio import RecordFiles, read_records, unpacked
from tasks.exports.webbody_facts import FACTS, BundleFacts
from tasks.exports.webbody_fill import ROWS
from tasks.exports.webbody_folders import FOLDERS
from tasks.exports.webbody_formats import SPLITS
from tasks.exports.webdataset import TarShard, read_samples
from tasks.forget.exports_cards import card_without, croissant_without
from tasks.forget.exports_change import Change
from tasks.forget.exports_names import Names
from tasks.forget.exports_tables import csv_line, cut_parquet
from tasks.shards.files import file_digest

_REJECTS: Final = "rejects.parquet"
_DIGITS: Final = 9
"""Of the numbers that name samples in tar files. Source: `tasks.exports.webbody_formats`."""

Numbers = NDArray[np.int64]
"""Number of a row now, by its number before; -1: it goes."""


def cut_products(change: Change, names: Names) -> None:
    """Take photos that go out of a folder of intermediate products, and the people on them.

    Records of people have no sample ids: the photos beside them, in step, say what they are called.
    """
    photos = change.folder.with_name(FOLDERS["photos"])
    lists = [name for name in change.names if name.endswith(".tsv")]
    if lists and not photos.is_dir():
        change.say(
            f"Without {photos} nothing says whom {change.folder} shows: remove it, or export both and forget again."
        )
    for name in change.names:
        if name.endswith(".parquet"):
            cut_parquet(change, name, names)
    for name in lists:
        table = photos / Path(name).parent / "00000.parquet"
        gone = _listed(table, names) if table.is_file() else frozenset()
        lines = [line.split("\t") for line in (change.folder / name).read_text().splitlines()]
        goes = np.array([path.rpartition("_")[0] in gone for _, path, _ in lines], bool)
        if goes.any():
            numbers = _numbers(goes)
            paths, labels = [path for _, path, _ in lines], [int(label) for _, _, label in lines]
            cut_record_file(change, name.removesuffix(".tsv"), numbers, paths, labels)
            for beside in change.names:
                if beside.endswith(".csv") and Path(beside).parent == Path(name).parent:
                    cut_numbered(change, beside, numbers)


def _listed(photos: Path, names: Names) -> frozenset[str]:
    """`<label>/<idx>` of the photos of a part that go."""
    columns = ["label", "idx", *names.columns(pq.read_schema(photos).names)]
    rows = pq.read_table(photos, columns=columns, partitioning=None)
    return frozenset(f"{row['label']}/{row['idx']}" for row in rows.filter(names.rows(rows)).to_pylist())


def _numbers(goes: NDArray[np.bool_]) -> Numbers:
    return np.where(goes, -1, np.cumsum(~goes) - 1).astype(np.int64)


def cut_record_file(change: Change, stem: str, numbers: Numbers, paths: Sequence[str], labels: Sequence[int]) -> None:
    """Write `<stem>.rec`, `.idx` and `.tsv` anew.

    Args:
        paths, labels: of all records, as they are called now.
    """
    drafts = {kind: change.draft() for kind in ("rec", "idx", "tsv")}
    rec, idx, tsv = (change.files.create(draft) for draft in drafts.values())
    with rec, idx, tsv, (change.folder / f"{stem}.rec").open("rb") as read:
        records = RecordFiles(rec, idx, tsv)
        for number, (_, payload) in enumerate(read_records(read)):
            if numbers[number] >= 0:
                records.add(paths[number], labels[number], unpacked(payload).picture)
        for stream in (rec, idx, tsv):
            change.files.sync(stream)
    for kind, draft in drafts.items():
        change.put_file(f"{stem}.{kind}", draft, int((numbers < 0).sum()) if kind == "rec" else 0)


def cut_numbered(change: Change, name: str, numbers: Numbers) -> None:
    """Take rows out of a table whose first column counts them."""
    head, *lines = (change.folder / name).read_text().splitlines(keepends=True)
    kept = [f"{numbers[number]},{line.partition(',')[2]}" for number, line in enumerate(lines) if numbers[number] >= 0]
    change.put(name, "".join([head, *kept]).encode())


def cut_bundle(change: Change, names: Names) -> None:
    """Take people out of a bundle: its pictures in all formats, its lists and tables, and its counts."""
    table = pq.read_table(change.folder / ROWS, partitioning=None)
    goes = names.rows(table).to_numpy(zero_copy_only=False).astype(bool)
    rejected = cut_parquet(change, _REJECTS, names)
    if not goes.any() and not rejected:
        return
    rows = _Rows(table, goes)
    for name in change.names if goes.any() else ():
        folder, _, last = name.rpartition("/")
        if name in ("train.rec", "face.rec"):
            cut_record_file(change, name.removesuffix(".rec"), rows.numbers, rows.paths, rows.labels)
        elif name in ("kps_xyn.csv", "shapes.csv"):
            cut_numbered(change, name, rows.numbers)
        elif folder == "webdataset":
            _cut_samples(change, name, rows)
        elif folder == "data":
            cut_parquet(change, name, names, rows.relabelled)
        elif folder == "subset_config":
            change.put(name, rows.listed(last.partition(".")[0], last.rpartition(".")[2]))
    cut_parquet(change, ROWS, names, rows.counted)
    change.put("labels.csv", rows.labels_csv())
    _drop_empty(change)
    _recount(change, rows, names)


class _Rows:
    """The rows of a bundle that stay; labels count the identities that are left, in the order of their numbers."""

    def __init__(self, table: pa.Table, goes: NDArray[np.bool_]) -> None:
        self.numbers = _numbers(goes)
        self.paths: list[str] = table["path"].to_pylist()
        kept = table.filter(pa.array(~goes))
        identities = sorted(set(zip(kept["number"].to_pylist(), kept["identity"].to_pylist(), strict=True)))
        self.identities = [(label, number, identity) for label, (number, identity) in enumerate(identities)]
        self._label = {identity: label for label, _, identity in self.identities}
        self.labels = [self._label.get(identity, 0) for identity in table["identity"].to_pylist()]
        self.left = self.counted(kept)

    def relabelled(self, rows: pa.Table) -> pa.Table:
        """Rows that stay, with the labels of now."""
        labels = pa.array([self._label[identity] for identity in rows["identity"].to_pylist()], pa.int64())
        return rows.set_column(rows.schema.get_field_index("label"), rows.schema.field("label"), labels)

    def counted(self, rows: pa.Table) -> pa.Table:
        """The same, with their numbers of now."""
        places = pa.array(self.numbers[rows["local_idx"].to_numpy()])
        index = rows.schema.get_field_index("local_idx")
        return (self.relabelled(rows) if "label" in rows.schema.names else rows).set_column(
            index, rows.schema.field("local_idx"), places
        )

    def labels_csv(self) -> bytes:
        images = Counter(self.left["identity"].to_pylist())
        lines = [(*each, images[each[2]]) for each in self.identities]
        return "".join(map(csv_line, [("label", "number", "identity", "images"), *lines])).encode()

    def listed(self, name: str, kind: str) -> bytes:
        """`subset_config/<name>.<kind>`."""
        chosen = [
            (row["local_idx"], row["path"], row["label"])
            for row in self.left.select(["local_idx", "path", "label", "split", "subsets"]).to_pylist()
            if name == row["split"] or name in row["subsets"]
        ]
        if kind == "tsv":
            return "".join(f"{number}\t{path}\t{label}\n" for number, path, label in chosen).encode()
        return "".join(map(csv_line, [("local_idx", "path", "label"), *chosen])).encode()


def _cut_samples(change: Change, name: str, rows: _Rows) -> None:
    draft, gone = change.draft(), 0
    with (change.folder / name).open("rb") as read, change.files.create(draft) as stream:
        tar = TarShard(stream)
        for key, entries in read_samples(read):
            number = int(key)
            if rows.numbers[number] < 0:
                gone += 1
                continue
            told = json.loads(entries["json"]) | {"label": rows.labels[number]}
            said = json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
            tar.add(f"{rows.numbers[number]:0{_DIGITS}d}", {**entries, "json": said})
        tar.finish()
        change.files.sync(stream)
    change.put_file(name, draft, gone)


def _drop_empty(change: Change) -> None:
    """Files of splits without pictures go, as long as another one of their kind stays."""
    for kind in ("data", "webdataset"):
        there = [name for name in change.names if name.startswith(f"{kind}/")]
        empty = [name for name in there if not _filled(change.drafted(name), name)]
        for name in empty[len(empty) == len(there) :]:
            change.remove(name, rows=0)


def _filled(path: Path, name: str) -> bool:
    if name.endswith(".parquet"):
        return bool(pq.read_metadata(path).num_rows)
    with path.open("rb") as stream:
        return any(True for _ in read_samples(stream))


def _recount(change: Change, rows: _Rows, names: Names) -> None:
    """bundle.json and the cards."""
    facts = BundleFacts.model_validate_json((change.folder / FACTS).read_bytes())
    splits = Counter(rows.left["split"].to_pylist())
    rejected = Counter(pq.read_table(change.drafted(_REJECTS), partitioning=None)["reason"].to_pylist())
    there = {name: change.drafted(name) for name in change.names if name in facts.files}
    facts = facts.model_copy(
        update={
            "rows": rows.left.num_rows,
            "identities": len(rows.identities),
            "rejected": dict(sorted(rejected.items())),
            "splits": {name: splits[name] for name in SPLITS},
            "subsets": dict(sorted(Counter(pc.list_flatten(rows.left["subsets"]).to_pylist()).items())),
            "licences": dict(sorted(Counter(rows.left["licence"].to_pylist()).items())),
            "files": {name: (file_digest(path), path.stat().st_size) for name, path in there.items()},
        }
    )
    change.put(FACTS, (facts.model_dump_json(indent=1) + "\n").encode())
    empty = [name for name in SPLITS if not splits[name]] if rows.left.num_rows else []
    change.put("README.md", card_without((change.folder / "README.md").read_text(), names, empty).encode())
    if "croissant.json" in change.names:
        data = (change.folder / "croissant.json").read_bytes()
        change.put("croissant.json", croissant_without(data, facts.splits, facts.identities))
