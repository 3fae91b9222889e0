"""A disk that is full, read-only or failing: one clear error, nothing left behind, nothing already made lost."""

import errno
import shutil
from pathlib import Path

import pytest

from tasks.schema.errors import StoreError
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tests.shards.faulty_files import CountingFiles
from tests.shards.sample_stages import build

NEEDS_ROOM = ("create", "sync", "link_exclusive")


class FailingFiles(CountingFiles):
    """The disk says no at write point `at` and at every later one that needs room."""

    def __init__(self, at: int, code: int) -> None:
        super().__init__()
        self._at, self._code = at, code

    def _before(self, operation: str) -> None:
        super()._before(operation)
        if len(self.log) > self._at and operation in NEEDS_ROOM:
            raise OSError(self._code, "disk")


@pytest.mark.parametrize(("code", "told"), [(errno.ENOSPC, "full"), (errno.EROFS, "read-only"), (errno.EIO, "failing")])
def test_a_disk_that_says_no_is_named_and_nothing_is_lost(tmp_path: Path, code: int, told: str) -> None:
    counting = CountingFiles()
    calm = realise(build(parts=1), Store(tmp_path / "calm", counting)).record
    last = max(n for n, operation in enumerate(counting.log) if operation in NEEDS_ROOM)
    for at in range(0, last + 1, 4):
        store = Store(tmp_path / f"at-{at}", FailingFiles(at, code))
        with pytest.raises(StoreError, match=told):
            realise(build(parts=1), store)
        assert list(store.tmp.glob("*")) == []
        assert not any(store.damaged(record) for record in store.records())
        assert realise(build(parts=1), Store(store.root)).record == calm


class VanishingFiles(CountingFiles):
    """The store's folder goes away at write point `at`; `replaced`: an empty one stands in its place."""

    def __init__(self, root: Path, at: int, *, replaced: bool) -> None:
        super().__init__()
        self._root, self._at, self._replaced = root, at, replaced

    def _before(self, operation: str) -> None:
        super()._before(operation)
        if len(self.log) - 1 == self._at:
            self._root.rename(self._root.with_suffix(".away"))
            if self._replaced:
                self._root.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_that_goes_away_is_told_and_goes_on_when_it_is_back(tmp_path: Path, *, replaced: bool) -> None:
    counting = CountingFiles()
    calm = realise(build(parts=1), Store(tmp_path / "calm", counting)).record
    for at in range(3, len(counting.log), 9):
        root = tmp_path / f"at-{at}"
        root.mkdir()
        with pytest.raises(StoreError, match="went away"):
            realise(build(parts=1), Store(root, VanishingFiles(root, at, replaced=replaced)))
        shutil.rmtree(root, ignore_errors=True)
        root.with_suffix(".away").rename(root)
        assert realise(build(parts=1), Store(root)).record == calm
        assert not any(Store(root).damaged(record) for record in Store(root).records())


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="is a file, or below one"):
        store.put(tmp_path / "file" / "deeper" / "page.html", b"")
