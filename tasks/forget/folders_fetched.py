"""What a store fetched for its builds without the samples that go, and what names or holds them and is not ours."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tasks.forget.doomed import Doomed, Erased
from tasks.forget.exports_names import Names
from tasks.forget.folders import Taken
from tasks.forget.outside_search import search_for
from tasks.ingest.url_files import lists_folder
from tasks.shards.files import disk_errors_explained
from tasks.shards.manifest import BUILD_SUFFIX
from tasks.shards.store import Store
from tasks.video.digest import film_digest

_LEFT_OVER_S: Final = 3600.0
"""Seconds after which a file in the making is one that a killed run left."""

_LIST_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".lst", ".gz")
"""Of lists of addresses and paths. Source: `tasks.ingest.url_lists`, `tasks.m2p.sources`."""

_LARGEST_TEXT: Final = 256 << 20
"""Bytes of a log or a list that is looked into."""


def erase_fetched(store: Store, doomed: Doomed) -> Erased:
    """Remove videos that were fetched, cached lists that name an address, and what killed runs left in the making."""
    taken = Taken("downloads", store.files)
    addressed = {sha256(address.encode()).hexdigest()[:32] for address in doomed.source_uris}
    read = {path for original in remembered_originals(store, doomed) for path in original.paths}
    with disk_errors_explained(store.root):
        for folder in sorted((store.root / "fetched").glob("*")):
            files = sorted(folder.glob("*"))
            known = folder.name in addressed or any(path in read for path in files)
            if known or (doomed.digests and any(film_digest(path) in doomed.digests for path in files)):
                for path in files:
                    taken.remove(path)
                folder.rmdir()
        for path in _naming([lists_folder(store)], doomed):
            taken.remove(path)
        for path in sorted(store.tmp.glob("*")):
            if time.time() - path.lstat().st_mtime > _LEFT_OVER_S:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else taken.remove(path, rows=0)
    return taken.erased


def out_of_reach(store: Store, doomed: Doomed, names: Names) -> tuple[str, ...]:
    """Sentences on files that hold or name a sample and are not ours to change: originals, lists, logs."""
    originals = {path for original in remembered_originals(store, doomed) for path in original.paths}
    told = [
        f"{path} is the original and not ours: it is kept out of builds; remove it yourself."
        for path in sorted(originals)
        if path.is_file() and not path.is_relative_to(store.root)
    ]
    lists = [path for path in _lists(store) if not path.is_relative_to(lists_folder(store))]
    told += [
        f"The list {path} names what was forgotten: it is kept out of builds; take the line out yourself."
        for path in _naming(lists, doomed)
    ]
    needles = [each.encode() for each in names.needles]
    told += [
        f"The log {path} names what was forgotten: remove it when nothing writes to it any more."
        for path in search_for(_small([store.root / "logs"]), needles)
    ]
    return tuple(told)


@dataclass(frozen=True)
class Original:
    """A film or video that a remembered build read, and the files that it was read from."""

    name: str
    digest: str
    paths: tuple[Path, ...]


def remembered_originals(store: Store, doomed: Doomed) -> tuple[Original, ...]:
    """The films and videos among what builds remember to have read."""
    found = [each for said in _remembered(store) for each in _originals(said)]
    return tuple(each for each in found if each.name in doomed.sample_ids or each.digest in doomed.digests)


def _originals(said: object) -> Iterator[Original]:
    """`VideoRead` of clips and `FilmRead` of patches, wherever they stand."""
    if isinstance(said, dict):
        video, film = said.get("video"), said.get("source")
        if isinstance(video, dict) and "path" in said:
            paths = (said["path"], said.get("sound_path") or "")
            yield Original(video.get("name", ""), video.get("digest", ""), tuple(Path(each) for each in paths if each))
        elif isinstance(film, dict) and "path" in film and "digest" in said:
            yield Original(film.get("name", ""), said["digest"], (Path(film["path"]),))
    for each in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _originals(each)


def _lists(store: Store) -> tuple[Path, ...]:
    """Lists that remembered builds were read from and that are still there."""
    places = {each for said in _remembered(store) for each in _texts(said) if each.startswith("/")}
    return tuple(path for path in map(Path, sorted(places)) if path.suffix.lower() in _LIST_SUFFIXES and path.is_file())


def _texts(said: object) -> Iterator[str]:
    if isinstance(said, str):
        yield said
    for each in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _texts(each)


def _remembered(store: Store) -> Iterator[object]:
    """What remembered builds were made from, as JSON with absolute paths; those that do not read are passed over."""
    for path in sorted(store.fresh("builds").glob(f"*/*{BUILD_SUFFIX}")):
        with suppress(ValueError, OSError):
            yield json.loads(path.read_text().replace('"<store>', json.dumps(str(store.root))[:-1]))


def _naming(places: Iterable[Path], doomed: Doomed) -> tuple[Path, ...]:
    """Files that name an address or a path; names without a folder are too short to tell."""
    return search_for(_small(places), [each.encode() for each in doomed.source_uris if "/" in each])


def _small(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and path.stat().st_size <= _LARGEST_TEXT:
                yield path
