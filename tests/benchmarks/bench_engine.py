"""What the stage engine costs over plain pyarrow, and what a rerun costs that finds everything.

    python tests/benchmarks/bench_engine.py            # both
    python tests/benchmarks/bench_engine.py --mb 128   # size of the shard

Ratios within one run; the runs alternate, medians are compared.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.schema.columns import IMAGE, shard_schema
from tasks.schema.records import Frozen, ShardRecord
from tasks.shards.derive import Derivation, realise, run_stage
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

PICTURES = shard_schema(pa.field("image", IMAGE), pa.field("value", pa.int64()))


class Size(Frozen):
    """How many pictures of how many bytes; `round` makes a new key."""

    rows: int = 16
    image_bytes: int = 100_000
    round: int = 0


@dataclass(frozen=True)
class Pictures(Stage):
    """Incompressible pictures."""

    config: Size
    name = "pictures"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return PICTURES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        random = np.random.default_rng(self.config.round)
        for i in range(self.config.rows):
            row = {"sample_id": f"{i:08d}", "source_uri": "", "licence": "", "value": i}
            yield StageOutput(
                pa.Table.from_pylist(
                    [row | {"image": {"bytes": random.bytes(self.config.image_bytes), "path": ""}}], PICTURES
                )
            )


@dataclass(frozen=True)
class Copy(Stage):
    """Every row as it is."""

    config: Size
    step: int = 0
    version = 1
    name = "copy"

    @property
    def schema(self) -> pa.Schema:
        return PICTURES

    def params(self) -> dict[str, object]:
        return {"step": self.step, "round": self.config.round}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        yield from (StageOutput(batch) for batch in batches)


def plain(source: Path, target: Path) -> None:
    """Read, write and fsync the same rows with pyarrow alone."""
    with pq.ParquetFile(source, pre_buffer=False) as file, target.open("wb") as stream:
        with pq.ParquetWriter(stream, file.schema_arrow, compression="none", use_dictionary=False) as writer:
            for batch in file.iter_batches(batch_size=64):
                writer.write_batch(batch)
        stream.flush()
        os.fsync(stream.fileno())


def copying(store: Store, made: ShardRecord, runs: int) -> None:
    """One stage that copies, against plain pyarrow on the same shard."""
    engine, alone = [], []
    for n in range(runs + 1):
        target = store.root / f"plain-{n}.parquet"
        began = time.perf_counter()
        plain(store.data_path(made), target)
        alone.append(time.perf_counter() - began)
        target.unlink()
        began = time.perf_counter()
        record = run_stage(Copy(Size(round=n)), (made,), (), store)
        engine.append(time.perf_counter() - began)
        store.data_path(record).unlink()
    ratios = [e / a for e, a in zip(engine[1:], alone[1:], strict=True)]
    print(
        f"stage engine {statistics.median(engine[1:]):.3f} s, pyarrow read + write + fsync "
        f"{statistics.median(alone[1:]):.3f} s for {made.data.size / 1e6:.0f} MB: "
        f"ratio {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


def cached(store: Store, shards: int, stages: int) -> None:
    """A rerun of shards x stages that finds all of it."""
    chains = []
    for n in range(shards):
        chain = Derivation(Pictures(Size(rows=2, image_bytes=100, round=n)))
        for step in range(stages - 1):
            chain = Derivation(Copy(Size(round=n), step=step), (chain,))
        chains.append(chain)
    began = time.perf_counter()
    made = [realise(chain, store) for chain in chains]
    first = time.perf_counter() - began
    began = time.perf_counter()
    again = [realise(chain, store) for chain in chains]
    second = time.perf_counter() - began
    assert not any(outcome.cached for outcome in made)
    assert all(outcome.cached for outcome in again)
    print(
        f"{shards} shards x {stages} stages: first run {first:.2f} s, cached rerun {second:.3f} s = "
        f"{second / shards / stages * 1e6:.0f} us a stage, {first / second:.0f}x faster"
    )


def main() -> None:
    """Both benchmarks in a temporary store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=256)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary store lies")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = Store(Path(folder).resolve())
        made = realise(Derivation(Pictures(Size(rows=options.mb * 10))), store).record
        copying(store, made, options.runs)
        cached(store, shards=200, stages=5)


if __name__ == "__main__":
    main()
