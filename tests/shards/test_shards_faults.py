"""Killed at every write point, power lost at every write point, killed at random, run twice at once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tasks.shards.derive import Derivation, realise
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tests.shards.faulty_files import (
    OPERATIONS,
    CountingFiles,
    ForgetfulFiles,
    KilledFiles,
    PowerLossError,
    UnsyncedFiles,
)
from tests.shards.sample_stages import Gather, LimitConfig, MakeConfig, Unlike, build


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted((root / "shards").rglob("*")) if p.is_file()}


def in_child(work: Callable[[], object]) -> int:
    """Exit status of a forked child that does the work; negative: the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def one_part() -> Derivation:
    return build(parts=1)


def unlike_build() -> Derivation:
    return Derivation(Gather(LimitConfig(limit=25)), (Derivation(Unlike(MakeConfig())),))


def main(kind: str, folder: str, *more: str) -> None:
    """Run in a fresh interpreter, which forks cheaply and has no threads to lose; `more`: random kills, and a seed."""
    top = Path(folder)
    counting = CountingFiles()
    calm = Store(top / "calm", counting)
    in_child(lambda: realise(one_part(), calm))
    expected = tree(calm.root)
    counted = Store(top / "counted", counting)
    realise(one_part(), counted)
    points = len(counting.log)
    assert points > 50, points
    faults = {
        "some": partial(kill_everywhere, step=4),
        "kill": kill_everywhere,
        "random": kill_at_random,
        "power": lose_power,
        "two": two_at_once,
    }
    failures = faults[kind](top, points, expected, *map(int, more))
    print(f"{kind}: {points} write points, {len(failures)} failures {failures[:5]}")
    sys.exit(bool(failures))


def check(root: Path, expected: dict[str, bytes], name: str) -> list[str]:
    """What counts after the fault is whole; the next run completes it to the undisturbed bytes."""
    store = Store(root)
    torn = [name for record in store.records() if store.damaged(record)]
    status = in_child(lambda: realise(one_part(), store))
    store.sweep(older_than_s=-1)
    wrong = [] if status == 0 and tree(root) == expected and not list(store.tmp.iterdir()) else [f"{name}: rerun"]
    return torn + wrong


def kill_everywhere(top: Path, points: int, expected: dict[str, bytes], step: int = 1) -> list[str]:
    failures = []
    for at in range(0, points, step):
        for when in ("before", "after"):
            root = top / f"{at}-{when}"
            store = Store(root, KilledFiles(at, when))
            status = in_child(partial(realise, one_part(), store))
            if status != -signal.SIGKILL:
                failures.append(f"{at} {when}: not killed ({status})")
            failures += check(root, expected, f"{at} {when}")
    return failures


def kill_at_random(top: Path, points: int, expected: dict[str, bytes], kills: int = 60, seed: int = 0) -> list[str]:
    failures, killed, n = [], 0, 0
    draw = np.random.default_rng(seed)
    begun = time.monotonic()
    in_child(partial(realise, one_part(), Store(top / "undisturbed")))
    takes = time.monotonic() - begun
    while killed < kills and n < 4 * kills:
        root = top / f"random-{n}"
        child = os.fork()
        if child == 0:
            realise(one_part(), Store(root))
            os._exit(0)
        time.sleep(draw.uniform(0, takes))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        failures += check(root, expected, f"random {n}")
        n += 1
    print(f"{killed} kills")
    return failures if killed == kills else [*failures, f"only {killed} of {kills} were killed in time"]


def lose_power(top: Path, points: int, expected: dict[str, bytes]) -> list[str]:
    def lost(files: type[ForgetfulFiles], at: int, seed: int) -> list[str]:
        root = top / f"{files.__name__}-{at}-{seed}"

        def work() -> None:
            try:
                realise(one_part(), Store(root, files(at, seed)))
            except PowerLossError:
                os._exit(7)

        status = in_child(work)
        return ([] if status == 7 else [f"{at}: {status}"]) + check(root, expected, f"power {at}/{seed}")

    failures = [f for at in range(points) for seed in (0, 1) for f in lost(ForgetfulFiles, at, seed)]
    careless = [f for at in range(0, points, 3) for f in lost(UnsyncedFiles, at, 0)]
    return failures + ([] if careless else ["an engine that never syncs passed: the simulation does not bite"])


def two_at_once(top: Path, points: int, expected: dict[str, bytes]) -> list[str]:
    failures = []
    for n in range(10):
        for make, name in ((one_part, "same"), (unlike_build, "unlike")):
            root = top / f"{name}-{n}"
            children = []
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    realise(make(), Store(root))
                    os._exit(0)
                children.append(child)
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            records = Counter(r.key for r in Store(root).records())
            files = list((root / "shards").rglob("shard-*.parquet"))
            single = set(records.values()) == {1} and len(files) == len(records)
            same = tree(root) == expected if make is one_part else True
            if statuses != [0, 0, 0] or not single or not same or list(Store(root).tmp.iterdir()):
                failures.append(f"{name} {n}: {statuses}, {len(files)} files, {len(records)} records")
    return failures


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["some", "two", "kill", "power", "random"])
def test_nothing_is_lost_doubled_or_changed(kind: str, tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.shards.test_shards_faults", kind, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "0 failures" in done.stdout


def test_every_write_of_the_engine_goes_through_the_enumerated_operations() -> None:
    public = {name for name, what in vars(LocalFiles).items() if not name.startswith("_") and callable(what)}
    reads = {"read", "has", "has_any", "has_size", "stamp", "ages"}
    of_buckets = {"share", "fresh", "bring", "renew", "discard", "alone"}  # nothing is written where a folder counts
    assert public - reads - of_buckets == {*OPERATIONS, "make_folder"}


if __name__ == "__main__":
    main(*sys.argv[1:])
