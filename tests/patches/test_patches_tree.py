"""The tree: its names, that it holds what it says, and that nobody else's file is touched."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from blake3 import blake3

from tasks.patches import pieces
from tasks.patches.pieces import SCRATCH_PREFIX, Scratch
from tasks.patches.stacks import Stacks
from tasks.patches.tree import PatchTree
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.files import LocalFiles
from tests.patches.patch_trees import RULES, Row, contents, patches, pictures, read, small_tree, windows, write
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, KilledFiles, PowerLossError

GENERAL, SPACE = "Universal/Mastermodell/Learn", "Space/SpaceModel/Learn"


def same(tree: PatchTree, row: Row, shown: Stacks, written: Row) -> None:
    for part, picture in (("gt", shown.gt), ("lr5", shown.lr5), ("lr7", shown.lr7)):
        path = tree.root / written[f"{part}_path"]
        assert np.array_equal(read(path), picture)
        assert written[f"{part}_bytes"] == path.stat().st_size
        assert written[f"{part}_digest"] == blake3(path.read_bytes()).hexdigest()


def test_the_tree_is_the_seeds(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    rows = windows(2)
    _, written = write(tree, rows)
    assert sorted(patches(tmp_path)) == sorted(
        f"{folder}/Patches/{part}/sintel_w00000{n}_{category}.png"
        for folder, category in ((GENERAL, "general"), (SPACE, "space"))
        for part in ("GT", "LR_5frames", "LR_7frames")
        for n in range(2)
    )
    for row, told in zip(rows, written, strict=True):
        same(tree, row, pictures(row), told)
    assert (tmp_path / GENERAL / "Val" / "GT").is_dir()
    assert not list((tmp_path / GENERAL / "Val" / "GT").iterdir())
    assert not list((tmp_path / ".mannequin" / "tmp").iterdir())


def test_sequences_are_what_loaders_of_vimeo_want(tmp_path: Path) -> None:
    tree = small_tree(tmp_path, "sequences")
    rows = windows(1)
    facts, written = write(tree, rows)
    for row, told in zip(rows, written, strict=True):
        shown = pictures(row)
        top = tmp_path / (GENERAL if row["category"] == "general" else SPACE) / "Patches" / "sequences"
        assert np.array_equal(read(top / "GT" / row["sample_id"] / "im4.png"), shown.gt)
        low = [top / "LR" / row["sample_id"] / f"im{n}.png" for n in range(1, 8)]
        for path, picture in zip(low, shown.lr, strict=True):
            assert np.array_equal(read(path), picture)
        assert tmp_path / told["lr5_path"] == tmp_path / told["lr7_path"] == low[0].parent
        assert told["lr7_bytes"] == sum(path.stat().st_size for path in low)
        assert told["lr5_digest"] == blake3(b"".join(path.read_bytes() for path in low[1:6])).hexdigest()
    assert len(patches(tmp_path)) == 2 * 8
    assert tree.holds(facts)


def test_both_layouts_at_once(tmp_path: Path) -> None:
    facts, written = write(small_tree(tmp_path, "both"), windows(1))
    assert len(patches(tmp_path)) == 2 * (3 + 8)
    assert written[0]["lr5_path"].endswith("LR_5frames/sintel_w000000_general.png")
    (tmp_path / GENERAL / "Patches/sequences/LR/sintel/w000000_general/im2.png").unlink()
    assert not small_tree(tmp_path, "both").holds(facts)


def test_missing_and_damaged_files_are_noticed(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    facts, written = write(tree, windows(2))
    assert tree.holds(facts)
    assert tree.damaged(facts) == []
    path = tmp_path / written[0]["lr5_path"]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    assert tree.holds(facts)
    assert tree.damaged(facts) == [written[0]["lr5_path"]]
    path.write_bytes(data[:-1])
    assert not tree.holds(facts)
    path.unlink()
    assert tree.damaged(facts) == [written[0]["lr5_path"]]
    assert write(tree, windows(2)) == (facts, written)
    assert tree.damaged(facts) == []


def test_a_tree_without_its_notes_holds_nothing(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    facts, _ = write(tree, windows(1))
    (tmp_path / ".mannequin" / "pieces" / f"{facts['piece']}.json").unlink()
    assert not tree.holds(facts)
    assert tree.damaged(facts) == [f".mannequin/pieces/{facts['piece']}.json"]
    with pytest.raises(StoreError, match="lacks the piece"):
        tree.finish([facts])


def test_a_piece_without_windows_is_always_there(tmp_path: Path) -> None:
    none = {"piece": "", "files": ""}
    tree = small_tree(tmp_path)
    assert tree.holds(none)
    assert tree.damaged(none) == []
    assert tree.finish([none]) == 0


def test_files_that_are_right_are_not_written_again(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    facts, _ = write(tree, windows(2))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert write(tree, windows(2))[0] == facts
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


def test_patches_of_an_earlier_rule_are_replaced_or_removed(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    rows = windows(2)
    old, _ = write(tree, rows, seed=1)
    with tree.piece(rows) as piece:
        tree.put(piece, rows[0], pictures(rows[0]), RULES)
        facts = {"piece": piece.name, "files": piece.end()}
    assert len(patches(tmp_path)) == 3
    assert tree.holds(facts)
    assert not tree.holds(old)


def test_a_file_of_somebody_else_is_in_the_way(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    theirs = tmp_path / GENERAL / "Patches" / "GT" / "sintel_w000000_general.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(ConfigError, match="not ours and in the way"):
        write(tree, windows(1))
    assert contents(tmp_path) == {str(theirs.relative_to(tmp_path)): b"theirs"}


def test_a_patch_that_somebody_replaced_is_theirs(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    _, written = write(tree, windows(1))
    (tmp_path / written[0]["gt_path"]).write_bytes(b"theirs")
    with pytest.raises(ConfigError, match="not ours and in the way"):
        write(tree, windows(1))
    assert tree.finish([]) == 5
    assert patches(tmp_path) == {written[0]["gt_path"]: b"theirs"}


@pytest.mark.parametrize("link", [GENERAL, f"{GENERAL}/Patches/GT", f"{GENERAL}/Patches/GT/sintel_w000000_general.png"])
def test_links_are_not_followed(tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "tree" / link).parent.mkdir(parents=True)
    (tmp_path / "tree" / link).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="leads out"):
        write(small_tree(tmp_path / "tree"), windows(1))
    assert not patches(elsewhere)


def test_names_do_not_lead_out(tmp_path: Path) -> None:
    row = {**windows(1)[0], "sample_id": "../w000000_general"}
    with pytest.raises(ConfigError):
        write(small_tree(tmp_path / "tree", "sequences"), [row])
    assert not list(tmp_path.glob("*.png"))


def test_finish_removes_pieces_that_are_gone_and_nothing_else(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    kept, _ = write(tree, windows(2))
    write(tree, windows(2, "avatar"))
    mine = tmp_path / GENERAL / "Val" / "GT" / "chosen.png"
    mine.write_bytes(b"mine")
    beside = tmp_path / GENERAL / "Patches" / "GT" / "beside.png"
    beside.write_bytes(b"beside")
    assert tree.finish([kept]) == 12
    assert tree.holds(kept)
    assert mine.read_bytes() == b"mine"
    assert beside.read_bytes() == b"beside"
    assert [path.stem for path in (tmp_path / ".mannequin" / "pieces").iterdir()] == [kept["piece"]]
    assert tree.finish([kept]) == 0
    assert tree.finish([]) == 12
    assert sorted(patches(tmp_path)) == sorted(str(path.relative_to(tmp_path)) for path in (mine, beside))
    assert not (tmp_path / SPACE / "Patches").exists()


def test_other_pieces_of_the_same_windows_take_their_files_over(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    write(tree, windows(4))
    now = [write(tree, windows(2))[0], write(tree, windows(2, first=2))[0]]
    before = patches(tmp_path)
    assert tree.finish(now) == 0
    assert patches(tmp_path) == before
    assert all(tree.holds(facts) for facts in now)


def test_a_temporary_folder_of_ones_own_is_left_empty(tmp_path: Path) -> None:
    made_in, root = tmp_path / "fast" / "disk", tmp_path / "tree"
    write(small_tree(root, temporary=made_in), windows(1))
    assert not list(made_in.iterdir())
    assert not (root / ".mannequin" / "tmp").exists()
    assert len(patches(root)) == 6


def test_a_temporary_folder_on_another_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    plain = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result | SimpleNamespace:
        found = plain(path, **options)
        return SimpleNamespace(st_dev=found.st_dev + 1, st_mode=found.st_mode) if path == other else found

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(ConfigError, match="another disk"):
        write(small_tree(tmp_path / "tree", temporary=other), windows(1))


def test_relative_folders_are_refused() -> None:
    with pytest.raises(ConfigError, match="absolute"):
        write(small_tree(Path("tree")), windows(1))


def test_a_disk_that_is_nearly_full_takes_no_more(tmp_path: Path) -> None:
    tree = small_tree(tmp_path, min_free_bytes=10**18)
    with pytest.raises(StoreError, match="make room"):
        write(tree, windows(1))
    assert not patches(tmp_path)
    assert not list((tmp_path / ".mannequin" / "tmp").iterdir())


class LyingFiles(LocalFiles):
    """A disk that writes zeros, once."""

    def __init__(self) -> None:
        self._left = 1

    def replace(self, source: Path, target: Path) -> None:
        if target.suffix == ".png" and self._left:
            self._left = 0
            source.write_bytes(bytes(source.stat().st_size))
        super().replace(source, target)


def test_what_is_read_again_is_what_was_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check the disk"):
        write(small_tree(tmp_path, files=LyingFiles()), windows(1))
    assert not patches(tmp_path)


def test_pieces_are_written_at_the_same_time(tmp_path: Path) -> None:
    films = [f"film{n}" for n in range(6)]
    tree, calm = small_tree(tmp_path / "many"), small_tree(tmp_path / "calm")
    with ThreadPoolExecutor(6) as pool:
        many = list(pool.map(lambda film: write(tree, windows(3, film)), films))
    assert many == [write(calm, windows(3, film)) for film in films]
    assert contents(tree.root) == contents(calm.root)


def test_the_same_piece_twice_at_once(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "twice")
    both = threading.Barrier(2)

    def work(_: int) -> object:
        both.wait()
        return write(tree, windows(6))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, range(2))
    assert first == second == write(small_tree(tmp_path / "calm"), windows(6))
    assert contents(tmp_path / "twice") == contents(tmp_path / "calm")


def test_scratch_of_the_dead_is_removed_and_that_of_the_living_is_not(tmp_path: Path) -> None:
    dead = tmp_path / f"{SCRATCH_PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "a.part").write_bytes(b"half")
    (tmp_path / f"{SCRATCH_PREFIX}unborn").mkdir()
    (tmp_path / "theirs").mkdir()
    with Scratch(tmp_path, LocalFiles()) as living, Scratch(tmp_path, LocalFiles()) as other:
        assert sorted(tmp_path.iterdir()) == sorted([living.folder, other.folder, tmp_path / "theirs"])
    assert list(tmp_path.iterdir()) == [tmp_path / "theirs"]


def in_child(tree: PatchTree, count: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            write(tree, windows(count))
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_write_points(top: Path, count: int, when: str, step: int) -> None:
    counting = CountingFiles()
    expected_facts, _ = write(small_tree(top / "calm", files=counting), windows(count))
    expected = contents(top / "calm")
    whole = patches(top / "calm")
    for at in range(0, len(counting.log), step):
        root = top / f"{when}-{at}"
        assert in_child(small_tree(root, files=KilledFiles(at, when)), count) == -signal.SIGKILL
        assert patches(root).items() <= whole.items(), at
        facts, _ = write(small_tree(root), windows(count))
        assert facts == expected_facts
        assert contents(root) == expected, at


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_some_write_points(tmp_path: Path, when: str) -> None:
    killed_at_write_points(tmp_path, 1, when, 5)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_write_point(tmp_path: Path, when: str) -> None:
    killed_at_write_points(tmp_path, 2, when, 1)


@pytest.mark.parametrize(
    ("seed", "step"), [(0, 4), *(pytest.param(seed, 1, marks=pytest.mark.slow) for seed in range(3))]
)
def test_power_lost_at_write_points(tmp_path: Path, seed: int, step: int) -> None:
    counting = CountingFiles()
    facts, _ = write(small_tree(tmp_path / "calm", files=counting), windows(1))
    whole = patches(tmp_path / "calm")
    for at in range(0, len(counting.log), step):
        root = tmp_path / f"power-{at}"
        with pytest.raises((PowerLossError, FileNotFoundError)):
            write(small_tree(root, files=ForgetfulFiles(at, seed)), windows(1))
        assert patches(root).items() <= whole.items(), at
        assert write(small_tree(root), windows(1))[0] == facts
        assert patches(root) == whole


def test_a_killed_piece_that_is_no_part_of_the_build_any_more(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    kept, _ = write(small_tree(root), windows(1, "avatar"))
    expected = contents(root)
    assert in_child(small_tree(root, files=KilledFiles(20, "after")), 2) == -signal.SIGKILL
    assert len(patches(root)) > 6
    with Scratch(root / ".mannequin" / "tmp", LocalFiles()):
        pass
    assert small_tree(root).finish([kept]) > 0
    assert contents(root) == expected


def test_a_damaged_note_is_told(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    facts, _ = write(tree, windows(1))
    note = tmp_path / ".mannequin" / "pieces" / f"{facts['piece']}.json"
    note.write_bytes(b"{")
    assert not tree.holds(facts)
    with pytest.raises(StoreError, match="damaged"):
        write(tree, windows(1))


def test_free_disk_is_that_of_the_tree(tmp_path: Path) -> None:
    pieces.demand_room(tmp_path, 0, 0)
    with pytest.raises(StoreError, match="GB left"):
        pieces.demand_room(tmp_path, 10**18, 0)
