"""What a cached shard costs in a bucket, against one in a folder; and what it costs to make one.

    python tests/benchmarks/bench_bucket.py              # 40 shards of 1 MB
    python tests/benchmarks/bench_bucket.py --shards 200

The server is moto on this machine: its own time is in the figures, that of a network is not. Ratios within one run.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tasks.shards.derive import Derivation, realise
from tasks.shards.opening import open_store
from tasks.shards.store import Store
from tests.shards.s3_server import bucket_at, s3_server
from tests.shards.sample_stages import Make, MakeConfig


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--shards", type=int, default=40)
    asked.add_argument("--kb", type=int, default=1000, help="of a shard")
    given = asked.parse_args()
    wanted = [Derivation(Make(MakeConfig(part=i, rows=10, image_bytes=given.kb * 100))) for i in range(given.shards)]
    with tempfile.TemporaryDirectory() as folder, s3_server() as endpoint:
        bucket = bucket_at(endpoint, "bench")

        def copy(name: str) -> Store:
            return open_store(Path(folder, name), bucket.url, endpoint=endpoint, key="key", secret="secret")

        local, here = Store(Path(folder, "local")), copy("here")
        realise(Derivation(Make(MakeConfig(part=-1))), here)  # the client and its connection
        times: dict[str, list[float]] = {}
        for derivation in wanted:
            for name, store in (("made, folder", local), ("made, bucket", here)):
                times.setdefault(name, []).append(seconds(lambda d=derivation, s=store: realise(d, s)))
        there = copy("there")
        for derivation in wanted:
            for name, store in (
                ("cached, folder", local),
                ("cached, bucket", here),
                ("cached, bucket, no copy", there),
            ):
                times.setdefault(name, []).append(seconds(lambda d=derivation, s=store: realise(d, s)))
        begun = time.perf_counter()
        there.bring([realise(derivation, there).record for derivation in wanted])
        brought = time.perf_counter() - begun
    for name, took in times.items():
        print(f"{name:26} {1000 * statistics.median(took):9.3f} ms a shard")
    print(f"{'brought to a new copy':26} {given.shards * given.kb / 1000 / brought:9.1f} MB/s")
    ratio = statistics.median(times["cached, bucket"]) / statistics.median(times["cached, folder"])
    print(f"a cached shard in the bucket costs {ratio:.0f} times one in the folder")


if __name__ == "__main__":
    main()
