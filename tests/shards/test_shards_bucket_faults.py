"""A store in a bucket: killed before and after every write to the bucket and to the working copy, and run at once."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import s3fs  # noqa: F401 - children that are forked find it loaded

from tasks.shards.bucket import Bucket
from tasks.shards.bucket_files import working_copy
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.shards.faulty_bucket import Points, TouchyBucket, TouchyFiles
from tests.shards.s3_server import bucket_at, s3_server
from tests.shards.sample_stages import KeepSmall, LimitConfig, Make, MakeConfig, Unlike
from tests.shards.test_shards_faults import in_child


def small_build() -> Derivation:
    """A shard, and one with rejects."""
    return Derivation(KeepSmall(LimitConfig(limit=7)), (Derivation(Make(MakeConfig(rows=12))),))


def unlike_build() -> Derivation:
    return Derivation(KeepSmall(LimitConfig(limit=1 << 40)), (Derivation(Unlike(MakeConfig(rows=12))),))


def objects(bucket: Bucket) -> dict[str, bytes]:
    return {name: bucket.read(name) for name, _ in bucket.listing("shards")}


def store_in(root: Path, bucket: Bucket) -> Store:
    return Store(root, working_copy(root, bucket))


def kill_everywhere(top: Path, endpoint: str, step: int, first: int) -> list[str]:
    calm = bucket_at(endpoint, "calm")
    in_child(lambda: realise(small_build(), store_in(top / "calm", calm)))
    told = top / "points"

    def count() -> None:
        bucket = TouchyBucket(f"s3://{calm.place.split('/')[2]}/counted", endpoint, "key", "secret")
        root = top / "counted"
        working_copy(root, bucket)
        realise(small_build(), Store(root, TouchyFiles(root, bucket)))
        told.write_text("\n".join(bucket.points.log))

    in_child(count)
    log = told.read_text().split("\n")
    assert log.count("put") == 3
    assert log.count("put_new") == 2
    failures = []
    for at in range(first, len(log), step):
        for when in ("before", "after"):
            failures += killed_at(top / f"{at}-{when}", endpoint, Points(at, when), calm)
    print(f"{len(log)} points: {' '.join(log)}")
    return failures


def killed_at(root: Path, endpoint: str, points: Points, calm: Bucket) -> list[str]:
    bucket = TouchyBucket(f"{calm.place.rpartition('/')[0]}/{root.name}", endpoint, "key", "secret", points)
    failures = []

    def work() -> None:
        working_copy(root, bucket)
        realise(small_build(), Store(root, TouchyFiles(root, bucket)))

    status = in_child(work)
    if status != -signal.SIGKILL:
        failures.append(f"{root.name}: not killed ({status})")
    return failures + (
        [f"{root.name}: rerun"] if in_child(partial(check, root, bucket_at(endpoint, root.name), calm)) else []
    )


def check(root: Path, bucket: Bucket, calm: Bucket) -> None:
    """What counts after the fault is whole for everybody; the next run completes it to the undisturbed bytes."""
    other = store_in(root.with_name(f"{root.name}-other"), bucket)
    assert not [record for record in other.records() if other.damaged(record)]
    store = store_in(root, bucket)
    realise(small_build(), store)
    store.sweep(older_than_s=-1)
    assert objects(bucket) == objects(calm)
    assert not list(store.tmp.iterdir())
    assert realise(small_build(), other).cached


def at_once(top: Path, endpoint: str, step: int, first: int) -> list[str]:
    """Three processes, on one machine and on three: one record a key, and its files alone."""
    failures = []
    for n in range(first, 6, step):
        for make, apart in ((small_build, True), (unlike_build, True), (unlike_build, False)):
            name = f"{make.__name__}-{apart}-{n}"
            bucket = bucket_at(endpoint, name)
            children = []
            for copy in range(3):
                child = os.fork()
                if child == 0:
                    root = top / name / (str(copy) if apart else "all")
                    outcome = realise(make(), store_in(root, bucket))
                    os._exit(0 if store_in(root, bucket).damaged(outcome.record) == [] else 3)
                children.append(child)
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            names = sorted(objects(bucket))
            records = store_in(top / name / "0", bucket).records()
            used = {f.name for r in records for f in (r.data, r.rejects) if f is not None}
            files = {each.rpartition("/")[2] for each in names if each.endswith(".parquet")}
            if statuses != [0, 0, 0] or len(records) != 2 or files != used:
                failures.append(f"{name}: {statuses}, {len(records)} records, {sorted(files - used)} are of nobody")
    return failures


def main(kind: str, folder: str, step: str, first: str) -> None:
    """Run in a fresh interpreter, which forks cheaply and has no threads to lose."""
    faults = {"kill": kill_everywhere, "at_once": at_once}
    with s3_server() as endpoint:
        failures = faults[kind](Path(folder), endpoint, int(step), int(first))
    print(f"{kind}: {len(failures)} failures {failures[:5]}")
    sys.exit(bool(failures))


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "step", "first"), [("kill", 3, 0), ("kill", 3, 1), ("kill", 3, 2), ("at_once", 1, 0)])
def test_nothing_is_lost_doubled_or_changed(kind: str, step: int, first: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.shards.test_shards_bucket_faults", kind, str(tmp_path), str(step), str(first)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "0 failures" in done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
