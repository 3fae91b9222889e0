"""Seed 100,000 templates: against 50-row INSERT statements, and against a bare COPY into the same table.

All ways start from the same Arrow rows, on the same server, in turns; the best of some turns counts. Beside the wall
time stands the CPU time of the database session, which a busy machine disturbs less.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.catalog import seed
from tasks.catalog.connect import Limits, connected
from tasks.catalog.embedded import start_embedded, stop_embedded
from tasks.catalog.rows import OWN_COLUMNS, template_rows
from tasks.catalog.seed import Listing, SeedReport, seed_templates
from tasks.catalog.staging import copy_text
from tasks.catalog.table import prepare_tables
from tasks.schema.templates import TEMPLATE_SCHEMA

TUPLES = "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables WHERE schemaname !~ '^pg_temp'"
COLUMNS = ("id", *OWN_COLUMNS, "quality", "updatedAt")
NAMES = ", ".join(f'"{"avgQualityScore" if name == "quality" else name}"' for name in COLUMNS)


def templates(count: int, caption: str) -> pa.Table:
    """Described poses with random joints, all present: the longest keypointsJson."""
    random = np.random.default_rng(0)
    numbers = np.arange(count)
    same = {
        "source_uri": "bench:", "licence": "CC0-1.0", "source": "bench", "subcategory": "urban", "width": 512,
        "height": 512, "sha256": "0" * 64, "phash": 0, "keypoints_from": "drawing", "people": 1,
        "pose_class": "standing", "difficulty": "easy", "difficulty_score": 0.2, "difficulty_parts": "{}",
        "quality_parts": "{}",        "product_placement": "body", "gender": "female",
    }  # fmt: skip
    columns = {name: pa.repeat(pa.scalar(value), count) for name, value in same.items()} | {
        "sample_id": [f"bench/{i:07d}" for i in numbers],
        "category": [("fashion", "lifestyle", "sports")[i % 3] for i in numbers],
        "keypoints_xy": pa.FixedSizeListArray.from_arrays(random.uniform(0, 512, 36 * count).astype("f4"), 36),
        "keypoints_confidence": pa.FixedSizeListArray.from_arrays(random.uniform(0.1, 1, 18 * count).astype("f4"), 18),
        "person_xyxy": pa.FixedSizeListArray.from_arrays(np.tile(np.float32([0, 0, 511, 511]), count), 4),
        "tags": pa.array([["standing", "full-body"]] * count),
        "quality": random.uniform(0, 1, count).astype("f4"),
        "caption": [f"{caption} number {i}" for i in numbers],
    }
    full = {f.name: columns.get(f.name, pa.nulls(count)) for f in TEMPLATE_SCHEMA}
    return pa.table(full).cast(TEMPLATE_SCHEMA)


def fresh(uri: str) -> None:
    """An empty table with its indexes and ours beside it, and a server with nothing left to write."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS mannequin CASCADE")
        connection.execute("DROP TABLE IF EXISTS pose_templates")
        with connected(uri, Limits()) as ours:
            prepare_tables(ours)
        connection.execute("CHECKPOINT")


def bare_copy(connection: psycopg.Connection, rows: pa.Table) -> None:
    narrow = rows.select(COLUMNS[:-1]).append_column("updatedAt", pa.repeat(pa.scalar("2026-01-01"), rows.num_rows))
    with connection.cursor() as cursor, cursor.copy(f"COPY pose_templates ({NAMES}) FROM STDIN") as copy:
        for text in copy_text(narrow):
            copy.write(text)


def small_inserts(connection: psycopg.Connection, rows: pa.Table) -> None:
    """Each statement commits by itself, as `createMany` in a loop does."""
    connection.autocommit = True
    one = "(" + ", ".join(["%s"] * (len(COLUMNS) - 1)) + ", now())"
    for batch in rows.select(COLUMNS[:-1]).to_batches(max_chunksize=50):
        values = [value for row in zip(*(column.to_pylist() for column in batch.columns), strict=True) for value in row]
        places = ", ".join([one] * batch.num_rows)
        query = f"INSERT INTO pose_templates ({NAMES}) VALUES {places} ON CONFLICT DO NOTHING"  # noqa: S608
        connection.execute(query.encode(), values)


