"""Reads bundles back: digests, counts, pictures, keypoints, labels, and that no person is in two splits."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from tasks.body.crop import INVISIBLE
from tasks.exports.recordio import PictureRecord, read_records, unpacked
from tasks.exports.webbody_facts import FACTS, WHOLE, BundleFacts, read_facts
from tasks.exports.webbody_fill import ROWS, list_name
from tasks.exports.webbody_formats import Format
from tasks.exports.webdataset import read_samples
from tasks.identity.split import SplitConfig, split_overlaps
from tasks.identity.subsets import WB_TESTING
from tasks.images.decode import DecodeError, decode
from tasks.schema.errors import StoreError
from tasks.shards.files import file_digest

_AT_ONCE = 256
"""Samples whose pictures are decoded together."""

_SHOWN = 20
"""Problems of one kind that are told one by one."""


@dataclass(frozen=True)
class Sample:
    """A sample as a format gives it: keypoints in pixels of the picture."""

    name: str
    label: int
    body: bytes
    face: bytes
    keypoints: tuple[float, ...]


@dataclass(frozen=True)
class BundleCheck:
    """What is in one bundle, and every problem as a sentence (of one kind at most twenty)."""

    name: str
    rows: int
    identities: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class WebBodyCheck:
    """The bundles below a root, and every problem, those between bundles included."""

    bundles: tuple[BundleCheck, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_bundle(folder: Path) -> BundleCheck:
    """Read every file of a bundle; decodes every picture of every format."""
    facts = read_facts(folder)
    if facts is None:
        return BundleCheck(folder.name, 0, 0, (f"{folder.name}/{FACTS} is missing or does not read",))
    problems = list(_few(_files(folder, facts)))
    images = Counter({int(row["label"]): int(row["images"]) for row in _table(folder / "labels.csv", problems)})
    if sorted(images) != list(range(facts.identities)) or sum(images.values()) != facts.rows:
        problems.append(f"labels.csv does not count {facts.rows} rows of labels 0 to {facts.identities - 1}")
    contents = set()
    for kind in facts.config.formats:
        try:
            found = _Found(kind, facts, images)
            problems += _few(found.problems(_SAMPLES[kind](folder, facts)))
            contents.add(found.content)
        except (StoreError, OSError, ValueError, KeyError) as error:
            problems.append(f"{kind} does not read to its end: {error}")
    if len(contents) > 1:
        problems.append(f"{', '.join(facts.config.formats)} do not hold the same pictures, faces and labels")
    said = tuple(f"{folder.name}: {problem}" for problem in problems)
    return BundleCheck(folder.name, facts.rows, facts.identities, said)


def check_webbody(root: Path, near_duplicate_bits: int = SplitConfig().near_duplicate_bits) -> WebBodyCheck:
    """Check every bundle below a root, and that no person and no photo is where it must not be.

    Splits share no identity, no photo and no near-duplicate of one, nor does wb_testing with the other subsets; each
    subset's bundle and list have the rows that the whole bundle says.
    """
    found = tuple(check_bundle(facts.parent) for facts in sorted(root.glob(f"*/{FACTS}")))
    problems = [problem for each in found for problem in each.problems]
    whole = read_facts(root / WHOLE)
    if whole is None:
        return WebBodyCheck(found, (*problems, f"{WHOLE}: there is no bundle of the whole"))
    for each in found:
        facts = read_facts(root / each.name)
        if facts is not None and facts.made_from != whole.made_from:
            problems.append(f"{each.name}: it is of another build than {WHOLE}: export it anew, or remove the folder")
    try:
        table = pq.read_table(root / WHOLE / ROWS, columns=list(_JUDGED), partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        return WebBodyCheck(found, (*problems, f"{WHOLE}: {ROWS} does not read: {error}"))
    problems += _overlaps(table, table["split"].to_pylist(), near_duplicate_bits)
    subsets = table["subsets"].to_pylist()
    tested = [WB_TESTING if WB_TESTING in names else "the other subsets" if names else "no subset" for names in subsets]
    chosen = pc.is_in(pa.array(tested, pa.string()), pa.array([WB_TESTING, "the other subsets"]))
    problems += _overlaps(table.filter(chosen), [name for name in tested if name != "no subset"], near_duplicate_bits)
    for name in whole.config.subsets:
        problems += _subset_problems(root, name, table, [name in names for names in subsets])
    return WebBodyCheck(found, tuple(problems))


_JUDGED = ("sample_id", "local_idx", "path", "label", "identity", "photo_sha256", "photo_phash", "split", "subsets")


def _overlaps(table: pa.Table, places: list[str], bits: int) -> list[str]:
    hashes = table["photo_phash"].to_numpy()
    said = split_overlaps(places, table["identity"].to_pylist(), table["photo_sha256"].to_pylist(), hashes, bits)
    return [f"{WHOLE}: {each}" for each in said]


def _subset_problems(root: Path, name: str, table: pa.Table, belongs: list[bool]) -> Iterator[str]:
    rows = table.filter(pa.array(belongs, pa.bool_()))
    listed: list[str] = []
    said = [(int(r["local_idx"]), r["path"], int(r["label"])) for r in _table(root / WHOLE / list_name(name), listed)]
    yield from (f"{WHOLE}: {problem}" for problem in listed)
    if said != list(zip(*(rows[column].to_pylist() for column in ("local_idx", "path", "label")), strict=True)):
        yield f"{WHOLE}: {list_name(name)} does not list the rows of {name}"
    try:
        own = pq.read_table(root / name / ROWS, columns=["sample_id"], partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        yield f"{name}: {ROWS} does not read: {error}"
    else:
        if own["sample_id"].to_pylist() != rows["sample_id"].to_pylist():
            yield f"{name}: its rows are not those that the whole bundle says"


class _Found:
    """What one format holds; `content` is a sum over its samples, whatever their order."""

    def __init__(self, kind: Format, facts: BundleFacts, images: Counter[int]) -> None:
        self._kind, self._facts, self._images = kind, facts, images
        self.content = 0

    def problems(self, samples: Iterator[Sample]) -> Iterator[str]:
        labels: Counter[int] = Counter()
        side = self._facts.config.cut.side
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while some := [sample for _, sample in zip(range(_AT_ONCE), samples, strict=False)]:
                for sample, wrong in zip(some, pool.map(lambda each: list(_wrong(each, side)), some), strict=True):
                    labels[sample.label] += 1
                    content = blake3(sample.body + sample.face + str(sample.label).encode()).digest(8)
                    self.content = (self.content + int.from_bytes(content)) % 2**64
                    yield from (f"{self._kind}, {sample.name}: {problem}" for problem in wrong)
        if labels != self._images:
            yield f"{self._kind}: the labels are not those of labels.csv, {labels.total()} rows of {len(labels)} labels"


def _wrong(sample: Sample, side: int) -> Iterator[str]:
    for what, data in (("body", sample.body), ("face", sample.face)):
        try:
            pixels, facts = decode(data)
        except DecodeError as error:
            yield f"the {what} does not decode: {error}"
        else:
            if facts.format != "JPEG":
                yield f"the {what} is no JPEG but {facts.format}"
            if what == "body" and pixels.shape[:2] != (side, side):
                yield f"the body is {facts.width} x {facts.height}, not {side} x {side}"
    xy = np.array(sample.keypoints).reshape(-1, 2)
    unseen = (xy == INVISIBLE).all(axis=1)
    if not (unseen | ((xy >= -0.5) & (xy <= side - 0.5)).all(axis=1)).all():
        yield "a keypoint lies outside of the picture"


def _files(folder: Path, facts: BundleFacts) -> Iterator[str]:
    for name, (digest, size) in facts.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != size or file_digest(path) != digest:
            yield f"{name} is not the file that was written"


def _few(problems: Iterable[str]) -> Iterator[str]:
    count = 0
    for count, problem in enumerate(problems, 1):
        if count <= _SHOWN:
            yield problem
    if count > _SHOWN:
        yield f"and {count - _SHOWN} more of the kind"


def _table(path: Path, problems: list[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        problems.append(f"{path.name} does not read: {error.strerror}")
        return []


def _from_records(folder: Path, facts: BundleFacts) -> Iterator[Sample]:
    side = facts.config.cut.side
    with (folder / "kps_xyn.csv").open() as joints, (folder / "shapes.csv").open() as shapes:
        next(joints), next(shapes)
        together = zip(_recorded(folder, "train"), _recorded(folder, "face"), joints, shapes, strict=True)
        for (path, body), (face_path, face), joint, shape in together:
            local, _, _, *values = joint.split(",")
            if (path, body.index, body.label) != (face_path, face.index, face.label):
                raise StoreError(f"row {body.index} is not the same in train and face")
            if {local, shape.split(",")[0]} != {str(body.index)}:
                raise StoreError(f"row {body.index} is another one in kps_xyn.csv or shapes.csv")
            xy = tuple(INVISIBLE if float(v) == INVISIBLE else float(v) * side - 0.5 for v in values)
            yield Sample(path, body.label, body.picture, face.picture, xy)


def _recorded(folder: Path, name: str) -> Iterator[tuple[str, PictureRecord]]:
    """Path and record of each line of a list."""
    rec, idx, tsv = (folder / f"{name}.{kind}" for kind in ("rec", "idx", "tsv"))
    with rec.open("rb") as records, idx.open() as index, tsv.open() as listed:
        for number, ((at, data), place, line) in enumerate(zip(read_records(records), index, listed, strict=True)):
            record = unpacked(data)
            local, path, label = line.rstrip("\n").split("\t")
            if record.index != number or place != f"{number}\t{at}\n" or local != str(number):
                raise StoreError(f"row {number} is not the same in {name}.rec, {name}.idx and {name}.tsv")
            if label != str(record.label):
                raise StoreError(f"row {number} has the label {record.label} in {name}.rec and {label} in {name}.tsv")
            yield path, record


def _from_tars(folder: Path, facts: BundleFacts) -> Iterator[Sample]:
    for name in sorted(facts.files):
        if name.startswith("webdataset/"):
            with (folder / name).open("rb") as stream:
                for key, entries in read_samples(stream):
                    said: dict[str, Any] = json.loads(entries["json"])
                    yield Sample(key, said["label"], entries["jpg"], entries["face.jpg"], tuple(said["keypoints_xy"]))


def _from_parquet(folder: Path, facts: BundleFacts) -> Iterator[Sample]:
    columns = ["sample_id", "label", "image", "face", "keypoints_xy"]
    for name in sorted(facts.files):
        if name.startswith("data/"):
            with pq.ParquetFile(folder / name, pre_buffer=False, page_checksum_verification=True) as file:
                for batch in file.iter_batches(_AT_ONCE, columns=columns):
                    for row in batch.to_pylist():
                        body, face = row["image"]["bytes"], row["face"]["bytes"]
                        yield Sample(row["sample_id"], row["label"], body, face, tuple(row["keypoints_xy"]))


_SAMPLES = {"recordio": _from_records, "webdataset": _from_tars, "parquet": _from_parquet}
