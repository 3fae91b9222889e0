"""Categories of a million photos and their tables, against pandas, row by row and merge by merge, as one first does it.

    python -m tests.benchmarks.bench_fashion_labels [--rows 1000000] [--repeats 3]

Labels are drawn as the seed's street photos have them, four a photo. Both ways start from the same Parquet shards and
write the same tables, Parquet included. They take turns, each in a process of its own; told are medians, and the most
memory that a process had beyond what it had before.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.exports.fashion_tables import CATEGORY_COLUMNS, INITIAL_COLUMNS, export_fashion_tables
from tasks.fashion.labels import category_column, category_of
from tasks.schema.fashion import CATEGORIES, GARMENTS, GROUPED_SCHEMA, PREDICTED_SCHEMA
from tests.peak_memory import peak_mib

PARTS = 20


def drawn_garments(rows: int, draw: np.random.Generator) -> pa.Array:
    """Lists of about four garments."""
    worn = draw.random((rows, len(GARMENTS))) < 4 / len(GARMENTS)
    offsets = np.concatenate([[0], worn.sum(axis=1).cumsum()]).astype(np.int32)
    names = pa.DictionaryArray.from_arrays(np.nonzero(worn)[1].astype(np.int32), list(GARMENTS)).cast(pa.string())
    return pa.ListArray.from_arrays(offsets, names)


def write_shards(folder: Path, rows: int) -> None:
    """groups.parquet, predicted-*.parquet and index.csv; every tenth photo is of the runway and has no labels."""
    draw = np.random.default_rng(0)
    numbers = draw.permutation(rows)
    runway = numbers % 10 == 0
    garments = drawn_garments(rows, draw)
    columns = {
        "sample_id": pa.array([f"{'runway' if n % 10 == 0 else 'street'}/{n:020x}" for n in numbers]),
        "source_uri": pa.array([f"coco://modanet/train/{n:08d}.jpg" for n in numbers]),
        "licence": pa.repeat(pa.scalar("CC BY-NC 4.0 http://creativecommons.org/licenses/by-nc/4.0/"), rows),
        "source": pa.array(np.where(runway, "runway", "street")),
        "original_dataset": pa.array(np.where(runway, "Fashion Runway Images", "modanet")),
        "image_path": pa.array([f"train/{n:08d}.jpg" for n in numbers]),
        "split": pa.repeat(pa.scalar("train"), rows),
        "garments": garments,
        "category": category_column(pl.Series(pl.from_arrow(garments))).to_arrow(),
        "width": pa.repeat(pa.scalar(400, pa.int32()), rows),
        "height": pa.repeat(pa.scalar(600, pa.int32()), rows),
        "sha256": pa.array([f"{n:064x}" for n in numbers]),
        "phash": pa.array(draw.integers(0, 1 << 63, rows, dtype=np.uint64)),
        "group_id": pa.array([f"g{n}" for n in numbers]),
        "fold": pa.array(np.where(draw.random(rows) < 0.8, "train", "test")),
    }
    groups = pa.table({each.name: columns.get(each.name, pa.nulls(rows, each.type)) for each in GROUPED_SCHEMA})
    pq.write_table(groups.cast(GROUPED_SCHEMA), folder / "groups.parquet", compression="none", use_dictionary=False)
    for part, places in enumerate(np.array_split(np.arange(rows), PARTS)):
        count = len(places)
        odds = {name: draw.random((count, size)).astype("f4") for name, size in (("c", 8), ("g", 13))}
        predicted = {
            "sample_id": columns["sample_id"].take(places),
            "source_uri": columns["source_uri"].take(places),
            "licence": columns["licence"].take(places),
            "pred_category": pa.array(draw.choice(CATEGORIES, count)),
            "confidence": draw.random(count).astype("f4"),
            "abstained": draw.random(count) < 0.1,
            "category_probabilities": pa.FixedSizeListArray.from_arrays(odds["c"].ravel(), 8),
            "garment_probabilities": pa.FixedSizeListArray.from_arrays(odds["g"].ravel(), 13),
            "classifier": pa.repeat(pa.scalar("c" * 64), count),
        }
        full = {each.name: predicted.get(each.name, pa.nulls(count, each.type)) for each in PREDICTED_SCHEMA}
        table = pa.table(full).cast(PREDICTED_SCHEMA)
        pq.write_table(table, folder / f"predicted-{part:02d}.parquet", compression="none", use_dictionary=False)
    index = pl.DataFrame({"image_id": list(image_ids(folder).values())}).with_row_index("feature_row")
    index.select("image_id", "feature_row").write_csv(folder / "index.csv")


def image_ids(folder: Path) -> dict[str, str]:
    samples = pq.read_table(folder / "groups.parquet", columns=["sample_id"])["sample_id"].to_pylist()
    return {sample: f"{sample.partition('/')[0]}_{number:04d}" for number, sample in enumerate(samples, 1)}


def with_ours(folder: Path) -> dict[str, float]:
    garments = pl.Series(pl.from_arrow(pq.read_table(folder / "groups.parquet", columns=["garments"])["garments"]))
    ids = image_ids(folder)
    begin = time.perf_counter()
    category_column(garments)
    mapped = time.perf_counter()
    predicted = sorted(folder.glob("predicted-*.parquet"))
    export_fashion_tables(
        folder / "groups.parquet", predicted, ids, folder / "index.csv", folder / "ours", title="Benchmark"
    )
    return {"mapping": mapped - begin, "tables": time.perf_counter() - mapped}


def with_pandas(folder: Path) -> dict[str, float]:
    garments = pd.read_parquet(folder / "groups.parquet", columns=["garments"])["garments"]
    ids = image_ids(folder)
    begin = time.perf_counter()
    garments.apply(category_of)
    mapped = time.perf_counter()
    looks = pd.read_parquet(folder / "groups.parquet")
    looks["image_id"] = looks["sample_id"].map(ids)
    looks["number"] = looks["image_id"].str.rpartition("_")[2].astype(int)
    looks = looks.sort_values(["source", "number"])
    predicted = pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("predicted-*.parquet"))])
    predicted = predicted.drop(columns=["parent_id", "source_uri", "licence"])
    merged = looks.merge(predicted, on="sample_id", how="left")
    merged = merged.merge(pd.read_csv(folder / "index.csv"), on="image_id", how="left")
    out = folder / "pandas"
    out.mkdir(exist_ok=True)
    merged[list(INITIAL_COLUMNS)].to_csv(out / "initial.csv", index=False)
    labels = pd.DataFrame(
        {
            "image_filename": merged["image_path"].str.rpartition("/")[2],
            "modanet_categories": merged["garments"].apply(", ".join),
            "coarse_category": merged["category"],
        }
    )
    labels.to_csv(out / "labels.csv", index=False)
    merged.dropna(subset=["feature_row", "pred_category"])[list(CATEGORY_COLUMNS)].to_csv(out / "all.csv", index=False)
    merged.drop(columns=["number"]).to_parquet(out / "looks.parquet", compression=None)
    return {"mapping": mapped - begin, "tables": time.perf_counter() - mapped}


WAYS: dict[str, Callable[[Path], dict[str, float]]] = {"ours": with_ours, "pandas": with_pandas}


def measure(way: str, folder: Path) -> dict[str, float]:
    before = peak_mib()
    return {**WAYS[way](folder), "memory": peak_mib() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    spawned = multiprocessing.get_context("spawn")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write_shards(folder, asked.rows)
        with ProcessPoolExecutor(1, spawned, max_tasks_per_child=1) as pool:
            for _ in range(asked.repeats):
                for way in WAYS:
                    found[way].append(pool.submit(measure, way, folder).result())
    for what, unit in (("mapping", "s"), ("tables", "s"), ("memory", "MiB")):
        ours, pandas = (median(each[what] for each in found[way]) for way in ("ours", "pandas"))
        print(f"{what}: ours {ours:.2f} {unit}, pandas {pandas:.2f} {unit}, pandas / ours {pandas / ours:.1f}")


if __name__ == "__main__":
    main()