def timed(uri: str, work: Callable[[psycopg.Connection], object]) -> tuple[float, float]:
    """Wall seconds with the commit, and CPU seconds of the session in the server."""
    start = time.perf_counter()
    with psycopg.connect(uri) as connection:
        process = psutil.Process(connection.info.backend_pid)
        work(connection)
        if not connection.autocommit:
            connection.commit()
        wall = time.perf_counter() - start
        used = process.cpu_times()
    return wall, used.user + used.system


def timed_seed(uri: str, rows: pa.Table, listing: Listing) -> tuple[float, float, SeedReport]:
    """As `timed`, for the whole of `seed_templates`; its session is watched from inside its last statement."""
    used: list[float] = []
    totals = seed._totals

    def watch(connection: psycopg.Connection, tables: seed.Tables) -> tuple[int, int]:
        found = totals(connection, tables)
        times = psutil.Process(connection.info.backend_pid).cpu_times()
        used.append(times.user + times.system)
        return found

    seed._totals = watch
    try:
        start = time.perf_counter()
        report = seed_templates(uri, [rows], "bench", listing)
        return time.perf_counter() - start, used[0], report
    finally:
        seed._totals = totals


def tuples(uri: str) -> tuple[int, ...]:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(TUPLES).fetchone()
    return tuple(int(number) for number in row or ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--database", default="", help="URI of a scratch database; empty: a temporary embedded one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mannequin-bench-") as scratch:
        Path(scratch).chmod(0o755)
        folder = Path(scratch) / "postgres"
        try:
            run(options.database or start_embedded(folder), options.rows, options.turns)
        finally:
            stop_embedded(folder)


def run(uri: str, count: int, turns: int) -> None:
    table, other = templates(count, "a woman in a red dress"), templates(count, "a man in a blue suit")
    urls = {sample: f"https://pictures.test/{sample}.jpg" for sample in table["sample_id"].to_pylist()}
    start = time.perf_counter()
    rows = template_rows(table, urls)
    made = time.perf_counter() - start
    changed = template_rows(other, urls)
    found: dict[str, list[tuple[float, float]]] = {}
    written: list[tuple[int, ...]] = []
    for turn in range(turns):
        fresh(uri)
        found.setdefault("bare COPY", []).append(timed(uri, lambda session: bare_copy(session, rows)))
        fresh(uri)
        wall, cpu, report = timed_seed(uri, rows, Listing())
        assert report.inserted == count, report
        found.setdefault("seed, all new", []).append((wall, cpu))
        before = tuples(uri)
        wall, cpu, report = timed_seed(uri, rows, Listing(everything=True))
        assert report.unchanged == count, report
        found.setdefault("seed, unchanged", []).append((wall, cpu))
        written.append(tuple(after - was for after, was in zip(tuples(uri), before, strict=True)))
        wall, cpu, report = timed_seed(uri, changed, Listing())
        assert report.updated == count, report
        found.setdefault("seed, all changed", []).append((wall, cpu))
        if turn == 0 or turns <= 3:
            fresh(uri)
            found.setdefault("50-row INSERTs", []).append(timed(uri, lambda session: small_inserts(session, rows)))
    best = {name: (min(wall for wall, _ in times), min(cpu for _, cpu in times)) for name, times in found.items()}
    print(f"{count:,} rows, best of {turns} turns, {os.cpu_count()} CPUs; made from poses in {made:.2f} s")
    print(f"{'way':20} {'wall s':>8} {'rows/s':>9} {'server CPU s':>13}")
    for name, (wall, cpu) in best.items():
        print(f"{name:20} {wall:8.2f} {count / wall:9,.0f} {cpu:13.2f}")
    new, copy, inserts = best["seed, all new"], best["bare COPY"], best["50-row INSERTs"]
    print(
        f"seed against 50-row INSERTs: {inserts[0] / new[0]:.1f}x as fast (floor 5x); by CPU {inserts[1] / new[1]:.1f}x"
    )
    print(f"seed against bare COPY: {copy[0] / new[0]:.0%} of its speed (floor 60%); by CPU {copy[1] / new[1]:.0%}")
    print(f"tuples written by an unchanged seeding (inserted, updated, deleted): {written}")


if __name__ == "__main__":
    main()
