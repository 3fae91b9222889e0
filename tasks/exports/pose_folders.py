"""The folders that the pose generator was seeded from: pictures as JPEG and a metadata.json per category.

fashion/fashion_0000_image.jpg, _mask.jpg, _overlay.jpg; fashion/metadata.json
lifestyle/lifestyle_0000_image.jpg, _conditioning.jpg; lifestyle/metadata.json
sports/ in the form of lifestyle

metadata.json is a list with exactly the seed's fields, in its order. A text that the source does not give is "" (its
readers expect strings); `pose` is then the class that the keypoints show. `gender` is women, men or unisex. A picture
that the source does not give is null and has no file.
"""

import json
import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from tasks.exports.jpeg import RECIPE, as_jpeg
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.rows import pick, read_templates
from tasks.images.decode import DecodeError
from tasks.schema.errors import StoreError
from tasks.shards.numbers import assign, number_name
from tasks.shards.store import Store

LEDGER = "pose_folders"
"""The ledger of the numbers in file names: one for all folders that a store is exported to."""


@dataclass(frozen=True)
class Picture:
    """A picture of a form: its column in the photo shards, the end of its file name, its key in metadata.json."""

    column: str
    suffix: str
    key: str


_IMAGE = Picture("image", "image", "image_filename")

PICTURES: Mapping[str, tuple[Picture, ...]] = {
    "fashion": (
        _IMAGE,
        Picture("mask", "mask", "mask_filename"),
        Picture("mask_overlay", "overlay", "mask_overlay_filename"),
    ),
    "lifestyle": (_IMAGE, Picture("conditioning", "conditioning", "conditioning_filename")),
    "sports": (_IMAGE, Picture("conditioning", "conditioning", "conditioning_filename")),
}
"""Category -> its pictures. Source: the seed's output structure and metadata formats."""

_COLUMNS = tuple(sorted({picture.column for pictures in PICTURES.values() for picture in pictures}))
_FIELDS = [
    "sample_id", "source_uri", "category", "pose_class", "gender", "caption", "source_gender", "source_pose", "cloth",
    "pid",
]  # fmt: skip
_GENDERS = {"female": "women", "male": "men", "unisex": "unisex"}


@dataclass(frozen=True)
class Unreadable:
    """A picture that does not decode and so has no file; without its photo a sample is left out."""

    sample_id: str
    column: str
    detail: str


@dataclass(frozen=True)
class PoseFoldersExport:
    """What is in the folder now: rows per category, what had to change for it, and what could not be written."""

    folder: Path
    rows: dict[str, int]
    change: FolderChange
    unreadable: tuple[Unreadable, ...]


def export_pose_folders(
    store: Store, templates: Sequence[Path], photos: Sequence[Path], folder: Path
) -> PoseFoldersExport:
    """Write the folders of a build, or bring those of an earlier build up to date.

    Killed and run again, or run on the folders of another build, it ends with the same tree. Each metadata.json is
    written when all its pictures are there, and pictures that no template has any more are removed after that.

    Args:
        templates: shards of `TEMPLATE_SCHEMA`, the rows to export.
        photos: shards of `PHOTO_SCHEMA` with at least their samples.
    Raises:
        ConfigError: a file of somebody else's is in the way.
        StoreError: a template is of an unknown category or in no photo shard.
    """
    table = read_templates(templates)
    rows = {row["sample_id"]: row for row in table.select(_FIELDS).to_pylist()}
    unknown = {row["category"] for row in rows.values()} - PICTURES.keys()
    if unknown:
        raise StoreError(f"There is no folder form for the categories {sorted(unknown)}.")
    names = _names(store, rows)
    entries: list[dict[str, Any]] = []
    unreadable: list[Unreadable] = []
    with OwnedFolder(folder, store.files) as out, ThreadPoolExecutor(os.cpu_count()) as pool:
        for group in pick(photos, {i: row["source_uri"] for i, row in rows.items()}, _COLUMNS):
            asked = [
                _Asked(picture, names[photo["sample_id"]], rows[photo["sample_id"]], data)
                for photo in group.to_pylist()
                for picture in PICTURES[rows[photo["sample_id"]]["category"]]
                if (data := (photo[picture.column] or {}).get("bytes") or b"") or picture == _IMAGE
            ]
            made = _make([each for each in asked if each.picture == _IMAGE], out, pool, unreadable)
            beside = [each for each in asked if each.picture != _IMAGE and (each.name, _IMAGE) in made]
            made |= _make(beside, out, pool, unreadable)
            shown = [each for each in asked if each.picture == _IMAGE and (each.name, _IMAGE) in made]
            entries += [_entry(each.name, each.row, made) for each in shown]
        counts = {}
        for category in PICTURES:
            listed = [entry for entry in entries if entry["category"] == category]
            listed.sort(key=lambda entry: (len(entry["id"]), entry["id"]))
            out.put({f"{category}/metadata.json": _json_bytes(listed)})
            counts[category] = len(listed)
        change = out.finish()
    return PoseFoldersExport(folder, counts, change, tuple(unreadable))


