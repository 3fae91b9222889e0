"""What templates take of Postgres: their table, side tables and indexes, with their vectors.

python -m tests.benchmarks.bench_catalog_size --rows 20000
"""

import argparse
import tempfile
from pathlib import Path

import psycopg

from tasks.catalog.embedded import start_embedded, stop_embedded
from tasks.catalog.rows import template_rows
from tasks.catalog.seed import Listing, seed_templates
from tasks.catalog.similar import upsert_vectors
from tasks.poses.report import pose_vectors
from tests.benchmarks.bench_upsert import fresh, templates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "postgres"
        try:
            uri = start_embedded(folder)
            fresh(uri)
            table = templates(count, "a woman in a red dress")
            urls = {sample: f"https://pictures.test/{sample}.jpg" for sample in table["sample_id"].to_pylist()}
            seed_templates(uri, [template_rows(table, urls)], "bench", Listing())
            upsert_vectors(uri, *pose_vectors_of(table, Path(scratch)))
            with psycopg.connect(uri) as session:
                sizes = session.execute(
                    "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
                    "AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%' "
                    "OR nspname = 'information_schema')"
                ).fetchall()
        finally:
            stop_embedded(folder)
    for name, size in sizes:
        print(f"{name}: {size / count:.0f} bytes a row")
    print(f"together: {sum(size for _, size in sizes) / count:.0f} bytes a row")


def pose_vectors_of(table: object, scratch: Path) -> tuple[object, ...]:
    """As the flow makes them of the shard."""
    import pyarrow.parquet as pq

    path = scratch / "templates.parquet"
    pq.write_table(table, path)
    return tuple(pose_vectors(path))


if __name__ == "__main__":
    main()
