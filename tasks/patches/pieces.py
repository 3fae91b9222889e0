"""The files of a piece of a film, in a folder that many pieces and other people write into at once.

<root>/.mannequin/pieces/<piece>.json   the files of a piece: name -> [size, BLAKE3], or null while it is being written
<root>/.mannequin/tmp/                  files in the making, or in a temporary folder of the same file system

A piece notes every name that it may write before the first file gets its name, so that whatever is killed never leaves
a file that we do not know. A file is ours if a note of a piece that ended has its digest, or that of one that did not
end has its name.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Final, Self
from uuid import uuid4

from blake3 import blake3
from pydantic import Field, TypeAdapter, ValidationError

from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.files import LocalFiles, disk_errors_explained, file_digest

NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*"
SCRATCH_PREFIX: Final = "mannequin-patches-"

Written = tuple[int, str]
"""Size in bytes and BLAKE3 of a file."""

Note = dict[str, Written | None]
"""Name -> what the file holds; None: it may be there, and then it is ours."""

_NOTE = TypeAdapter(
    dict[
        Annotated[str, Field(pattern=f"^{NAME}$")],
        tuple[Annotated[int, Field(ge=0)], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] | None,
    ]
)


class Notes:
    """What all pieces of a tree have written, or may have."""

    def __init__(self, root: Path, files: LocalFiles) -> None:
        self._folder = root / ".mannequin" / "pieces"
        self._files = files

    def read(self, piece: str) -> Note | None:
        """The note of a piece; None: there is none.

        Raises:
            StoreError: it is damaged.
        """
        path = self._path(piece)
        try:
            return dict(_NOTE.validate_json(path.read_bytes()))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreError(f"{path} is damaged: remove it; files that it named then stay.") from error

    def bytes_of(self, piece: str) -> bytes | None:
        """The note of a piece as it is on disk."""
        with suppress(FileNotFoundError):
            return self._path(piece).read_bytes()
        return None

    def pieces(self) -> list[str]:
        """All that have a note, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def write(self, piece: str, note: Note, scratch: Path) -> None:
        """Replace the note of a piece, at once and for good."""
        part = scratch / f"{uuid4().hex}.part"
        with self._files.create(part) as stream:
            stream.write(note_bytes(note))
            self._files.sync(stream)
        self._files.replace(part, self._path(piece))
        self._files.sync_folder(self._folder)

    def remove(self, piece: str) -> None:
        self._files.remove(self._path(piece))

    def _path(self, piece: str) -> Path:
        return self._folder / f"{piece}.json"


def note_bytes(note: Note) -> bytes:
    """A note as it is on disk; equal notes have equal bytes."""
    return json.dumps(dict(sorted(note.items())), indent=0).encode()


class Piece:
    """A piece that is being written; a context manager. May be used by one thread after the other.

    Raises:
        ConfigError: the root is not absolute, the temporary folder lies on another file system, a name leads out of the
            root or through a link, or a file of somebody else's has it.
        StoreError: a note is damaged, or the disk does not take more.
    """

    def __init__(
        self, root: Path, name: str, names: Collection[str], *, temporary: Path | None, files: LocalFiles
    ) -> None:
        if not root.is_absolute() or (temporary is not None and not temporary.is_absolute()):
            raise ConfigError(f"Folders of patches must be absolute paths, not {root} and {temporary}.")
        self.root, self.name = root, name
        self._names = frozenset(names)
        self._files = files
        self._base = temporary or root / ".mannequin" / "tmp"
        self._notes = Notes(root, files)
        self._written: Note = {}
        self._before: set[str] = set()
        self._stack = ExitStack()
        self._scratch = Path()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(disk_errors_explained(self.root))
            for folder in (self.root, self._base):
                folder.mkdir(parents=True, exist_ok=True)
            demand_same_disk(self.root, self._base)
            self._scratch = stack.enter_context(Scratch(self._base, self._files)).folder
            earlier = self._notes.read(self.name) or {}
            for name in sorted(self._names | earlier.keys()):
                self._look_at(name, earlier)
            self._notes.write(self.name, {**earlier, **dict.fromkeys(self._names)}, self._scratch)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def put(self, contents: Mapping[str, bytes]) -> dict[str, Written]:
        """Make files hold these bytes, each at once or not at all, and read each again.

        Raises:
            StoreError: what was read is not what was written.
        """
        parts: dict[str, Path] = {}
        written: dict[str, Written] = {}
        for name, data in contents.items():
            if name not in self._names or name in self._written:
                raise ValueError(f"{name} is no name of {self.name}, or was written before")
            written[name] = len(data), blake3(data).hexdigest()
            if not self._holds(name, written[name]):
                parts[name] = self._scratch / f"{uuid4().hex}.part"
                with self._files.create(parts[name]) as stream:
                    stream.write(data)
                    self._files.sync(stream)
        for name, path in parts.items():
            self._files.replace(path, self.root / name)
            if not self._holds(name, written[name]):
                self._files.remove(self.root / name)
                raise StoreError(f"{self.root / name} does not read as it was written: check the disk.")
        self._written.update(written)
        return written

    def end(self) -> str:
        """Remove what was there under names that were not written, and note what is; the digest of the note."""
        for name in sorted(self._before - self._written.keys()):
            self._files.remove(self.root / name)
        for folder in sorted({above for name in self._names for above in folders_of(self.root, name)}):
            if folder.is_dir():
                self._files.sync_folder(folder)
        self._notes.write(self.name, self._written, self._scratch)
        return blake3(note_bytes(self._written)).hexdigest()

    def _holds(self, name: str, written: Written) -> bool:
        return holds(self.root, name, written) and file_digest(self.root / name) == written[1]

    def _look_at(self, name: str, earlier: Note) -> None:
        """See whether there is a file under a name, and that it is ours."""
        if re.fullmatch(NAME, name) is None or is_redirected(self.root, name):
            raise ConfigError(f"{self.root / name} is no place for a patch: it leads out of {self.root}.")
        if not os.path.lexists(self.root / name):
            return
        # read again, this piece's too: whoever put the file there, be it now, wrote its note before
        notes = (self._notes.read(piece) or {} for piece in self._notes.pieces())
        if not any(is_ours(self.root, name, note) for note in chain([earlier], notes)):
            if name in self._names:
                raise ConfigError(f"{self.root / name} is not ours and in the way: move it, or choose another output.")
            return
        self._before.add(name)


