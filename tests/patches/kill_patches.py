"""Cuts the patches of a small film in forked processes, kills them, and compares the ends with an undisturbed run.

    python -m tests.patches.kill_patches FOLDER KILLS [STEP]

First at every STEPth write point of the tree and of the store, just before and just after it, then KILLS times at
random. A run that follows has to leave exactly the files of the undisturbed one, in the tree and in the store.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tasks.shards.derive import realise
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tests.patches.film_builds import patches_of, small_film, tree_of
from tests.patches.patch_trees import contents
from tests.shards.faulty_files import CountingFiles, KilledFiles


def run(home: Path, film: Path, files: LocalFiles | None = None) -> None:
    """All pieces of the film, and what is no part of them removed."""
    files = files or LocalFiles()
    store = Store(home / "store", files)
    stages = patches_of(film, store, home / "tree", windows=8, planning={"piece_s": 2.0, "skip_end": 0.02}, files=files)
    records = [realise(each, store).record for each in stages]
    tree_of(stages[0]).finish([record.facts for record in records])


def in_child(work: Callable[[], object], log: Path, kill_after_s: float | None = None) -> int:
    """Exit status of a forked child that does the work; negative: the signal that ended it."""
    child = os.fork()
    if child == 0:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state(home: Path) -> dict[str, bytes]:
    """All that a build leaves, but for what the store sweeps by itself after a day, and how long stages took."""
    Store(home / "store").sweep(older_than_s=-1)
    return {name: data for name, data in contents(home).items() if not name.startswith("store/times/")}


def wrong_after(home: Path, film: Path, expected: dict[str, bytes]) -> list[str]:
    """Half files under final names right after a kill, and what differs after the next run."""
    found = contents(home / "tree")
    whole = {name.removeprefix("tree/"): data for name, data in expected.items() if name.endswith(".png")}
    half = [f"{name} is half" for name, data in found.items() if name.endswith(".png") and whole.get(name) != data]
    status = in_child(partial(run, home, film), home.with_suffix(".log"))
    after = state(home)
    differ = sorted(name for name in expected.keys() | after.keys() if expected.get(name) != after.get(name))
    return half + [f"{home.name}: {name}" for name in differ] + ([f"{home.name}: ended {status}"] if status else [])


def main(folder: str, kills: str, step: str = "1") -> None:
    """Print what happened; exit status 1 where an end differs."""
    top = Path(folder)
    film = small_film(top / "small.mp4")
    counting = CountingFiles()
    run(top / "calm", film, counting)
    expected = state(top / "calm")
    wrong, killed = [], 0
    for at in range(0, len(counting.log), int(step)):
        for when in ("before", "after"):
            home = top / f"{when}-{at}"
            status = in_child(partial(run, home, film, KilledFiles(at, when)), home.with_suffix(".log"))
            if status != -signal.SIGKILL:
                wrong.append(f"{home.name}: was not killed but ended {status}")
            wrong += wrong_after(home, film, expected)
            killed += 1
    began = time.monotonic()
    in_child(partial(run, top / "timed", film), top / "timed.log")
    took = time.monotonic() - began
    draw = np.random.default_rng(0)
    number = random_kills = 0
    while random_kills < int(kills):
        home = top / f"random-{number}"
        for _ in range(2):
            ended = in_child(partial(run, home, film), home.with_suffix(".log"), draw.uniform(0, took / 2))
            random_kills += ended == -signal.SIGKILL
        wrong += wrong_after(home, film, expected)
        number += 1
    killed += random_kills
    print(f"{len(counting.log)} write points, {killed} kills, {len(expected)} files, {len(wrong)} wrong {wrong[:5]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
