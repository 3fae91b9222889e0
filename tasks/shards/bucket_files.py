"""The files of a store that a bucket holds: what is written here is written there first, and only there it counts.

The folder of the store is this machine's working copy: removing it loses nothing, and another machine has its own. Of
what lies below it only `KEPT` is in the bucket, under the same relative names; temporary files, marks of attempts,
times, downloads, controls, exports, reports and previews are this machine's alone.

<root>/bucket.json     which bucket the folder is a working copy of
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import md5
from os import utime
from pathlib import Path
from typing import Final
from uuid import uuid4

from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.records import DataFile
from tasks.shards.bucket import Bucket, Listed
from tasks.shards.files import LocalFiles, Stamp, disk_errors_explained, has_size, is_whole, temporary

KEPT: Final = ("shards", "builds", "ledgers", "verdicts", "forgotten", "remembered_faces", "running")
"""Folders of a store that are in its bucket."""

NOTE: Final = "bucket.json"
_OPEN: Final = "open"
"""Name of the empty object that stands for a folder which is to be there while nothing is in it."""

_BULKY: Final = (".parquet", ".part")
"""Ends of names of files that come when somebody reads them."""

_LOCAL: Final = ("lock",)
"""Names of files that say something of this machine alone."""

_AT_ONCE: Final = 8
"""Objects read side by side."""


class BucketFiles(LocalFiles):
    """See the module; `root` is the folder of the store."""

    beyond = (
        "Working copies of the store on other machines: `mannequin verify` there removes it from each.",
        "Exports, reports, previews and downloads on other machines: take it out of them yourself.",
        "Older versions of objects, where the bucket keeps such: remove them yourself.",
    )

    def __init__(self, root: Path, bucket: Bucket) -> None:
        self.root, self.bucket, self.place = root, bucket, bucket.place

    def sync_folder(self, folder: Path) -> None:
        """Names in a bucket are durable, and a copy need not be."""
        if self._name(folder) is None:
            super().sync_folder(folder)

    def replace(self, source: Path, target: Path) -> None:
        """Put the file in the bucket, then let the working copy have it. A folder goes file by file."""
        name, old = self._name(target), self._name(source)
        if name is None:
            super().replace(source, target)
        elif source.is_dir():
            self._move_folder(source, target)
        else:
            if old is not None and not source.exists():
                self.renew(source)
            self.bucket.put(source, name)
            super().replace(source, target)
            if old is not None:
                self.bucket.remove(old)

    def link_exclusive(self, source: Path, target: Path) -> bool:
        name = self._name(target)
        if name is None:
            return super().link_exclusive(source, target)
        if not source.exists():
            self.renew(source)
        if not self.bucket.put_new(source.read_bytes(), name):
            if target.suffix not in _BULKY:
                self.renew(target)
            return False
        target.unlink(missing_ok=True)
        super().link_exclusive(source, target)
        return True

    def remove(self, path: Path) -> None:
        name = self._name(path)
        if name is not None:
            self.bucket.remove(name)
        super().remove(path)

    def share(self, path: Path) -> None:
        name = self._name(path)
        if name is not None:
            self.bucket.put(path, name)

    def make_folder(self, folder: Path) -> None:
        name = self._name(folder)
        if name is not None:
            self.bucket.put_new(b"", f"{name}/{_OPEN}")
        super().make_folder(folder)

    def read(self, path: Path) -> bytes:
        name = self._name(path)
        return super().read(path) if name is None else self.bucket.read(name)

    def has(self, path: Path) -> bool:
        name = self._name(path)
        return super().has(path) if name is None else self.bucket.size(name) is not None

    def has_any(self, folder: Path) -> bool:
        name = self._name(folder)
        return super().has_any(folder) if name is None else self.bucket.holds_any(name)

    def has_size(self, path: str, size: int) -> bool:
        """Here, or else in the bucket: data files are named by their digest."""
        if super().has_size(path, size):
            return True
        name = self._name(Path(path))
        return name is not None and self.bucket.size(name) == size

    @contextmanager
    def alone(self, mark: Path) -> Iterator[None]:
        """See `LocalFiles`. What a killed call left is taken over in the same working copy: the caller sees to it that
        nobody else works there.

        Raises:
            StoreError: another machine is at it, or was killed.
        """
        name, own = str(self._name(mark)), self._own_name()
        while not self.bucket.put_new(own, name):
            holder = self._holder(name)
            if holder is None:
                continue
            if holder == own:
                break
            raise StoreError(
                f"On another machine something is being forgotten in the store at {self.bucket.place}, or that was "
                f"interrupted: wait, or finish it there. If that machine is gone, remove {self.bucket.place}/{name}, "
                "then run again."
            )
        try:
            yield
        finally:
            with suppress(StoreError):  # what went wrong before it is what is told
                self.bucket.remove(name)

    def _holder(self, name: str) -> bytes | None:
        try:
            return self.bucket.read(name)
        except FileNotFoundError:
            return None

    def _own_name(self) -> bytes:
        """A name of this working copy."""
        return json.dumps({"copy": json.loads((self.root / NOTE).read_bytes())["copy"]}).encode()

    def stamp(self, folder: Path) -> Stamp | None:
        name = self._name(folder)
        if name is None:
            return super().stamp(folder)
        return tuple((each, listed.etag) for each, listed in self.bucket.listing(name)) or None

    def ages(self, folder: Path, pattern: str) -> dict[Path, float]:
        name = self._name(folder)
        if name is None:
            return super().ages(folder, pattern)
        there = {self.root / each: listed.modified.timestamp() for each, listed in self.bucket.listing(name)}
        return {path: age for path, age in there.items() if path.relative_to(folder).match(pattern)}

    def fresh(self, folder: Path) -> None:
        """Let the working copy of a folder hold the small files that the bucket holds, and no file that it does not;
        of the root: all that is in the bucket.
        """
        if folder == self.root:
            for kept in KEPT:
                self.fresh(folder / kept)
        name = self._name(folder)
        if name is None:
            return
        here = [path for path in folder.rglob("*") if path.is_file()]  # first: what comes meanwhile is there
        there = {self.root / each: listed for each, listed in self.bucket.listing(name)}
        for path in here:
            if path not in there and path.suffix != ".part" and path.name not in _LOCAL:
                super().remove(path)
                with suppress(OSError):
                    path.parent.rmdir()
        old = [each for each in there.items() if each[0].suffix not in _BULKY and not _is_same(*each)]
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            for _ in pool.map(self._copy, old):
                pass

    def bring(self, path: Path, file: DataFile) -> bool:
        if self._name(path) is None or has_size(path, file.size):
            return True
        self.renew(path)
        whole = is_whole(path, file)
        if not whole:
            super().remove(path)
        return whole

    def renew(self, path: Path) -> None:
        name = self._name(path)
        if name is None:
            return
        written = temporary(self.root / "tmp")
        with disk_errors_explained(self.root):
            written.parent.mkdir(parents=True, exist_ok=True)
            try:
                if self.bucket.fetch(name, written):
                    super().replace(written, path)
                else:
                    super().remove(path)
            finally:
                super().remove(written)

    def discard(self, path: Path, file: DataFile) -> bool:
        if self._name(path) is None or not path.exists() or is_whole(path, file):
            return False
        super().remove(path)
        return True

    def _copy(self, found: tuple[Path, Listed]) -> None:
        path, listed = found
        self.renew(path)
        with suppress(FileNotFoundError):
            utime(path, (listed.modified.timestamp(),) * 2)  # builds are ordered by the age of their files

    def _move_folder(self, source: Path, target: Path) -> None:
        old, new = self._name(source), self._name(target)
        names = [each for each, _ in self.bucket.listing(old)] if old is not None else []
        for name in names:
            self.replace(self.root / name, self.root / f"{new}{name.removeprefix(str(old))}")
        for folder in (*sorted((each for each in source.rglob("*") if each.is_dir()), reverse=True), source):
            with suppress(OSError):
                folder.rmdir()

    def _name(self, path: Path) -> str | None:
        """The name of a file in the bucket; None: it is this machine's alone."""
        if not path.is_relative_to(self.root):
            return None
        below = path.relative_to(self.root)
        return below.as_posix() if below.parts and below.parts[0] in KEPT and below.name not in _LOCAL else None


