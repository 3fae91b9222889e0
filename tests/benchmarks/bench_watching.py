"""What watching a large build costs: first look, looks without news, looks with a few new pieces, and drawing.

python tests/benchmarks/bench_watching.py --films 497 --pieces 200
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from tasks.machine.load import LoadMeter
from tasks.patches.build_plan import BuildPlan, PiecePlan, read_plan, write_plan
from tasks.patches.view import BuildView
from tasks.patches.watch import BuildWatch
from tasks.schema.records import DataFile, ShardRecord
from tasks.shards.store import Store
from tests.patches.patch_shards import many_films


def commit(store: Store, piece: PiecePlan) -> None:
    """A record as the stage leaves it, with a data file of the promised size (its rows are never read)."""
    kept = {category: {name: n - n // 8 for name, n in formats.items()} for category, formats in piece.planned.items()}
    rows = sum(sum(formats.values()) for formats in piece.planned.values())
    rows_kept = sum(sum(formats.values()) for formats in kept.values())
    folder = store.folder("patches", piece.key)
    folder.mkdir(parents=True)
    (folder / "shard-0.parquet").write_bytes(b"x")
    record = ShardRecord(
        stage="patches",
        version=1,
        key=piece.key,
        inputs=(),
        rows_in=rows,
        rows_kept=rows_kept,
        rejected={"scene_cut": rows - rows_kept},
        facts={"kept": kept, "bytes": rows_kept * 400_000},
        data=DataFile(name="shard-0.parquet", digest="d" * 64, size=1, rows=rows_kept),
        rejects=None,
    )
    store.record_path("patches", piece.key).write_text(record.model_dump_json(indent=1))


def timed(label: str, times: list[float]) -> None:
    print(f"{label:<44} {1000 * median(times):9.2f} ms  (most {1000 * max(times):.2f})")


def clocked(call: object, *args: object) -> float:
    start = time.process_time()
    call(*args)  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=497)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--done", type=float, default=0.5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store, tree = Store(Path(scratch) / "store"), Path(scratch) / "tree"
        plan = many_films(arguments.films, arguments.pieces)
        pieces = [piece for film in plan.films for piece in film.pieces]
        begun = int(len(pieces) * arguments.done)
        print(f"{arguments.films} films, {len(pieces)} pieces, {begun} done; CPU time of each step")
        timed("write the plan", [clocked(write_plan, tree, plan)])
        print(f"{'its size':<44} {(tree / '.mannequin/build.json').stat().st_size / 1e6:9.2f} MB")
        timed("read the plan", [clocked(read_plan, tree)])
        for piece in pieces[:begun]:
            commit(store, piece)
        show(plan, store, tree, pieces[begun:])


def show(plan: BuildPlan, store: Store, tree: Path, left: list[PiecePlan]) -> None:
    start = time.process_time()
    watch = BuildWatch(plan, store)
    timed("open the watch", [time.process_time() - start])
    timed("first look", [clocked(watch.look)])
    time.sleep(2.1)
    watch.look()
    timed("a look without news", [clocked(watch.look) for _ in range(50)])
    news = []
    for i in range(0, min(200, len(left)), 4):
        for piece in left[i : i + 4]:
            commit(store, piece)
        news.append(clocked(watch.look))
    timed("a look with 4 new pieces", news)
    timed("the numbers", [clocked(watch.progress) for _ in range(20)])
    meter, progress = LoadMeter(tree), watch.progress()
    timed("CPU, memory, disk", [clocked(meter.read) for _ in range(20)])
    for width in (80, 140):
        console = Console(width=width, height=50, file=open("/dev/null", "w"), force_terminal=True)  # noqa: PTH123, SIM115
        timed(
            f"drawing at {width} columns",
            [clocked(console.print, BuildView(progress, meter.read(), spare=0)) for _ in range(20)],
        )


if __name__ == "__main__":
    main()
