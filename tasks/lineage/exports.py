"""Exports and their files: which hold a sample, and which sample a file holds.

Folders of exports are known by `.mannequin` in them (`tasks.exports.owned`, `tasks.patches.pieces`); previews of
templates are known by their names.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.exports.m2p_join import folder_name
from tasks.exports.previews import PUBLIC, preview_path
from tasks.lineage.story import ExportedFile
from tasks.schema.errors import UnreadableError
from tasks.schema.ids import template_id
from tasks.shards.files import file_digest
from tasks.shards.numbers import ledgers, number_name, read_ledger
from tasks.shards.store import Store

NOTES = ".mannequin"

PICTURE_ENDS = r"_(?:image|mask|overlay|conditioning|skeleton|thumbnail)"
"""Ends of file names. Source: `tasks.exports.pose_folders`, `tasks.exports.previews`."""

FIRST_NUMBERS = {"looks": 1}
"""Ledger -> what the number 0 is called in names; photos of the runway and the street are counted from 1."""

_FOLDERS_DEEP = 3
"""Levels below a folder in which exports are looked for."""

_MOST_FILES = 40

State = Literal["", "whole", "changed", "missing"]


@dataclass(frozen=True)
class ExportFolder:
    """A folder that an export of ours wrote into."""

    folder: Path

    @cached_property
    def _lists(self) -> tuple[bytes, ...]:
        """Our lists of files: of an export, or of the pieces of a tree of patches."""
        notes = self.folder / NOTES
        paths = (notes / "files.json", *sorted((notes / "pieces").glob("*.json")))
        return tuple(path.read_bytes() for path in paths if path.is_file())

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Name -> BLAKE3 of our files as they were written; a list that is damaged is passed over."""
        found: dict[str, str] = {}
        for listed in self._lists:
            with suppress(ValueError, TypeError, AttributeError):
                for name, noted in json.loads(listed).items():
                    digest = next((each for each in noted or () if re.fullmatch("[0-9a-f]{64}", str(each))), "")
                    found[name] = digest
        return found

    def may_name(self, words: Collection[str]) -> bool:
        """Whether a list holds one of the words; far faster than to read it."""
        return any(word.encode() in listed for listed in self._lists for word in words if word)

    def state(self, name: str) -> State:
        """Whether a file is still as the export wrote it; reads it."""
        path, digest = self.folder / name, self.files.get(name, "")
        if not path.is_file():
            return "missing"
        if not digest:
            return ""
        return "whole" if file_digest(path) == digest else "changed"


def export_folders(store: Store, further: Sequence[Path] = ()) -> tuple[ExportFolder, ...]:
    """The folders of exports in the store, and in further folders, that are there."""
    tops = [store.root / "exports", *(path.resolve() for path in further)]
    found = dict.fromkeys(folder for top in tops for folder in _below(top, _FOLDERS_DEEP))
    return tuple(ExportFolder(folder) for folder in found)


def folder_around(path: Path) -> ExportFolder | None:
    """The innermost export that a path lies in."""
    for folder in (path, *path.parents):
        if (folder / NOTES).is_dir():
            return ExportFolder(folder)
    return None


def _below(folder: Path, levels: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    if (folder / NOTES).is_dir():
        yield folder
    if levels:
        for each in sorted(folder.iterdir()):
            if each.is_dir() and not each.is_symlink() and not each.name.startswith("."):
                yield from _below(each, levels - 1)


def words_of(name: str) -> frozenset[str]:
    """What the parts of a file's name below its export may call a sample."""
    parts = name.strip("/").split("/")
    words = {*parts, *("/".join(pair) for pair in pairwise(parts))}
    for part in parts:
        stem = part.partition(".")[0]
        words |= {stem, re.sub(f"{PICTURE_ENDS}$", "", stem)}
    return frozenset(words - {""})


def names_of(store: Store, sample_ids: Collection[str]) -> dict[str, str]:
    """What exports call samples -> sample: their ids as names of files and folders, their template ids, numbers."""
    names: dict[str, str] = {}
    for sample_id in sample_ids:
        for name in (sample_id, sample_id.replace("/", "_"), folder_name(sample_id), template_id(sample_id)):
            names[name] = sample_id
    for ledger in ledgers(store):
        if any(sample_id in _ledger_text(store, ledger) for sample_id in sample_ids):
            with suppress(UnreadableError):
                for prefix, numbers in read_ledger(store, ledger).items():
                    for sample_id in numbers.keys() & set(sample_ids):
                        number = numbers[sample_id] + FIRST_NUMBERS.get(ledger, 0)
                        names[number_name(prefix, number)] = sample_id
    return names


def numbered(store: Store, word: str) -> tuple[str, ...]:
    """The samples that a number name (`fashion_0003`) stands for, over all ledgers that read."""
    match = re.fullmatch(r"([a-z0-9][a-z0-9_-]*)_(\d{4,})", word)
    found: list[str] = []
    for ledger in ledgers(store) if match else ():
        with suppress(UnreadableError):
            given = read_ledger(store, ledger).get(match[1], {}) if match else {}
            wanted = int(match[2]) - FIRST_NUMBERS.get(ledger, 0) if match else -1
            found += [sample_id for sample_id, number in given.items() if number == wanted]
    return tuple(dict.fromkeys(found))


def _ledger_text(store: Store, ledger: str) -> str:
    paths = sorted(store.fresh(f"ledgers/{ledger}").glob("*.json"))
    return "".join(path.read_text(errors="replace") for path in paths)


def exported_files(
    store: Store,
    folders: Sequence[ExportFolder],
    sample_ids: Sequence[str],
) -> tuple[ExportedFile, ...]:
    """Files that hold a sample or its children, at most 40; by their names, and by ids in Parquet files.

    Args:
        sample_ids: the sample first, then its children.
    """
    names = names_of(store, sample_ids)
    found = [each for folder in folders for each in _in_folder(folder, names, sample_ids[0])]
    public = ExportFolder(store.root / PUBLIC)
    overlay = Path(preview_path(sample_ids[0]))
    previews = sorted((public.folder / overlay.parent).glob(f"{overlay.stem}*"))
    found += [(public, path.relative_to(public.folder).as_posix(), sample_ids[0]) for path in previews]
    once = {(folder.folder, name): (folder, sample_id) for folder, name, sample_id in reversed(found)}
    return tuple(
        ExportedFile(folder=str(path), name=name, sample_id=sample_id, state=folder.state(name))
        for (path, name), (folder, sample_id) in list(reversed(once.items()))[:_MOST_FILES]
    )


def _in_folder(
    folder: ExportFolder, names: Mapping[str, str], sample_id: str
) -> Iterator[tuple[ExportFolder, str, str]]:
    """Folder, name and sample of every file that is called by one of `names`, or holds the sample."""
    if folder.may_name(names):
        for name in folder.files:
            called = sorted(words_of(name) & names.keys(), key=len, reverse=True)
            if called:
                yield folder, name, names[called[0]]
    for name in folder.files if folder.may_name([".parquet"]) else ():
        if name.endswith(".parquet") and _holds(folder.folder / name, sample_id):
            yield folder, name, sample_id


def _holds(path: Path, sample_id: str) -> bool:
    """Whether a Parquet file of an export has the sample; not, if it does not read."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if "sample_id" not in file.schema_arrow.names:
                return False
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["sample_id"])["sample_id"]
                if pc.any(pc.equal(ids, sample_id)).as_py():
                    return True
    except (OSError, pa.ArrowException):
        return False
    return False
