"""Files of an export that change together: all of them, whatever stops it, with the lists that name them.

<folder>/.mannequin/forget/*.part      finished files on their way
<folder>/.mannequin/forget/plan.json   which file takes which place, and what goes; written last, then carried out

Without the plan nothing has changed; with it, `carry_out` ends what was begun. A place that has got other bytes since
then, by an export that ran in between, is left as it is.
"""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.exports.contents import (
    CONTENTS,
    FileFacts,
    MadeBy,
    Note,
    contents_bytes,
    learn_facts,
    notes_bytes,
    read_notes,
)
from tasks.exports.owned import OwnedFolder
from tasks.exports.verify_export import read_contents
from tasks.lineage.exports import NOTES
from tasks.patches.pieces import Note as PieceNote
from tasks.patches.pieces import Notes as PieceNotes
from tasks.patches.pieces import note_bytes
from tasks.schema.errors import StoreError
from tasks.shards.files import LocalFiles, file_digest, temporary

_PLAN: Final = "plan.json"
_LIST, _BESIDE = f"{NOTES}/files.json", f"{NOTES}/beside.json"


class _Put(BaseModel):
    """A finished file, and the BLAKE3 of what it replaces (empty: nothing) and of itself."""

    model_config = ConfigDict(extra="forbid")

    file: str
    before: str
    digest: str


@dataclass(frozen=True)
class Told:
    """What a change of an export did.

    Args:
        things: files that were rewritten or removed.
        rows: rows, members and files that are gone.
        removed: BLAKE3 of the files as they were.
        said: sentences on what could not be cut.
    """

    things: int = 0
    rows: int = 0
    removed: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def __add__(self, other: "Told") -> "Told":
        return Told(
            self.things + other.things,
            self.rows + other.rows,
            self.removed + other.removed,
            self.said + other.said,
        )


class _Plan(BaseModel):
    """Names are below the export; `remove`: name -> BLAKE3; the rest is what `Change` tells."""

    model_config = ConfigDict(extra="forbid")

    put: dict[str, _Put] = {}
    remove: dict[str, str] = {}
    rows: int = 0
    removed: list[str] = []
    said: list[str] = []
    things: int = 0

    @property
    def told(self) -> Told:
        return Told(self.things, self.rows, tuple(self.removed), tuple(self.said))


