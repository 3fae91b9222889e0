"""Reads pose folders back: metadata against files both ways, counts, sizes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.exports.pose_folders import PICTURES, fields
from tasks.images.decode import DecodeError, decode


@dataclass(frozen=True)
class CategoryCheck:
    """One category's folder: entries of metadata.json, picture files, their bytes.

    `sizes`: picture -> "width x height" in pixels -> how many.
    """

    category: str
    entries: int
    files: int
    bytes: int
    sizes: dict[str, dict[str, int]]


@dataclass(frozen=True)
class PoseFoldersCheck:
    """What is in the folders, and every problem as a sentence."""

    categories: tuple[CategoryCheck, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_pose_folders(folder: Path) -> PoseFoldersCheck:
    """Check folders of the form, whoever wrote them; decodes every picture."""
    problems: list[str] = []
    found = []
    for category in PICTURES:
        place = folder / category
        entries = _entries(place, problems)
        sizes: dict[str, Counter[str]] = {picture.suffix: Counter() for picture in PICTURES[category]}
        named: set[str] = set()
        for entry in entries:
            problems += [f"{category}/metadata.json: {p}" for p in _entry_problems(category, entry)]
            for picture in PICTURES[category]:
                name = entry.get(picture.key)
                if isinstance(name, str) and Path(name).name == name:
                    named.add(name)
                    problems += _read_picture(place / name, category, sizes[picture.suffix])
        twice = [i for i, n in Counter(str(entry.get("id")) for entry in entries).items() if n > 1]
        problems += [f"{category}/metadata.json: {i} is there twice" for i in twice]
        pictures = sorted(p.name for p in place.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        problems += [f"{category}/{name} is in no entry of metadata.json" for name in pictures if name not in named]
        found.append(
            CategoryCheck(
                category=category,
                entries=len(entries),
                files=len(pictures),
                bytes=sum((place / name).stat().st_size for name in pictures),
                sizes={suffix: dict(sorted(counts.items())) for suffix, counts in sizes.items()},
            )
        )
    return PoseFoldersCheck(tuple(found), tuple(problems))


def _entries(place: Path, problems: list[str]) -> list[dict[str, Any]]:
    path = place / "metadata.json"
    try:
        listed = json.loads(path.read_bytes())
    except FileNotFoundError:
        problems.append(f"{place.name}/metadata.json is missing")
        return []
    except ValueError as error:
        problems.append(f"{place.name}/metadata.json does not read: {error}")
        return []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        problems.append(f"{place.name}/metadata.json is no list of objects")
        return []
    return listed


def _entry_problems(category: str, entry: Mapping[str, Any]) -> Iterator[str]:
    name = entry.get("id")
    if tuple(entry) != fields(category):
        yield f"{name} has the fields {list(entry)}"
    if entry.get("category") != category:
        yield f"{name} is of the category {entry.get('category')}"
    for picture in PICTURES[category]:
        file = entry.get(picture.key)
        if file is None and picture.suffix == "image":
            yield f"{name} has no image"
        elif file is not None and (not isinstance(file, str) or Path(file).name != file):
            yield f"{name} names {file!r}, which is no file of the folder"


def _read_picture(path: Path, category: str, sizes: Counter[str]) -> list[str]:
    try:
        _, facts = decode(path.read_bytes())
    except FileNotFoundError:
        return [f"{category}/{path.name} is missing"]
    except DecodeError as error:
        return [f"{category}/{path.name} does not decode: {error}"]
    sizes[f"{facts.width} x {facts.height}"] += 1
    return [] if facts.format in ("JPEG", "MPO") else [f"{category}/{path.name} is no JPEG but {facts.format}"]
