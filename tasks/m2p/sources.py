"""Where dance videos come from: folders and lists, as a person writes them down, and the videos that they offer."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import polars as pl
from pydantic import Field

from tasks.dance.videos import VIDEO_SUFFIXES
from tasks.ingest.folders import printable
from tasks.schema.errors import SourceError
from tasks.schema.forms import Form

LIST_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".lst")
"""`.txt` and `.lst`: one path or address a line."""

STEM_CHARACTERS: Final = 60
"""Of a video's name; longer ones are cut and told apart by their digest."""


class DanceColumns(Form):
    """Columns of a list. Only the one of the videos has to be there."""

    video: str = Field("video", title="Video", description="Path, or http(s) address.")
    sound: str = Field("sound", title="Sound", description="File with the sound; empty: in the video, or beside it.")
    group: str = Field("group", title="Group", description="Videos of one group are in one split; empty: the folder.")
    licence: str = Field("licence", title="Licence", description="Terms of the video.")


class DanceSource(Form):
    """A folder of dance videos, or a list of them."""

    name: str = Field(title="Name", pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Short name; part of sample ids.")
    location: str = Field(
        title="Location",
        min_length=1,
        description="Absolute: a folder with those below it, or a list: CSV, TSV, JSONL, Parquet, one video a line.",
    )
    columns: DanceColumns = Field(default_factory=DanceColumns, title="Columns")
    licence: str = Field("unknown", title="Licence", description="Where the list does not say it.")
    limit: int = Field(0, title="Limit", ge=0, description="Videos to take, from the first; 0: all.")


class DanceEntry(Form):
    """A video that a source offers.

    `name` is the first part of all ids that come from it; `video` and `sound` are absolute paths, or addresses; an
    empty `sound`: in the video, or beside it under the same name; an empty `group`: the folder.
    """

    name: str
    video: str
    sound: str = ""
    group: str = ""
    licence: str = "unknown"


class Offer(Form):
    """The videos that a source offers, and how many rows of its list named one a second time."""

    entries: tuple[DanceEntry, ...]
    repeated: int = 0


def list_videos(source: DanceSource) -> Offer:
    """All videos of a source, in the order of the list, or of their paths.

    Raises:
        SourceError: the source is not there or no list, or it offers nothing.
    """
    place = Path(source.location)
    if not place.is_absolute():
        raise SourceError(f"{source.location!r} is not absolute: flows run in folders of their own. Give all of it.")
    if place.is_dir():
        found = {path.relative_to(place).as_posix(): _of_file(path, source) for path in _videos_below(place)}
        rows = len(found)
    elif place.is_file() and place.suffix.lower() in LIST_SUFFIXES:
        found, rows = {}, 0
        for where, entry in _of_list(place, source):
            found.setdefault(where, entry)
            rows += 1
    elif place.is_file():
        raise SourceError(f"{place} is no list: give a folder, or one of {', '.join(LIST_SUFFIXES)}.")
    else:
        raise SourceError(f"There is nothing at {place}. Is it mounted on this machine?")
    if not found:
        raise SourceError(f"{place} offers no video ({', '.join(VIDEO_SUFFIXES)}).")
    names = video_names(source.name, list(found))
    entries = [entry.model_copy(update={"name": name}) for name, entry in zip(names, found.values(), strict=True)]
    return Offer(entries=tuple(entries[: source.limit or None]), repeated=rows - len(found))


def video_names(source: str, places: Sequence[str]) -> list[str]:
    """A name for each video: of its source and its place in it, readable, and the same whatever else is there.

    Of absolute paths and addresses the file's name counts alone. Places that read the same, or are too long, get some
    digits of their digest.

    Args:
        source: its short name.
        places: path below the folder, or as the list has it; all different.
    """
    plain = [_plain(place) for place in places]
    seen = Counter(plain)
    return [
        f"{source}_{name[:STEM_CHARACTERS]}"
        + (f"-{sha256(place.encode()).hexdigest()[:8]}" if seen[name] > 1 or len(name) > STEM_CHARACTERS else "")
        for place, name in zip(places, plain, strict=True)
    ]


def is_address(location: str) -> bool:
    """Whether it is to be fetched."""
    return location.lower().startswith(("http://", "https://"))


def _plain(place: str) -> str:
    path = Path(unquote(urlsplit(place).path) if is_address(place) else place).with_suffix("")
    stem = Path(path.name) if path.is_absolute() else path
    return re.sub(r"[^a-z0-9]+", "_", stem.as_posix().lower()).strip("_") or "video"


def _videos_below(folder: Path) -> list[Path]:
    try:
        every = [path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}.") from error
    return sorted(path for path in every if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _of_file(path: Path, source: DanceSource) -> DanceEntry:
    return DanceEntry(name="", video=str(path), licence=source.licence)


def _of_list(path: Path, source: DanceSource) -> Iterator[tuple[str, DanceEntry]]:
    """The videos of a list with what the list calls them; relative paths are below the list's folder."""
    columns = source.columns
    for number, row in enumerate(_rows(path, columns.video), 1):
        said = {name: str(row.get(column) or "").strip() for name, column in columns}
        if not said["video"]:
            raise SourceError(f"{path}: row {number} names no video in the column {columns.video!r}.")
        entry = DanceEntry(
            name="",
            video=_place(said["video"], path.parent),
            sound=_place(said["sound"], path.parent) if said["sound"] else "",
            group=said["group"] or _folder_of(said["video"]),
            licence=said["licence"] or source.licence,
        )
        yield printable(said["video"]), entry


def _folder_of(location: str) -> str:
    """What stands for the folder of an address; a file's own is found when it is read."""
    if not is_address(location):
        return ""
    split = urlsplit(location)
    return f"{split.hostname or ''}{split.path.rpartition('/')[0]}"


def _place(location: str, folder: Path) -> str:
    return location if is_address(location) else str(folder / location)


def _rows(path: Path, video: str) -> list[dict[str, Any]]:
    kind = path.suffix.lower()
    try:
        if kind in (".txt", ".lst"):
            lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
            return [{video: line} for line in lines if line and not line.startswith("#")]
        if kind in (".csv", ".tsv"):
            table = pl.read_csv(path, separator="\t" if kind == ".tsv" else ",", infer_schema=False)
        else:
            table = pl.read_parquet(path) if kind == ".parquet" else pl.read_ndjson(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"The list {path} cannot be read: {error}") from error
    if video not in table.columns:
        raise SourceError(f"{path} has no column {video!r}: it has {', '.join(table.columns)}.")
    return table.to_dicts()