def fields(category: str) -> tuple[str, ...]:
    """The fields of a category's entries in metadata.json, in order. Source: the seed's metadata formats."""
    texts = ("gender", "pose", "cloth", "caption", "pid") if category == "fashion" else ("text",)
    return ("id", "category", *texts, *(picture.key for picture in PICTURES[category]))


def _names(store: Store, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for category in PICTURES:
        ids = [sample_id for sample_id, row in rows.items() if row["category"] == category]
        numbers = assign(store, LEDGER, category, ids)
        names.update({sample_id: number_name(category, number) for sample_id, number in numbers.items()})
    return names


@dataclass(frozen=True)
class _Asked:
    """A picture that the source has, and the file it is to become."""

    picture: Picture
    name: str
    row: Mapping[str, Any]
    data: bytes

    @property
    def path(self) -> str:
        return f"{self.row['category']}/{_file_name(self.name, self.picture)}"

    @property
    def made_from(self) -> str:
        return f"{RECIPE}:{blake3(self.data).hexdigest()}"


def _make(
    asked: Sequence[_Asked], out: OwnedFolder, pool: Executor, unreadable: list[Unreadable]
) -> set[tuple[str, Picture]]:
    """Bring files up to date; returns name and picture of those that are there now."""
    missing = [each for each in asked if not out.keep(each.path, each.made_from)]
    encoded = list(zip(missing, pool.map(_encode, missing), strict=True))
    lost = [(each, data) for each, data in encoded if isinstance(data, Unreadable)]
    unreadable += [said for _, said in lost]
    contents = {each.path: data for each, data in encoded if not isinstance(data, Unreadable)}
    out.put(contents, {each.path: each.made_from for each in missing})
    return {(each.name, each.picture) for each in asked} - {(each.name, each.picture) for each, _ in lost}


def _encode(asked: _Asked) -> bytes | Unreadable:
    try:
        return as_jpeg(asked.data)
    except DecodeError as error:
        return Unreadable(asked.row["sample_id"], asked.picture.column, str(error))


def _file_name(name: str, picture: Picture) -> str:
    return f"{name}_{picture.suffix}.jpg"


def _entry(name: str, row: Mapping[str, Any], made: AbstractSet[tuple[str, Picture]]) -> dict[str, Any]:
    """One object of metadata.json."""
    pictures = PICTURES[row["category"]]
    values = {
        "id": name,
        "category": row["category"],
        "gender": _GENDERS.get(row["gender"] or "") or (row["source_gender"] or "").lower(),
        "pose": row["source_pose"] or ("" if row["pose_class"] == "unknown" else row["pose_class"]),
        "cloth": row["cloth"] or "",
        "caption": row["caption"] or "",
        "text": row["caption"] or "",
        "pid": row["pid"] or "",
        **{p.key: _file_name(name, p) if (name, p) in made else None for p in pictures},
    }
    return {field: values[field] for field in fields(row["category"])}


def _json_bytes(entries: list[dict[str, Any]]) -> bytes:
    return (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode()
