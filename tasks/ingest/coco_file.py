"""What a COCO annotation file says of its photos: which labels, fields and terms each has; shapes are passed over."""

import json
import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from tasks.ingest.rows import Problem
from tasks.ingest.table import text_of
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason

MAX_BYTES = 1 << 30
"""A larger file is refused: it is held in memory whole, though without its shapes."""

_SHAPES = ("segmentation", "bbox", "keypoints")

_Id = int | str


@dataclass(frozen=True, slots=True)
class CocoImage:
    """A photo: its labels as the file spells them, ordered, each once; None where it has none, or one is unreadable.

    `texts`: wanted field -> text; `licence`: name and address of its terms, empty where the file does not say.
    """

    labels: tuple[str, ...] | None
    texts: Mapping[str, str]
    licence: str


@dataclass(frozen=True)
class CocoFile:
    """`images` by their name, relative and with forward slashes; `faults`: place in the file -> what is wrong there.

    `vocabulary`: names of the categories; `columns`: names of the fields that photos have.
    """

    images: dict[str, CocoImage] = field(default_factory=dict)
    faults: dict[str, Problem] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold: half characters of JSON and bytes of file names that are none become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def parse_coco(data: bytes, where: str, wanted: Collection[str] = ()) -> CocoFile:
    """Read an annotation file; an entry that cannot be read is a fault and costs nothing but itself.

    Entries of one file name are one photo with the labels of all of them. A photo with an annotation that cannot be
    read has no labels: those that can be read would pass for all.

    Args:
        where: the file, for messages.
        wanted: fields of images (or of their `extra`) to read as texts.
    Raises:
        SourceError: the file as a whole is no COCO.
    """
    said = _document(data, where)
    categories = _categories(_list(said, "categories", where), where)
    terms = _terms(_list(said, "licenses", where))
    faults: dict[str, Problem] = {}
    entries = _entries(_list(said, "images", where), faults)
    names = {image_id: name for image_id, (name, _) in entries.items()}
    labels, broken = _labels(_list(said, "annotations", where), names, categories, faults)
    images: dict[str, CocoImage] = {}
    columns: dict[str, None] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name, entry in entries.values():
        extra = entry.get("extra")
        fields = {**(extra if isinstance(extra, dict) else {}), **entry}
        columns.update(dict.fromkeys(map(clean_text, fields)))
        if name in images:
            continue
        texts = {key: text for key in wanted if (text := _text(fields.get(key)))}
        licence = entry.get("license")
        spelled = tuple(sorted(labels[name])) if name in labels and name not in broken else None
        known = None if spelled is None else shared.setdefault(spelled, spelled)
        images[name] = CocoImage(known, texts, terms.get(licence, "") if _is_id(licence) else "")
    return CocoFile(images, faults, tuple(sorted(set(categories.values()))), tuple(columns))


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        said = json.loads(data, object_hook=_without_shapes)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} is no whole JSON ({clean_text(str(error))}): export it again.") from error
    if not isinstance(said, dict) or "images" not in said:
        raise SourceError(f"{where} is no COCO file: it has no `images`. Export it as COCO.")
    return said


def _without_shapes(entry: dict[str, Any]) -> dict[str, Any]:
    for name in _SHAPES:
        entry.pop(name, None)
    return entry


def _list(said: dict[str, Any], name: str, where: str) -> list[Any]:
    """Raises: SourceError: there is something else than a list of that name."""
    found = said.get(name)
    if found is not None and not isinstance(found, list):
        raise SourceError(f"{where} is no COCO file: its `{name}` is no list. Export it as COCO.")
    return found or []


def _is_id(value: Any) -> TypeGuard[_Id]:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _text(value: Any) -> str | None:
    return None if isinstance(value, dict) or value in (None, "", []) else clean_text(text_of(value) or "")


def _categories(entries: list[Any], where: str) -> dict[_Id, str]:
    """Raises: SourceError: two categories have one id, so that no label can be trusted."""
    found: dict[_Id, str] = {}
    for entry in entries:
        if isinstance(entry, dict) and _is_id(entry.get("id")) and isinstance(entry.get("name"), str):
            name = clean_text(entry["name"])
            if found.setdefault(entry["id"], name) != name:
                told = f"{found[entry['id']]!r} and {name!r}"
                raise SourceError(f"{where}: the categories {told} have one id. Export it again.")
    return found


def _terms(entries: list[Any]) -> dict[_Id, str]:
    """Licence id -> its name and address."""
    return {
        entry["id"]: " ".join(told for key in ("name", "url") if (told := _text(entry.get(key))))
        for entry in entries
        if isinstance(entry, dict) and _is_id(entry.get("id"))
    }


def _entries(entries: list[Any], faults: dict[str, Problem]) -> dict[_Id, tuple[str, dict[str, Any]]]:
    """Id -> file name and entry of every photo; what is no such entry becomes a fault."""
    found: dict[_Id, list[tuple[int, str, dict[str, Any]]]] = defaultdict(list)
    for number, entry in enumerate(entries):
        file_name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(file_name, str) or not file_name or not _is_id(entry.get("id")):
            faults[f"images[{number}]"] = Problem(Reason.ANNOTATION_UNREADABLE, "An entry without id or file_name.")
        else:
            name = posixpath.normpath(file_name.replace("\\", "/"))
            found[entry["id"]].append((number, name, entry))
    photos: dict[_Id, tuple[str, dict[str, Any]]] = {}
    first: dict[str, int] = {}
    for image_id, claims in found.items():
        if len({name for _, name, _ in claims}) > 1:
            problem = Problem(Reason.ANNOTATION_UNREADABLE, f"{len(claims)} photos have this entry's id.")
            faults.update({f"images[{number}]": problem for number, _, _ in claims})
            continue
        for number, name, entry in claims:
            photos.setdefault(image_id, (name, entry))
            if first.setdefault(name, number) != number:
                detail = f"images[{first[name]}] names the same file: {clean_text(name)}."
                faults[f"images[{number}]"] = Problem(Reason.DUPLICATE_NAME, detail)
    return photos


def _labels(
    annotations: list[Any], names: dict[_Id, str], categories: dict[_Id, str], faults: dict[str, Problem]
) -> tuple[dict[str, set[str]], set[str]]:
    """Labels by file name, and the names of photos with an annotation that cannot be read."""
    labels: defaultdict[str, set[str]] = defaultdict(set)
    broken: set[str] = set()
    orphans: Counter[_Id] = Counter()
    for number, each in enumerate(annotations):
        image_id = each.get("image_id") if isinstance(each, dict) else None
        category = each.get("category_id") if isinstance(each, dict) else None
        name = names.get(image_id) if _is_id(image_id) else None
        if _is_id(image_id) and name is None:
            orphans[image_id] += 1
        elif name is not None and _is_id(category):
            labels[name].add(categories.get(category) or clean_text(f"#{category}"))
        else:
            detail = f"No category_id, so that {clean_text(name)} counts as unlabelled." if name else "No image_id."
            faults[f"annotations[{number}]"] = Problem(Reason.ANNOTATION_UNREADABLE, detail)
            broken.update([name] if name else [])
    for image_id, count in orphans.items():
        detail = f"{count} annotations speak of an image that has no readable entry."
        faults[f"image_id={clean_text(str(image_id))}"] = Problem(Reason.ANNOTATION_WITHOUT_IMAGE, detail, float(count))
    return labels, broken