def _is_same(path: Path, listed: Listed) -> bool:
    """Whether a small file is the object that was listed: an ETag is the MD5 of what was put whole and is not
    encrypted with a key of the bucket's owner; of others the working copy is read again.
    """
    try:
        return has_size(path, listed.size) and md5(path.read_bytes(), usedforsecurity=False).hexdigest() in listed.etag
    except FileNotFoundError:
        return False


def working_copy(root: Path, bucket: Bucket) -> BucketFiles:
    """The files of a store in a bucket, for a folder that is a working copy of it or holds no store yet.

    Raises:
        ConfigError: the folder is a store of its own, or the working copy of another bucket.
        StoreError: the bucket is not there, or cannot be used.
    """
    said = copied_from(root)
    if said not in ("", bucket.place):
        raise ConfigError(f"{root} is the working copy of {said}: give the store {bucket.place} another folder.")
    if not said:
        if any((root / kept).exists() for kept in KEPT):
            raise ConfigError(f"{root} is a store of its own: give the store {bucket.place} another folder.")
        bucket.holds_any("builds")
        files = LocalFiles()
        written = temporary(root / "tmp")
        with disk_errors_explained(root), files.create(written) as stream:
            stream.write(json.dumps({"url": bucket.place, "copy": uuid4().hex}).encode())
            files.sync(stream)
        files.replace(written, root / NOTE)
    return BucketFiles(root, bucket)


def copied_from(root: Path) -> str:
    """The url of the bucket that a folder is a working copy of; empty: it is none."""
    try:
        return str(json.loads((root / NOTE).read_bytes())["url"])
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{root / NOTE} does not read: remove the folder, it is a copy of a bucket.") from error
