"""The few durable operations on a local disk that the engine is built from; every write point of the engine is here."""

import errno
import os
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, ClassVar
from uuid import uuid4

from blake3 import blake3

from tasks.schema.errors import StoreError
from tasks.schema.records import DataFile

Stamp = Hashable


class LocalFiles:
    """Temporary names, fsync, exclusive creation. Tests subclass it to crash at every operation.

    `tasks.shards.bucket_files` does the same where a bucket is what counts; there the later ones differ, which a folder
    that is the store itself has little use for.
    """

    place: str = ""
    """The bucket that holds the files; empty: none does."""

    beyond: ClassVar[tuple[str, ...]] = ()
    """Sentences on what is left of a removed file where we do not reach."""

    def create(self, path: Path) -> IO[bytes]:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb", buffering=1 << 20)

    def sync(self, stream: IO[bytes]) -> None:
        """Flush and fsync an open file."""
        stream.flush()
        os.fsync(stream.fileno())

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over whatever is there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)

    def link_exclusive(self, source: Path, target: Path) -> bool:
        """Give `source` a second name; False if the name is taken.

        Raises:
            StoreError: the file system has no hard links.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOTSUP, errno.EXDEV):
                raise StoreError(f"The store needs a file system with hard links: {target.parent} has none.") from error
            raise
        return True

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        with suppress(FileNotFoundError):
            path.unlink()

    def share(self, path: Path) -> None:
        """Let everybody see a file that was created in its place."""

    def make_folder(self, folder: Path) -> None:
        """Make an empty folder, unless it is there."""
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, path: Path) -> bytes:
        """The bytes that count.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return path.read_bytes()

    def has(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.exists()

    def has_any(self, folder: Path) -> bool:
        """Whether there is such a folder."""
        return os.path.isdir(folder)  # noqa: PTH112 - every task asks

    def has_size(self, path: str, size: int) -> bool:
        """Whether there is such a file of this size."""
        return has_size(path, size)

    @contextmanager
    def alone(self, mark: Path) -> Iterator[None]:  # noqa: ARG002 - see the class
        """Work that may be done on one machine at a time; `mark` is where that is written down."""
        yield

    def stamp(self, folder: Path) -> Stamp | None:
        """Changes whenever a file is added to a folder; None: there is no such folder."""
        try:
            found = os.stat(folder)  # noqa: PTH116 - every stage that runs asks
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def ages(self, folder: Path, pattern: str) -> dict[Path, float]:
        """Files below a folder whose paths match -> when they were changed, in s since 1970."""
        return {path: changed(path) for path in folder.glob(pattern)}

    def fresh(self, folder: Path) -> None:
        """Bring a folder of small files up to date."""

    def bring(self, path: Path, file: DataFile) -> bool:  # noqa: ARG002 - see the class
        """Have a data file here; False: there is none, or its bytes are not those that `file` promises."""
        return True

    def renew(self, path: Path) -> None:
        """Have a file here as it is now, whatever was here."""

    def discard(self, path: Path, file: DataFile) -> bool:  # noqa: ARG002 - see the class
        """Remove a damaged copy; False: this is no copy, or a whole one."""
        return False


def has_size(path: str | Path, size: int) -> bool:
    """Whether there is such a file of this size."""
    try:
        return os.stat(path).st_size == size  # noqa: PTH116 - a hit is two of these, and Path doubles their cost
    except FileNotFoundError:
        return False


def is_whole(path: Path, file: DataFile) -> bool:
    """Whether there is a file with these very bytes; reads all of them."""
    return has_size(path, file.size) and file_digest(path) == file.digest


def changed(path: Path) -> float:
    """When a file was changed last, in s since 1970; now, if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


class HashingWriter:
    """A write-only stream that knows the digest and size of what went through."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = blake3()
        self.size = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data)
        self._digest.update(view)
        self._stream.write(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """The stream is flushed once, by `LocalFiles.sync`."""

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def file_digest(path: Path) -> str:
    """The BLAKE3 of a file's bytes, in hex: the digest of every data file.

    BLAKE3 rather than SHA-256: 3.8 against 0.33 GiB/s on processors without SHA instructions, where hashing what a
    stage reads and writes would cost more than the reading and writing.
    """
    digest = blake3()
    with path.open("rb", buffering=0) as stream:
        buffer = bytearray(1 << 20)
        view = memoryview(buffer)
        while size := stream.readinto(buffer):
            digest.update(view[:size])
    return digest.hexdigest()


def temporary(folder: Path) -> Path:
    """A name that nobody else uses; `sweep` removes what is left under it after a day."""
    return folder / f"{uuid4().hex}.part"


@contextmanager
def disk_errors_explained(place: Path) -> Iterator[None]:
    """Turn "no space", "read-only" and "gone" into a StoreError that names the place.

    Raises:
        StoreError: the block raised an OSError that a person has to mend.
    """
    try:
        yield
    except OSError as error:
        told = {
            errno.ENOSPC: "is full: make room, then run again; nothing already made is lost",
            errno.EDQUOT: "is over its quota: make room, then run again; nothing already made is lost",
            errno.EROFS: "is read-only",
            errno.ENOTDIR: "is a file, or below one",
            errno.EACCES: "does not let us write",
            errno.EIO: "has a failing disk (input/output error)",
        }.get(error.errno or 0)
        if told is None:
            raise
        raise StoreError(f"The store at {place} {told}.") from error
