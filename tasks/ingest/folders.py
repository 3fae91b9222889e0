"""Folders of photos: loose files, the seed's metadata.json, and imagefolder's metadata.jsonl or metadata.csv."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path, PurePath
from typing import TypeVar

from blake3 import blake3

from tasks.ingest.folder_metadata import METADATA_NAMES, Entry, read_entries
from tasks.ingest.remembered import Remembered, Watch
from tasks.ingest.rows import Encoded, PartConfig, Problem, SourceRow, base_name, file_digest, too_large
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoColumns, PhotoPlace, SourceListing, SourcePart

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

SCHEME = "folder://"

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".ico", ".jp2", ".j2k", ".tga", ".pbm", ".pgm", ".ppm", ".pnm"),
)
"""Names that promise a picture; whether the promise holds is found out later. Other files are not looked at."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a folder: a photo, what the metadata says about it, or what is wrong with it.

    `name` and the values of `files` (role -> file) are relative to the folder, with forward slashes.
    """

    name: str
    files: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str | None] = field(default_factory=dict)
    problem: Problem | None = None


@dataclass(frozen=True)
class Folder:
    """All rows of a folder, ordered by name, and the fields of its metadata.

    `passed_over`: suffix -> files that were not looked at.
    """

    items: tuple[Item, ...]
    columns: tuple[str, ...]
    passed_over: Counter[str]


_FOLDERS: Remembered[Folder] = Remembered()
"""By root and mapping. Even a stale one gives no other row: the rows and bytes of a part must have its digest."""


def list_folder(source: PhotoPlace, part_rows: int, limit: int = 0) -> SourceListing:
    """The parts of a folder in the order of the file names; every file is hashed once.

    Args:
        limit: rows to list, from the first; 0: all.
    Raises:
        SourceError: the folder is not there or holds no picture, or its metadata cannot be read or do not fit.
    """
    root = folder_of(source.location)
    folder = _remembered(root, source.columns, anew=True)
    items = folder.items[: limit or None]
    if folder.passed_over:
        _log.info("%s: files passed over, whose names promise no picture: %s", root, _counted(folder.passed_over))
    parts = []
    for first in range(0, len(items), part_rows):
        chosen = items[first : first + part_rows]
        digest = blake3()
        for item in chosen:
            digest.update(_told(item, {role: read_file(root / name, file_digest) for role, name in item.files.items()}))
        uri = f"{SCHEME}{source.name}/"
        parts.append(SourcePart(uri=uri, digest=digest.hexdigest(), first_row=first, rows=len(chosen)))
    complete = len(items) == len(folder.items)
    return SourceListing(revision="", parts=tuple(parts), columns=folder.columns, complete=complete)


def folder_part(config: PartConfig, location: str) -> Iterator[SourceRow]:
    """The rows of one part.

    Raises:
        SourceError: as `list_folder`, or a file has changed since it was listed.
    """
    root = folder_of(location)
    try:
        yield from _part_rows(root, _remembered(root, config.columns), config.part)
    except SourceError:
        _FOLDERS.forget((root, config.columns))
        raise


def _remembered(root: Path, mapping: PhotoColumns, *, anew: bool = False) -> Folder:
    return _FOLDERS.get((root, mapping), lambda watch: read_folder(root, mapping, watch), anew=anew)


def _part_rows(root: Path, folder: Folder, part: SourcePart) -> Iterator[SourceRow]:
    digest = blake3()
    for item in folder.items[part.first_row : part.first_row + part.rows]:
        images: dict[str, Encoded | None] = {}
        digests = {}
        problem = item.problem
        for role, name in item.files.items():
            images[role], digests[role], oversize = load(root / name)
            problem = problem or oversize
        digest.update(_told(item, digests))
        name = printable(item.name)
        yield SourceRow(name, f"{part.uri}{name}", images, item.texts, problem)
    if digest.hexdigest() != part.digest:
        raise SourceError(f"{root} has changed since it was listed. List the source again.")


def folder_of(location: str) -> Path:
    """The folder, without symbolic links in its own path.

    Raises:
        SourceError: it is not absolute or not there.
    """
    root = Path(location)
    if not root.is_absolute():
        raise SourceError(f"{location!r} is not absolute: flows run in folders of their own. Give the whole path.")
    if not root.is_dir():
        raise SourceError(f"There is no folder {location}. Is it mounted on this machine?")
    return root.resolve()


def read_folder(root: Path, mapping: PhotoColumns, watch: Watch) -> Folder:
    """Walk a folder and hold its metadata against its pictures; no picture is read.

    Without metadata every picture is a row. Where a folder has a metadata file, its entries are the rows of that folder
    and those below it: an entry without its files, a name that leads out of the folder, and a picture that no entry
    speaks of are rows with a problem.

    Raises:
        SourceError: there is no picture, the metadata cannot be read or do not fit, or there are none to map from.
    """
    seen = walk(root, watch)
    if not seen.pictures:
        raise SourceError(f"There is no picture in {root}. Known are: {' '.join(SUFFIXES)}.")
    if not seen.metadata:
        _refuse_mapping(root, mapping, seen)
    items: list[Item] = []
    spoken_of: set[str] = set()
    columns: dict[str, None] = {}
    for name in seen.metadata:
        watch(root / name)
        entries, fields = read_entries(root / name, mapping)
        columns.update(dict.fromkeys(fields))
        found = [_item(root, PurePath(name).parent, entry, seen) for entry in entries]
        items.extend(found)
        spoken_of.update(file for item in found for file in item.files.values())
    governed = {PurePath(name).parent for name in seen.metadata}
    items.extend(_loose(root, name, governed, seen) for name in seen.pictures - spoken_of)
    return Folder(tuple(sorted(items, key=lambda item: item.name)), tuple(columns), seen.others)


@dataclass
class Seen:
    """Relative names of what lies in a folder; `plain` are the files that are no links, `others` counts suffixes."""

    pictures: set[str] = field(default_factory=set)
    plain: set[str] = field(default_factory=set)
    metadata: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def walk(root: Path, watch: Watch) -> Seen:
    """What lies in a folder and below; hidden names and linked folders are passed over."""
    seen = Seen()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        watch(root / below)
        with os.scandir(root / below) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{below}{entry.name}/")
                elif entry.name in METADATA_NAMES:
                    seen.metadata.append(f"{below}{entry.name}")
                elif entry.name.lower().endswith(SUFFIXES):
                    seen.pictures.add(f"{below}{entry.name}")
                    if entry.is_file(follow_symlinks=False):
                        seen.plain.add(f"{below}{entry.name}")
                else:
                    seen.others[printable(PurePath(entry.name).suffix.lower())] += 1
    seen.metadata.sort()
    return seen


def _refuse_mapping(root: Path, mapping: PhotoColumns, seen: Seen) -> None:
    """Nothing but photos can be had from a folder without metadata.

    Raises:
        SourceError: the mapping wants more than photos from a folder without metadata.
    """
    wanted = [f"{name!r} for `{role}`" for role, name in mapping.model_dump().items() if name and role != "image"]
    if not wanted:
        return
    names = ", ".join(printable(name) for name in sorted(seen.pictures)[:3])
    found = f"{len(seen.pictures):,} pictures ({names}{', ...' if len(seen.pictures) > 3 else ''})"
    raise SourceError(
        f"{root} has no column {', '.join(wanted)}: columns stand in metadata, and none of "
        f"{', '.join(METADATA_NAMES)} is there. It holds {found}; other files: {_counted(seen.others)}. "
        "Add such a file, or empty these `columns` of the source."
    )


def _counted(others: Counter[str]) -> str:
    """`5 (3 .txt, 1 .mp4, 1 without suffix)`: the most frequent suffixes."""
    told = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in others.most_common(5))
    return f"{others.total():,}" + (f" ({told}{', ...' if len(others) > 5 else ''})" if others else "")


def _loose(root: Path, name: str, governed: set[PurePath], seen: Seen) -> Item:
    """A picture that no entry speaks of; in and below the folders `governed` by metadata, that is a problem."""
    if not (name in seen.plain or is_file_below(root, name)):
        return Item(name, problem=Problem(Reason.IMAGE_MISSING, f"{printable(name)} is a link to no file in here."))
    if not governed or governed.isdisjoint(PurePath(name).parents):
        return Item(name, {"image": name})
    problem = Problem(Reason.METADATA_MISSING, f"No entry speaks of {printable(name)}.")
    return Item(name, {"image": name}, problem=problem)


def _item(root: Path, folder: PurePath, entry: Entry, seen: Seen) -> Item:
    """An entry with those of its files that are there; `folder` is that of the metadata file, relative to `root`."""
    names = {role: os.path.normpath(folder / given) for role, given in entry.files.items()}
    files = {role: name for role, name in names.items() if name in seen.plain or is_file_below(root, name)}
    if len(files) == len(names):
        return Item(files["image"], files, entry.texts)
    absent = ", ".join(repr(entry.files[role]) for role in names if role not in files)
    problem = Problem(Reason.METADATA_WITHOUT_FILE, f"Entry {entry.number} names {absent}: no file of this folder.")
    locator = (folder / (base_name(entry.files["image"]) or "")).as_posix()
    return Item(f"{locator}@{entry.number}", files, entry.texts, problem)


def printable(name: str) -> str:
    """A file's name as text; bytes that are no UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_file_below(root: Path, name: str) -> bool:
    """Whether a relative name is a file that lies in the folder, whatever links and `..` lead there."""
    try:
        path = (root / name).resolve()
        return path.is_relative_to(root) and path.is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def load(path: Path) -> tuple[Encoded | None, str, Problem | None]:
    """A picture, the BLAKE3 of its bytes in hex, and why it is not read.

    Raises:
        SourceError: the file cannot be read.
    """
    oversize = too_large(read_file(path, os.path.getsize))
    if oversize is not None:
        return None, read_file(path, file_digest), oversize
    data = read_file(path, Path.read_bytes)
    return Encoded(data, printable(path.name)), blake3(data).hexdigest(), None


def read_file(path: Path, how: Callable[[Path], Answer]) -> Answer:
    """What `how` says of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        return how(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}). List the source again.") from error


def _told(item: Item, digests: dict[str, str]) -> bytes:
    """What decides a row, as bytes."""
    reason = item.problem.reason.value if item.problem else None
    return dumps([item.name, item.files, digests, item.texts, reason], sort_keys=True).encode() + b"\n"
