"""Templates of forgotten samples leave Postgres."""

import psycopg
import pyarrow as pa

from tasks.catalog.connect import Limits
from tasks.catalog.rows import template_rows
from tasks.catalog.seed import seed_templates
from tasks.forget.database import erase_from_database
from tasks.forget.doomed import Doomed
from tasks.schema.templates import TEMPLATE_SCHEMA
from tests.exports.pose_shards import mixed_rows


def test_templates_go_and_a_database_out_of_reach_is_told(database: str) -> None:
    rows = mixed_rows(2, 1, 0)
    table = pa.Table.from_pylist(rows, schema=TEMPLATE_SCHEMA)
    seed_templates(database, [template_rows(table, {str(row["sample_id"]): "p.jpg" for row in rows})], "build-1")
    gone = str(rows[0]["sample_id"])
    doomed = Doomed(frozenset({gone, f"{gone}/p0"}), frozenset({gone}), frozenset(), frozenset())
    erased = erase_from_database(database, doomed)
    assert (erased.things, erased.problems) == (1, ())
    with psycopg.connect(database) as connection:
        (left,) = connection.execute("SELECT count(*) FROM pose_templates").fetchone() or (0,)
    assert left == 2
    assert erase_from_database(database, doomed).things == 0
    nowhere = erase_from_database("postgresql://127.0.0.1:9/none", doomed, Limits(connect_s=2))
    assert nowhere.things == 0
    assert nowhere.again
    assert erase_from_database("", doomed).problems == ()