class Change:
    """What is to become of an export; a context manager that holds the export's turn.

    `builds`: digests of manifests -> as they are now, for `made_by` of its contents.json.
    `end` tells what was done; `left` is the same of a change that was stopped before, and is ended first.

    Raises:
        ConfigError: another export has been writing into the folder for long.
        StoreError: a list of the export is damaged, or the disk does not take more.
    """

    def __init__(self, folder: Path, files: LocalFiles, builds: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.builds = builds or {}
        self.files = files
        self._owned = OwnedFolder(folder, files)
        self._place = folder / NOTES / "forget"
        self._plan = _Plan()
        self._pieces: dict[str, PieceNote] = {}
        self._there: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._owned)
            self.left = carry_out(self.folder, self.files)
            self._pieces = _pieces(self.folder, self.files)
            known = {*_listed(self.folder), *(name for note in self._pieces.values() for name in note)}
            # hundreds of thousands of these, and Path triples their cost
            there = (name for name in known if isfile(f"{self.folder}/{name}"))  # noqa: PTH113
            self._there = tuple(sorted(there))
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.__exit__(kind, error, trace)
        for name in ("journal", "tmp"):
            with suppress(OSError):
                (self.folder / NOTES / name).rmdir()

    @property
    def names(self) -> tuple[str, ...]:
        """All files of ours that are there and are not to go."""
        return tuple(name for name in self._there if name not in self._plan.remove)

    def is_changed(self, name: str) -> bool:
        return name in self._plan.put or name in self._plan.remove

    def __bool__(self) -> bool:
        return bool(self._plan.put or self._plan.remove)

    def draft(self) -> Path:
        """A name for a file in the making, to be handed to `put_file`."""
        return temporary(self._place)

    def put(self, name: str, data: bytes, rows: int = 0) -> None:
        """Make a file hold these bytes; `rows`: how many it has lost."""
        path = self.draft()
        with self.files.create(path) as stream:
            stream.write(data)
            self.files.sync(stream)
        self.put_file(name, path, rows)

    def put_file(self, name: str, path: Path, rows: int = 0) -> None:
        """The same with a finished, synced draft; one that holds what is there already is dropped."""
        before, digest = self._digest(name), file_digest(path)
        if digest == before:
            self.files.remove(path)
            return
        if before and name not in self._plan.put:
            self._plan.removed.append(before)
            self._plan.things += 1
        self._plan.put[name] = _Put(file=path.name, before=before, digest=digest)
        self._plan.rows += rows

    def drafted(self, name: str) -> Path:
        """Where the bytes of a file are now: its draft, or its place."""
        put = self._plan.put.get(name)
        return self._place / put.file if put else self.folder / name

    def remove(self, name: str, rows: int = 1) -> None:
        """Take a file away."""
        if self._plan.put.pop(name, None) is None:
            self._plan.things += 1
            self._plan.removed.append(self._digest(name))
        self._plan.remove[name] = self._digest(name)
        self._plan.rows += rows

    def say(self, sentence: str) -> None:
        """Tell of something that cannot be cut."""
        self._plan.said.append(sentence)

    def end(self) -> Told:
        """Bring the lists to what is there, and carry all of it out."""
        if not self and not self._is_renamed():
            return self._plan.told
        self._put_lists()
        data = self._plan.model_dump_json().encode()
        written = self.draft()
        with self.files.create(written) as stream:
            stream.write(data)
            self.files.sync(stream)
        self.files.sync_folder(self._place)
        self.files.replace(written, self._place / _PLAN)
        self.files.sync_folder(self._place)
        return carry_out(self.folder, self.files)

    def _digest(self, name: str) -> str:
        path = self.folder / name
        return file_digest(path) if path.is_file() else ""

    def _put_lists(self) -> None:
        gone, facts = set(self._plan.remove), self._learnt(*self._plan.put)
        self._put_contents(gone, facts)
        if CONTENTS in self._plan.put:
            facts |= self._learnt(CONTENTS)
        now = {name: Note(put.digest, facts=facts[name]) for name, put in self._plan.put.items()}
        lists = sorted((self.folder / NOTES).glob("journal/*.json"))
        for path in (*lists, self.folder / _BESIDE, self.folder / _LIST):
            if path.is_file():
                left = {name: now.get(name, note) for name, note in read_notes(path).items() if name not in gone}
                self._put_list(path.relative_to(self.folder).as_posix(), notes_bytes(left))
        for piece, note in self._pieces.items():
            if not gone.isdisjoint(note):
                name = f"{NOTES}/pieces/{piece}.json"
                still = {each: written for each, written in note.items() if each not in gone}
                if still:
                    self._put_list(name, note_bytes(still))
                else:
                    self._plan.remove[name] = self._digest(name)

    def _learnt(self, *names: str) -> dict[str, FileFacts]:
        return dict(learn_facts({name: (self.drafted(name), self._plan.put[name].digest) for name in names}))

    def _is_renamed(self) -> bool:
        path = self.folder / CONTENTS
        said = read_contents(path.read_bytes()).made_by if self.builds and path.is_file() else None
        return said is not None and said.get("manifest") in self.builds

    def _put_contents(self, gone: set[str], facts: Mapping[str, FileFacts]) -> None:
        path = self.folder / CONTENTS
        if path.is_file():
            listed = read_contents(path.read_bytes())
            left = {name: facts.get(name, each) for name, each in listed.files.items() if name not in gone}
            made_by = MadeBy(**listed.made_by) if listed.made_by else None
            if made_by is not None:
                made_by = replace(made_by, manifest=self.builds.get(made_by.manifest, made_by.manifest))
            self._put_list(CONTENTS, contents_bytes(left, listed.rules, made_by))

    def _put_list(self, name: str, data: bytes) -> None:
        """Lists are not told of."""
        if (self.folder / name).read_bytes() != data:
            things, removed = self._plan.things, list(self._plan.removed)
            self.put(name, data)
            self._plan.things, self._plan.removed = things, removed


def carry_out(folder: Path, files: LocalFiles) -> Told:
    """Do what a plan in an export says, and remove it; what it told. Who calls has the export's turn.

    Raises:
        StoreError: the plan does not read.
    """
    place = folder / NOTES / "forget"
    plan = _Plan()
    if not place.is_dir():
        return plan.told
    if (place / _PLAN).is_file():
        try:
            plan = _Plan.model_validate_json((place / _PLAN).read_bytes())
        except ValidationError as error:
            raise StoreError(f"{place / _PLAN} is damaged: remove it, then forget again.") from error
        _carry_out(folder, place, plan, files)
        files.remove(place / _PLAN)
        files.sync_folder(place)
    for left in sorted(place.iterdir()):
        files.remove(left)
    place.rmdir()
    return plan.told


def _carry_out(folder: Path, place: Path, plan: _Plan, files: LocalFiles) -> None:
    for name, put in plan.put.items():
        target = folder / name
        if (place / put.file).is_file() and (file_digest(target) if target.is_file() else "") == put.before:
            files.replace(place / put.file, target)
    for name, digest in plan.remove.items():
        target = folder / name
        if target.is_file() and file_digest(target) == digest:
            files.remove(target)
    for parent in {(folder / name).parent for name in (*plan.put, *plan.remove)}:
        if parent.is_dir():
            files.sync_folder(parent)
    for name in plan.remove:
        for above in (folder / name).relative_to(folder).parents[:-1]:
            with suppress(OSError):
                (folder / above).rmdir()


def _listed(folder: Path) -> set[str]:
    """Our files: of the last export that ended, and of one that did not."""
    lists = (folder / _LIST, *sorted((folder / NOTES / "journal").glob("*.json")))
    return {name for path in lists if path.is_file() for name in read_notes(path)}


def _pieces(folder: Path, files: LocalFiles) -> dict[str, PieceNote]:
    """The files of a tree of patches, by piece."""
    notes = PieceNotes(folder, files)
    return {piece: notes.read(piece) or {} for piece in notes.pieces()}
