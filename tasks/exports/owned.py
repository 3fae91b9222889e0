"""A folder that we share with others: we know our own files, replace only those, and remove only those.

<folder>/contents.json             what the export holds, and verify.py, which checks it: see `tasks.exports.contents`
<folder>/.mannequin/files.json     our files as of the last export that ended: name -> [digest, what it was made from,
                                   what contents.json says of it]
<folder>/.mannequin/journal/       the same of files that an export is about to write; gone when it has ended
<folder>/.mannequin/beside.json    the same of files that others look after and contents.json lists as well
<folder>/.mannequin/tmp/           files in the making; gone when it has ended
<folder>/.mannequin/lock           one export at a time

A file is noted in the journal before it gets its name, so that a killed export never leaves a file that we do not know.
The order at the end: verify.py and contents.json when all files have their names; then what is in no list any more
goes; then files.json; then the journal. So contents.json is the old one or the new one, whole, and while the journal is
there verify.py says that the export has not ended.
"""

import fcntl
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import uuid4

from blake3 import blake3

from tasks.exports.contents import (
    CONTENTS,
    VERIFY,
    Disjoint,
    FileFacts,
    MadeBy,
    Note,
    contents_bytes,
    digest_of,
    learn_facts,
    notes_bytes,
    read_notes,
    verify_bytes,
)
from tasks.schema.errors import ConfigError
from tasks.shards.files import LocalFiles, disk_errors_explained, file_digest

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"
_SYNCS_AT_ONCE = 8

TURN_S = 600.0
"""How long an export waits for another one of the same folder."""


@dataclass(frozen=True)
class FolderChange:
    """How many files an export wrote, found right already, and removed because the build has them no more.

    contents.json and verify.py do not count; `contents` is the BLAKE2b-256 of the former, for `verify.py --expect`.
    """

    written: int
    kept: int
    removed: int
    contents: str


def write_synced(files: LocalFiles, contents: Mapping[Path, bytes]) -> None:
    """Create files and sync them, several at a time: a disk syncs eight in hardly more time than one."""

    def write(path: Path, data: bytes) -> None:
        with files.create(path) as stream:
            stream.write(data)
            files.sync(stream)

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(write, contents.keys(), contents.values()):
            pass


