"""What is wrong between the parts of a configuration of `video_patches`, each fault with its place.

A configuration is looked at as plain lists and mappings, so that one fault does not hide another: what does not even
have the right type is passed over here, and named by the form's own validation.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final

Location = tuple[str | int, ...]
"""A way into a configuration, by names and positions."""

Fault = tuple[Location, str]
Text = tuple[Location, str]

EXTENSIONS: Final = frozenset(
    {".264", ".265", ".av1", ".avi", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".obu", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)
"""What films end in, whatever their case."""

SHORT_NAME_LENGTH: Final = 60


def short_name(name: str) -> str:
    """A film's name as part of sample ids and file names: `Avatar (2009)` is `avatar_2009`.

    A name that cannot be told by Latin letters and digits, or is long, ends in a digest.
    """
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    short = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if plain.isascii() and 0 < len(short) <= SHORT_NAME_LENGTH:
        return short
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{short[: SHORT_NAME_LENGTH - 9].rstrip('_') or 'film'}_{digest}"


def place_of(location: Location, instead: Mapping[Location, str] | None = None) -> str:
    """A location as people write it: `films[17].categories.space`.

    Args:
        location: where.
        instead: what the first steps of a way are called, if not as they are.
    """
    known = instead or {}
    longest = next((n for n in range(len(location), 0, -1) if location[:n] in known), 0)
    place = known[location[:longest]] if longest else ""
    for step in location[longest:]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    return place


def contradictions(given: Mapping[str, Any], instead: Mapping[Location, str] | None = None) -> list[Fault]:
    """What is wrong between parts that may be right by themselves.

    Args:
        given: of the shape of `VideoPatchesForm`, with its defaults filled in.
        instead: see `place_of`; other places are named in some faults.
    """
    films, folders, categories, formats = (
        tuple(_entries(given, name)) for name in ("films", "folders", "categories", "formats")
    )
    category_names, format_names = ([name for _, name in _texts(each, "name")] for each in (categories, formats))
    paths = list(_texts(films, "path"))
    films_given = bool(given.get("films") or given.get("folders"))
    return [
        *([] if films_given else [(("films",), "is empty: name films, or a folder of them")]),
        *(
            fault
            for entries, key in ((formats, "name"), (formats, "folder"), (categories, "name"), (categories, "folder"))
            for fault in _doubled(list(_texts(entries, key)), instead)
        ),
        *_unknown("format", list(_keys(categories, "formats")), format_names),
        *_doubled(list(_texts(films, "name")), instead),
        *_alike(list(_texts(films, "name")), instead),
        *_doubled(paths, instead),
        *(fault for path in paths for fault in _path_faults(path)),
        *_doubled(list(_texts(folders, "path")), instead),
        *_relative(_texts(folders, "path")),
        *_unknown("category", list(_keys((*films, *folders), "categories")), category_names),
        *_folder_faults(given),
    ]


def missing_files(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Films and folders of films that are not there, of the same shape; looks at the disk."""
    for location, text in _texts(tuple(_entries(given, "folders")), "path"):
        if not Path(text).is_dir():
            yield location, f"there is no folder {text}"
    for location, text in _texts(tuple(_entries(given, "films")), "path"):
        path = Path(text)
        try:
            if path.is_dir():
                yield location, f"{text} is a folder"
            elif not path.is_file():
                yield location, f"there is no file {text}"
            elif not path.stat().st_size:
                yield location, f"{text} is empty"
        except (OSError, ValueError) as error:
            yield location, f"{text!r} cannot be looked at: {getattr(error, 'strerror', None) or error}"


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that is much like this one; empty: none is."""
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.7)
    return close[0] if close else ""


def _entries(given: Mapping[str, Any], name: str) -> Iterator[tuple[Location, Mapping[Any, Any]]]:
    entries = given.get(name)
    for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        if isinstance(entry, Mapping):
            yield (name, index), entry


def _texts(entries: Sequence[tuple[Location, Mapping[Any, Any]]], key: str) -> Iterator[Text]:
    for location, entry in entries:
        if isinstance(entry.get(key), str) and entry[key]:
            yield (*location, key), entry[key]


def _keys(entries: Sequence[tuple[Location, Mapping[Any, Any]]], key: str) -> Iterator[Text]:
    for location, entry in entries:
        below = entry.get(key)
        for name in below if isinstance(below, Mapping) else ():
            yield (*location, key, str(name)), str(name)


def _unknown(what: str, named: Sequence[Text], known: Sequence[str]) -> Iterator[Fault]:
    for location, name in named:
        if name not in known:
            close = meant(name, known)
            yield location, f"unknown {what}" + (f", did you mean {close}?" if close else f"; there is {_list(known)}")


def _doubled(named: Sequence[Text], instead: Mapping[Location, str] | None) -> Iterator[Fault]:
    first: dict[str, Location] = {}
    for location, name in named:
        if first.setdefault(name, location) != location:
            yield location, f"{name!r} is that of {place_of(first[name][:-1], instead)} already"


def _alike(named: Sequence[Text], instead: Mapping[Location, str] | None) -> Iterator[Fault]:
    """Films whose names differ, but not their short names."""
    first: dict[str, Text] = {}
    for location, name in named:
        before, other = first.setdefault(short_name(name), (location, name))
        if other != name:
            place = place_of(before[:-1], instead)
            yield location, f"{name!r} is too much like {other!r} ({place}): both become {short_name(name)}"


def _path_faults(path: Text) -> Iterator[Fault]:
    location, text = path
    yield from _relative([path])
    if PurePosixPath(text).suffix.lower() not in EXTENSIONS:
        yield location, f"{text!r} does not end like a film, as in .mkv or .mp4"


def _folder_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Folders that are written to."""
    machine = given.get("machine")
    temporary = machine.get("temporary") if isinstance(machine, Mapping) else None
    named: tuple[tuple[Location, Any], ...] = (
        (("output",), given.get("output")),
        (("machine", "temporary"), temporary),
    )
    yield from _relative((location, path) for location, path in named if isinstance(path, str) and path)


def _relative(named: Iterable[Text]) -> Iterator[Fault]:
    for location, path in named:
        if not PurePosixPath(path).is_absolute():
            yield location, f"{path!r} is no absolute path"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