class Scratch:
    """A folder of our own for files in the making, removed at the end; a context manager.

    It is locked while it is in use: folders of others that nobody uses any more are removed first.
    """

    def __init__(self, base: Path, files: LocalFiles) -> None:
        self._base = base
        self._files = files
        self.folder = Path()

    def __enter__(self) -> Self:
        for left in self._base.glob(f"{SCRATCH_PREFIX}*"):
            self._remove_left(left)
        while True:
            self.folder = self._base / f"{SCRATCH_PREFIX}{uuid4().hex}"
            self.folder.mkdir()
            with suppress(FileNotFoundError, BlockingIOError), ExitStack() as stack:
                lock = stack.enter_context((self.folder / "lock").open("xb"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (self.folder / "lock").exists():
                    self._lock: IO[bytes] = lock
                    stack.pop_all()
                    return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._clear(self.folder)

    def _remove_left(self, folder: Path) -> None:
        """Remove a folder whose user is gone; one killed before it took its lock left nothing in it."""
        try:
            lock = (folder / "lock").open("r+b")
        except FileNotFoundError:
            with suppress(OSError):
                folder.rmdir()
            return
        with lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear(folder)

    def _clear(self, folder: Path) -> None:
        for path in folder.glob("*.part"):
            self._files.remove(path)
        self._files.remove(folder / "lock")
        with suppress(OSError):
            folder.rmdir()


def demand_same_disk(root: Path, temporary: Path) -> None:
    """Files get their names at once only within one file system.

    Raises:
        ConfigError: the temporary folder lies on another one.
    """
    if _existing(root).stat().st_dev != _existing(temporary).stat().st_dev:
        raise ConfigError(
            f"temporary: {temporary} is on another disk than {root}, so that no file could be put in place at once: "
            "choose a folder on the same one, or none."
        )


def demand_room(root: Path, size: int, min_free_bytes: int) -> None:
    """Look whether a disk takes so many bytes more.

    Raises:
        StoreError: less than `min_free_bytes` would be left.
    """
    free = shutil.disk_usage(root).free
    if free - size < min_free_bytes:
        raise StoreError(
            f"The disk of {root} has {free / 1e9:.2f} GB left, and {min_free_bytes / 1e9:g} GB are to stay free: make "
            "room, then run again; pieces that are done are kept."
        )


def holds(root: Path, name: str, written: Written) -> bool:
    """Whether a file is there in its size."""
    try:
        return os.stat(f"{root}/{name}").st_size == written[0]  # noqa: PTH116 - hundreds of thousands of these
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_ours(root: Path, name: str, note: Note) -> bool:
    """Whether a note of ours accounts for the file that lies there."""
    if name not in note or not (root / name).is_file() or is_redirected(root, name):
        return False
    written = note[name]
    return written is None or (holds(root, name, written) and file_digest(root / name) == written[1])


def is_redirected(root: Path, name: str) -> bool:
    """Whether a link stands between the root and the file, so that it would lie elsewhere."""
    return (root / name).is_symlink() or any(folder.is_symlink() for folder in folders_of(root, name) if folder != root)


def folders_of(root: Path, name: str) -> Iterator[Path]:
    """The folders that a file lies in, up to and with the root."""
    path = root / name
    while path != root:
        path = path.parent
        yield path


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return path if path.exists() else _existing(path.parent)