class OwnedFolder:
    """A running export into a folder; a context manager.

    Raises:
        ConfigError: the folder is not absolute, another export writes into it, or a file of somebody else's is in the
            way.
        StoreError: our list of files in it is damaged, or the disk does not take more.
    """

    def __init__(self, folder: Path, files: LocalFiles) -> None:
        if not folder.is_absolute():
            raise ConfigError(f"The folder of an export must be an absolute path, not {folder}.")
        self.folder = folder
        self._files = files
        self._ours = folder / ".mannequin"
        self._tmp = self._ours / "tmp"
        self._journal = self._ours / "journal"
        self._known: dict[str, dict[str, Note]] = {}
        self._now: dict[str, Note] = {}
        self._disjoint: list[Disjoint] = []
        self._written = self._kept = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(disk_errors_explained(self.folder))
            for folder in (self._tmp, self._journal):
                folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((self._ours / "lock").open("wb"))
            self._take_turn(lock)
            self._clear_temporary()
            self._known = self._read_lists()
            for name in (VERIFY, CONTENTS):
                self._demand_free(name)
            self._stack = stack.pop_all()
        return self

    def _take_turn(self, lock: IO[bytes]) -> None:
        """Wait until no other export writes into the folder."""
        deadline = time.monotonic() + TURN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(f"Another export has been writing into {self.folder} for {TURN_S} s.") from error
                time.sleep(0.1)
            else:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            self._clear_temporary()
        finally:
            swallowed = self._stack.__exit__(kind, error, trace)
        return swallowed

    def temporary(self) -> Path:
        """A name in the folder's file system for a file in the making."""
        return self._tmp / f"{uuid4().hex}.part"

    def is_free(self, name: str) -> bool:
        """Whether a name may be given: nothing stands there, or a file of ours."""
        return name in self._known or not (self.folder / name).exists()

    def keep(self, name: str, made_from: str) -> bool:
        """Keep a file that an earlier export made from the same and nobody has changed; False: there is none."""
        known = {digest: note.made_from for digest, note in self._known.get(name, {}).items()}
        path = self.folder / name
        if made_from not in known.values() or self._is_redirected(name) or not path.is_file():
            return False
        digest = file_digest(path)
        if known.get(digest) != made_from:
            return False
        self._book(name, digest, made_from)
        self._kept += 1
        return True

    def put(self, contents: Mapping[str, bytes], made_from: Mapping[str, str] | None = None) -> None:
        """Make files hold these bytes, each at once or not at all. Names are relative, with `/`.

        Args:
            made_from: name -> what decides the bytes, for `keep` of a later export.
        """
        changed = {
            name: self.temporary()
            for name, data in contents.items()
            if not self._is_right(name, len(data), blake3(data).hexdigest(), (made_from or {}).get(name, ""))
        }
        write_synced(self._files, {path: contents[name] for name, path in changed.items()})
        self._place(changed)

    def adopt(self, name: str, finished: Path) -> None:
        """Give a finished, synced temporary file its name; a file of that name and digest stays as it is."""
        self.adopt_all({name: finished})

    def adopt_all(self, finished: Mapping[str, Path]) -> None:
        """`adopt` of files that belong together: they get their names one right after the other."""
        changed = {}
        for name, path in finished.items():
            if self._is_right(name, path.stat().st_size, file_digest(path), ""):
                self._files.remove(path)
            else:
                changed[name] = path
        self._place(changed)

    def declare(self, *disjoint: Disjoint) -> None:
        """Say which splits share nothing; contents.json holds it, verify.py checks it."""
        self._disjoint += disjoint

    def finish(self, made_by: MadeBy | None = None, beside: Mapping[str, str] | None = None) -> FolderChange:
        """List what is there now, remove what earlier exports wrote and this one did not, and note what is ours.

        Args:
            made_by: the build, for contents.json.
            beside: further files of the export, which the caller looks after: name -> BLAKE3.
        """
        written, kept = self._written, self._kept
        told = self._write_contents(made_by, beside or {})
        removed = 0
        for name in sorted(self._known.keys() - self._now.keys()):
            path = self.folder / name
            if path.is_file() and not self._is_redirected(name) and file_digest(path) in self._known[name]:
                self._files.remove(path)
                removed += 1
        self._write_if_other(self._ours / "files.json", notes_bytes(self._now))
        for path in self._journal.iterdir():
            self._files.remove(path)
        self._journal.rmdir()
        self._tmp.rmdir()
        return FolderChange(written, kept, removed, told)

    def _write_contents(self, made_by: MadeBy | None, beside: Mapping[str, str]) -> str:
        """Write verify.py and contents.json; the digest of the latter."""
        self._learn({name: self.folder / name for name in self._now})
        facts = {name: note.facts for name, note in self._now.items() if note.facts is not None}
        facts |= self._facts_beside(beside)
        script = verify_bytes()
        facts[VERIFY] = FileFacts(len(script), digest_of(script))
        listed = contents_bytes(facts, self._disjoint, made_by)
        self.put({VERIFY: script, CONTENTS: listed})
        return digest_of(listed)

    def _facts_beside(self, beside: Mapping[str, str]) -> dict[str, FileFacts]:
        """The facts of files that others look after, noted for the next time."""
        path = self._ours / "beside.json"
        noted = read_notes(path) if path.exists() else {}
        notes = {name: noted.get(name, Note("")) for name in beside}
        facts = {name: note.facts for name, note in notes.items() if note.facts and note.digest == beside[name]}
        facts |= learn_facts({name: (self.folder / name, beside[name]) for name in beside.keys() - facts.keys()})
        if beside or noted:
            new = {name: Note(digest, facts=facts[name]) for name, digest in beside.items()}
            self._write_if_other(path, notes_bytes(new))
        return facts

    def _learn(self, files: Mapping[str, Path]) -> None:
        """Note the facts of booked files that lie under these paths, where they are not known."""
        wanted = {name: (path, self._now[name].digest) for name, path in files.items() if not self._now[name].facts}
        for name, facts in learn_facts(wanted):
            self._now[name] = replace(self._now[name], facts=facts)

    def _clear_temporary(self) -> None:
        for path in self._tmp.glob("*.part"):
            self._files.remove(path)

    def _is_right(self, name: str, size: int, digest: str, made_from: str) -> bool:
        """Whether the file is there already; books the name."""
        self._book(name, digest, made_from)
        path = self.folder / name
        right = path.is_file() and path.stat().st_size == size and file_digest(path) == digest
        if right:
            self._kept += 1
        else:
            self._demand_free(name)
        return right

    def _demand_free(self, name: str) -> None:
        if not self.is_free(name):
            raise ConfigError(
                f"{self.folder / name} is not ours and in the way: move it, or export into another folder."
            )

    def _book(self, name: str, digest: str, made_from: str) -> None:
        if re.fullmatch(_NAME, name) is None or name in self._now or self._is_redirected(name):
            raise ConfigError(f"{name!r} is no place for a file of the export in {self.folder}.")
        known = self._known.get(name, {}).get(digest, Note(digest))
        self._now[name] = replace(known, made_from=made_from)

    def _is_redirected(self, name: str) -> bool:
        """Whether a link stands between the folder and the file, so that it would lie elsewhere."""
        path = self.folder / name
        below = [path, *list(path.parents)[: name.count("/")]]
        return any(each.is_symlink() for each in below)

    def _place(self, changed: Mapping[str, Path]) -> None:
        if not changed:
            return
        self._learn(changed)
        self._write_list(self._journal / f"{uuid4().hex}.json", notes_bytes({n: self._now[n] for n in changed}))
        for name, path in changed.items():
            self._files.replace(path, self.folder / name)
        for folder in sorted({(self.folder / name).parent for name in changed}):
            self._files.sync_folder(folder)
        self._written += len(changed)

    def _write_list(self, path: Path, data: bytes) -> None:
        written = self.temporary()
        write_synced(self._files, {written: data})
        self._files.replace(written, path)
        self._files.sync_folder(path.parent)

    def _write_if_other(self, path: Path, data: bytes) -> None:
        if not path.is_file() or path.read_bytes() != data:
            self._write_list(path, data)

    def _read_lists(self) -> dict[str, dict[str, Note]]:
        """Name -> digest -> note of every file that is or may be ours."""
        known: dict[str, dict[str, Note]] = {}
        for path in (self._ours / "files.json", *sorted(self._journal.iterdir())):
            if path.exists():
                for name, note in read_notes(path).items():
                    known.setdefault(name, {})[note.digest] = note
        return known
