"""COCO exports: Roboflow's `train/valid/test/_annotations.coco.json`, or one annotation file and its photos."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from tasks.ingest.coco_file import MAX_BYTES, CocoFile, clean_text, parse_coco
from tasks.ingest.folders import folder_of, is_file_below, load, read_file, walk
from tasks.ingest.remembered import Remembered, Watch
from tasks.ingest.rows import PartConfig, Problem, SourceRow, file_digest
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoColumns, PhotoPlace, SourceListing, SourcePart

SCHEME = "coco://"
ANNOTATIONS = "_annotations.coco.json"
SPLITS = ("train", "valid", "val", "test")
"""In the order in which one photo in several of them is given to the first. Source: Roboflow's folders; some say val.
"""

_ROBOFLOW = re.compile(r"(?P<original>.+)\.rf\.[0-9A-Za-z]+\.[^./]+")
"""Roboflow names each version that it makes of a photo `<original>.rf.<hash>.<suffix>`."""


@dataclass(frozen=True)
class CocoRow(SourceRow):
    """A row of an export. `labels`: as its file spells them, None where unlabelled; `vocabulary`: all that the file
    knows; `split`: None where the export has none; `licence`: what the file says, or empty.
    """

    labels: tuple[str, ...] | None = None
    vocabulary: tuple[str, ...] = ()
    split: str | None = None
    licence: str = ""


class CocoPlace(PhotoPlace, Protocol):
    """Where an export lies."""

    @property
    def images(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Item:
    """A row without its pixels. `name`: of the row in the export; `file`: relative to its root, None: there is none."""

    name: str
    vocabulary: tuple[str, ...]
    split: str | None
    file: str | None = None
    labels: tuple[str, ...] | None = None
    texts: dict[str, str | None] = field(default_factory=dict)
    licence: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class _Export:
    """All rows of an export: splits in the order of `SPLITS`, names in order within each."""

    root: Path
    items: tuple[_Item, ...]
    columns: tuple[str, ...]


_EXPORTS: Remembered[_Export] = Remembered()
"""By place and columns. Even a stale one gives no other row: the rows and bytes of a part must have its digest."""


def list_coco(source: CocoPlace, part_rows: int, limit: int = 0) -> SourceListing:
    """The parts of an export; every photo is hashed once.

    Rows are the photos, and what is wrong: entries without a file, files without an entry, annotations without an
    entry, entries that cannot be read. A name that an earlier split has is rejected if the bytes are the same, or if
    it is Roboflow's, whose versions of one photo differ in their bytes; another photo that only has the same name (as
    where each split counts from 1) is kept.

    Args:
        limit: rows to list, from the first; 0: all.
    Raises:
        SourceError: there is no export, or one of its annotation files is no COCO.
    """
    export = _remembered(source.location, source.images, source.columns, anew=True)
    items = export.items[: limit or None]
    parts = []
    for first in range(0, len(items), part_rows):
        chosen = items[first : first + part_rows]
        digest = blake3()
        for item in chosen:
            digest.update(_told(item, read_file(export.root / item.file, file_digest) if item.file else ""))
        uri = f"{SCHEME}{source.name}/"
        parts.append(SourcePart(uri=uri, digest=digest.hexdigest(), first_row=first, rows=len(chosen)))
    complete = len(items) == len(export.items)
    return SourceListing(revision="", parts=tuple(parts), columns=export.columns, complete=complete)


def coco_part(config: PartConfig, location: str, images: str) -> Iterator[CocoRow]:
    """The rows of one part.

    Raises:
        SourceError: as `list_coco`, or a file has changed since it was listed.
    """
    try:
        yield from _part_rows(_remembered(location, images, config.columns), config.part)
    except SourceError:
        _EXPORTS.forget((location, images, config.columns))
        raise


def _remembered(location: str, images: str, mapping: PhotoColumns, *, anew: bool = False) -> _Export:
    key = (location, images, mapping)
    return _EXPORTS.get(key, lambda watch: _read_export(location, images, mapping, watch), anew=anew)


def _part_rows(export: _Export, part: SourcePart) -> Iterator[CocoRow]:
    digest = blake3()
    for item in export.items[part.first_row : part.first_row + part.rows]:
        photo, pinned, oversize = load(export.root / item.file) if item.file else (None, "", None)
        digest.update(_told(item, pinned))
        yield CocoRow(
            item.name,
            f"{part.uri}{item.name}",
            {"image": photo},
            item.texts,
            item.problem or oversize,
            item.labels,
            item.vocabulary,
            item.split,
            item.licence,
        )
    if digest.hexdigest() != part.digest:
        raise SourceError(f"{export.root} has changed since it was listed. List the source again.")


def _told(item: _Item, pinned: str) -> bytes:
    """What decides a row, as bytes."""
    reason = item.problem.reason.value if item.problem else None
    said = [item.name, item.split, pinned, item.labels, item.vocabulary, item.texts, item.licence, reason]
    return dumps(said, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True)
class _Subset:
    """An annotation file and the folder below the root that its names are relative to ("" or "train/")."""

    annotations: Path
    below: str
    split: str | None


def _subsets(location: str, images: str) -> tuple[Path, list[_Subset]]:
    """The root of an export, and its annotation files in the order of `SPLITS`.

    Raises:
        SourceError: there is none, or what was given fits no export.
    """
    place = Path(location)
    if place.is_absolute() and place.is_file():
        beside = place.parent / "images"
        root = folder_of(images or str(beside if beside.is_dir() else place.parent))
        return root, [_Subset(place, "", None)]
    root = folder_of(location)
    if images:
        raise SourceError(f"{location} is a folder, whose photos lie beside its annotations: leave `images` empty.")
    splits = [split for split in SPLITS if (root / split / ANNOTATIONS).is_file()]
    found = [_Subset(root / split / ANNOTATIONS, f"{split}/", split) for split in splits]
    if not found and (root / ANNOTATIONS).is_file():
        found = [_Subset(root / ANNOTATIONS, "", None)]
    if not found:
        wanted = f"{ANNOTATIONS}, neither in itself nor in {', '.join(SPLITS)}"
        advice = "name the folder of an export, or its file; or say `kind` folder for photos without annotations"
        raise SourceError(f"{root} has no {wanted}: {advice}.")
    return root, found


def _read_export(location: str, images: str, mapping: PhotoColumns, watch: Watch) -> _Export:
    root, subsets = _subsets(location, images)
    watch(root)
    roles = {role: name for role, name in mapping.model_dump().items() if name and role != "image"}
    items: list[_Item] = []
    columns: dict[str, None] = {}
    for subset in subsets:
        watch(subset.annotations)
        size = read_file(subset.annotations, os.path.getsize)
        if size > MAX_BYTES:
            raise SourceError(f"{subset.annotations} has {size:,} bytes, more than {MAX_BYTES:,}: export it in parts.")
        data = read_file(subset.annotations, Path.read_bytes)
        parsed = parse_coco(data, str(subset.annotations), tuple(roles.values()))
        columns.update(dict.fromkeys(parsed.columns))
        items.extend(_items(root, subset, parsed, roles, watch))
    if not any(item.file for item in items):
        raise SourceError(f"Not one photo that {subsets[0].annotations} names is in {root}. Where are the photos?")
    return _Export(root, tuple(_without_repeats(root, items, watch)), tuple(columns))


def _items(root: Path, subset: _Subset, parsed: CocoFile, roles: dict[str, str], watch: Watch) -> list[_Item]:
    """The rows of one annotation file, ordered by name."""
    base = (root / subset.below).resolve()
    seen = walk(base, watch)
    told = clean_text(f"{subset.below}{subset.annotations.name}")
    items = []
    for name, image in parsed.images.items():
        located, problem = f"{subset.below}{name}", None
        if not (name in seen.plain or is_file_below(base, name)):
            problem = Problem(Reason.METADATA_WITHOUT_FILE, f"{clean_text(name)} is no file of this folder.")
        items.append(
            _Item(
                clean_text(located),
                parsed.vocabulary,
                subset.split,
                None if problem else located,
                image.labels,
                {role: image.texts.get(field_name) for role, field_name in roles.items()},
                image.licence,
                problem,
            )
        )
    for name in seen.pictures - parsed.images.keys():
        problem = Problem(Reason.METADATA_MISSING, f"No entry of {told} speaks of it.")
        items.append(_Item(clean_text(f"{subset.below}{name}"), parsed.vocabulary, subset.split, problem=problem))
    for place, problem in parsed.faults.items():
        items.append(_Item(f"{told}:{place}", parsed.vocabulary, subset.split, problem=problem))
    return sorted(items, key=lambda item: item.name)


def _without_repeats(root: Path, items: list[_Item], watch: Watch) -> Iterator[_Item]:
    """The items, of which those become a problem whose photo stands in an earlier split."""
    first: dict[str, _Item] = {}
    for item in items:
        if item.file is None or item.split is None:
            yield item
            continue
        name = item.file.removeprefix(f"{item.split}/")
        version = _ROBOFLOW.fullmatch(name)
        earlier = first.setdefault(version["original"] if version else name, item)
        if earlier.split != item.split and (version or _same_bytes(root, earlier, item, watch)):
            problem = Problem(Reason.DUPLICATE_NAME, f"{earlier.name} has the same name in an earlier split.")
            yield _Item(item.name, item.vocabulary, item.split, problem=problem)
        else:
            yield item


def _same_bytes(root: Path, one: _Item, other: _Item, watch: Watch) -> bool:
    paths = [root / str(item.file) for item in (one, other)]
    for path in paths:
        watch(path)
    if len({read_file(path, os.path.getsize) for path in paths}) > 1:
        return False
    return len({read_file(path, file_digest) for path in paths}) == 1
