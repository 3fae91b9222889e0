"""Where a list lies: a file, a folder, a glob, an address, the hub; whatever it is, it is read from local files."""

import gzip
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from tasks.ingest.folders import printable
from tasks.ingest.hub import HubAccess, HubFile, find_file, list_files, resolve_commit
from tasks.ingest.rows import file_digest
from tasks.ingest.url_fetch import fetch_file, fetch_from_hub, without_secrets
from tasks.ingest.url_layouts import SUFFIXES
from tasks.schema.errors import SourceError
from tasks.schema.url_sources import UrlFormat, UrlSource
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

HUB = "hf://datasets/"
ADDRESSES = ("https://", "http://")
GZIP_MAGIC = b"\x1f\x8b"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class ListFile:
    """One file of a list.

    `name` below the location ("" where the location is a single file); `written_as`, the name that says how it is
    written; `shown` to people; `path` on this machine, unpacked.
    """

    name: str
    written_as: str
    shown: str
    path: Path


@dataclass(frozen=True)
class _Named:
    name: str
    written_as: str
    shown: str
    fetch: Callable[[], Path]


def lists_folder(store: Store) -> Path:
    """What was fetched or unpacked; anything in it can be made again."""
    return store.root / "lists"


def open_lists(source: UrlSource, access: HubAccess, store: Store) -> tuple[str, list[ListFile]]:
    """The commit (hub only, else "") and the files of a list by name, each fetched and unpacked where that is needed.

    Raises:
        SourceError: nothing is there, out of reach, cut short, or larger than the source allows.
    """
    if source.location.startswith(HUB):
        commit, named = _on_hub(source, access, store)
    elif source.location.startswith(ADDRESSES):
        commit, named = "", [_at_address(source, access, store)]
    else:
        commit, named = "", list(_local(source))
    return commit, [
        ListFile(file.name, file.written_as, file.shown, unpacked(file.fetch(), file.shown, source.most_bytes, store))
        for file in named
    ]


def sweep_lists(store: Store, older_than_s: float) -> list[Path]:
    """Remove what was fetched or unpacked and not listed for so long; returns what was removed."""
    oldest = time.time() - older_than_s
    stale = [path for path in sorted(lists_folder(store).glob("*")) if path.stat().st_mtime < oldest]
    for path in stale:
        store.files.remove(path)
    return stale


def _on_hub(source: UrlSource, access: HubAccess, store: Store) -> tuple[str, list[_Named]]:
    steps = source.location.removeprefix(HUB).split("/", 2)
    if len(steps) < 3 or not all(steps):
        raise SourceError(f"{source.location!r} names no file: it looks like {HUB}owner/name/path/of/url.lst.")
    dataset, wanted = "/".join(steps[:2]), steps[2]
    commit = resolve_commit(dataset, source.revision, access)
    if not has_magic(wanted):
        return commit, [_hub_file("", find_file(dataset, commit, wanted, access), source, access, store)]
    files = [file for file in list_files(dataset, commit, access) if fnmatchcase(file.path, wanted)]
    if not files:
        raise SourceError(f"No file of {dataset} at revision {source.revision!r} is called {wanted!r}.")
    return commit, [_hub_file(file.path, file, source, access, store) for file in files]


def _hub_file(name: str, file: HubFile, source: UrlSource, access: HubAccess, store: Store) -> _Named:
    def fetch() -> Path:
        return fetch_from_hub(file, source.most_bytes, access, store, lists_folder(store))

    return _Named(name, file.path, f"{file.dataset}/{file.path}", fetch)


def _at_address(source: UrlSource, access: HubAccess, store: Store) -> _Named:
    shown = without_secrets(source.location)

    def fetch() -> Path:
        return fetch_file(source.location, source.most_bytes, access, store, lists_folder(store))

    return _Named("", unquote(urlsplit(source.location).path), shown, fetch)


def _local(source: UrlSource) -> Iterator[_Named]:
    location = Path(source.location)
    if not location.is_absolute():
        raise SourceError(
            f"{source.location!r} is not absolute: flows run in folders of their own. Give the whole path."
        )
    if location.is_file():
        yield _Named("", location.name, str(location), lambda: location)
        return
    if location.is_dir():
        root, pattern = location, "**/*"
    else:
        root = location.parent
        while has_magic(str(root)):
            root = root.parent
        pattern = str(location.relative_to(root))
    found = {printable(path.relative_to(root).as_posix()): path for path in root.glob(pattern) if path.is_file()}
    readable = {
        name: path
        for name, path in sorted(found.items())
        if not any(step.startswith(".") for step in PurePosixPath(name).parts)
        and (pattern != "**/*" or source.format is not UrlFormat.AUTO or _says_how(name))
    }
    if not readable:
        raise SourceError(
            f"There is no list at {source.location}: known are {' '.join(SUFFIXES)}, each also with .gz. Is it mounted "
            "on this machine?"
        )
    for name, path in readable.items():
        yield _Named(name, name, str(path), lambda path=path: path)  # type: ignore[misc]


def _says_how(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(tuple(SUFFIXES))


def unpacked(path: Path, shown: str, most_bytes: int, store: Store) -> Path:
    """The file itself, or where it is gzipped, a copy that is not; an equal file is unpacked once.

    Raises:
        SourceError: it cannot be read, is cut short, is damaged, or unpacks to more than `most_bytes`.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP_MAGIC
        if not packed:
            return path
        target = lists_folder(store) / f"{file_digest(path)[:32]}.unpacked"
    except OSError as error:
        raise SourceError(f"{shown} cannot be read ({error.strerror}).") from error
    if target.exists():
        os.utime(target)
        return target
    part = temporary(store.tmp)
    try:
        with disk_errors_explained(store.root), store.files.create(part) as out:
            for piece in _unzipped(path, shown, most_bytes):
                out.write(piece)
            store.files.sync(out)
        store.files.replace(part, target)
        store.files.sync_folder(target.parent)
    finally:
        store.files.remove(part)
    return target


def _unzipped(path: Path, shown: str, most_bytes: int) -> Iterator[bytes]:
    size = 0
    try:
        with gzip.open(path, "rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                size += len(piece)
                if size > most_bytes:
                    raise SourceError(
                        f"{shown} unpacks to more than {most_bytes:,} bytes: raise `max_gigabytes` of the source."
                    )
                yield piece
    except EOFError as error:
        raise SourceError(f"{shown} ends in the middle of its gzip stream: fetch it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{shown} is damaged gzip ({error}): fetch it again.") from error
