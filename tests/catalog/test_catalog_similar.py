import logging
from collections.abc import Callable

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from tasks.catalog import similar
from tasks.catalog.forget import forget
from tasks.catalog.seed import Listing, seed_templates
from tasks.catalog.similar import similar_to_template, similar_to_vector, upsert_vectors
from tasks.schema.errors import DatabaseError, ShapeError

Make = Callable[..., pa.Table]
TUPLES = "SELECT template_id, ctid, xmin FROM mannequin.pose_template_vectors ORDER BY 1"


def seeded(database: str, rows: pa.Table, width: int = 34) -> tuple[list[str], np.ndarray]:
    seed_templates(database, [rows], "build-1")
    vectors = np.random.default_rng(3).standard_normal((rows.num_rows, width)).astype(np.float32)
    ids = rows["id"].to_pylist()
    assert upsert_vectors(database, ids, vectors).written == len(ids)
    return ids, vectors


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ (query / np.linalg.norm(query)))


def test_neighbours_are_those_of_an_exhaustive_search(database: str, make_rows: Make) -> None:
    ids, vectors = seeded(database, make_rows(300))
    exact = cosines(vectors, vectors[17])
    order = [i for i in np.argsort(-exact) if i != 17][:10]
    found = similar_to_template(database, ids[17], 10)
    assert [hit.id for hit in found] == [ids[i] for i in order]
    np.testing.assert_allclose([hit.similarity for hit in found], exact[order], atol=1e-5)
    query = vectors[17] * 3
    assert similar_to_vector(database, query, 1)[0].id == ids[17]
    assert similar_to_vector(database, query, 1)[0].similarity == pytest.approx(1, abs=1e-6)


def test_equal_vectors_are_not_rewritten(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    ids, vectors = seeded(database, make_rows(50))
    before = connection.execute(TUPLES).fetchall()
    report = upsert_vectors(database, ids, vectors)
    assert (report.written, report.unchanged, report.skipped) == (0, 50, 0)
    assert connection.execute(TUPLES).fetchall() == before
    changed = vectors.copy()
    changed[4] *= -1
    assert upsert_vectors(database, ids, changed).written == 1
    assert similar_to_vector(database, changed[4], 1)[0].id == ids[4]


def test_vectors_without_direction_and_of_strangers_are_skipped(database: str, make_rows: Make) -> None:
    rows = make_rows(5)
    seed_templates(database, [rows], "build-1")
    vectors = np.eye(6, dtype=np.float32)
    vectors[2] = 0
    report = upsert_vectors(database, [*rows["id"].to_pylist(), "cuid-of-the-application"], vectors)
    assert (report.written, report.skipped) == (4, 2)
    with pytest.raises(DatabaseError, match="no similarity vector"):
        similar_to_template(database, rows["id"][2].as_py())


def test_retired_and_forgotten_templates_are_not_found(database: str, make_rows: Make) -> None:
    rows = make_rows(60)
    ids, vectors = seeded(database, rows)
    nearest = similar_to_template(database, ids[0], 3)
    forget(database, [nearest[0].id])
    kept = rows.filter(pa.array([template != nearest[1].id for template in ids]))
    assert seed_templates(database, [kept], "build-2", Listing(everything=True)).retired == 1
    assert similar_to_template(database, ids[0], 1)[0] == nearest[2]
    assert upsert_vectors(database, ids, vectors).skipped == 1


def test_enough_are_found_when_most_are_off(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    _, vectors = seeded(database, make_rows(2000))
    connection.execute("UPDATE pose_templates SET \"isActive\" = description LIKE '%7'")
    use_indexes(connection)
    assert len(similar_to_vector(database, vectors[1], 20)) == 20


def use_indexes(connection: psycopg.Connection) -> None:
    """In the sessions to come, as in a table too large to read and sort."""
    for setting in ("enable_seqscan", "enable_sort"):
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = off").format(sql.Identifier(connection.info.dbname), sql.SQL(setting))
        )
        connection.execute("SELECT set_config(%s, 'off', false)", (setting,))


def test_the_index_serves_the_search(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    ids, _ = seeded(database, make_rows(500))
    exact = similar_to_template(database, ids[9], 10)
    use_indexes(connection)
    assert [hit.id for hit in similar_to_template(database, ids[9], 10)] == [hit.id for hit in exact]
    plan = connection.execute(
        "EXPLAIN SELECT v.template_id FROM mannequin.pose_template_vectors v JOIN pose_templates t"
        ' ON t.id = v.template_id WHERE t."isActive" ORDER BY v.embedding <=> %s::vector LIMIT 10',
        ("[" + ",".join(["0.5"] * 34) + "]",),
    ).fetchall()
    assert "pose_template_vectors_embedding_idx" in "\n".join(line for (line,) in plan)


def test_another_width_is_refused(database: str, make_rows: Make) -> None:
    ids, _ = seeded(database, make_rows(4), width=8)
    with pytest.raises(DatabaseError, match="have 8 numbers, these have 9"):
        upsert_vectors(database, ids, np.ones((4, 9), np.float32))
    with pytest.raises(DatabaseError, match="have 8 numbers, this one has 9"):
        similar_to_vector(database, np.ones(9, np.float32))


@pytest.mark.parametrize("vectors", [np.ones((2, 3)), np.ones((3, 3), np.float32), np.full((2, 3), np.nan, np.float32)])
def test_malformed_vectors_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ShapeError):
        upsert_vectors("postgresql://nowhere/", ["a", "b"], vectors)


def test_without_pgvector_there_is_one_notice_and_all_else_works(
    database: str, make_rows: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = make_rows(3)
    seed_templates(database, [rows], "build-1")
    monkeypatch.setattr(similar, "_EXTENSION", "an_extension_that_is_not_there")
    with caplog.at_level(logging.WARNING):
        report = upsert_vectors(database, rows["id"].to_pylist(), np.eye(3, dtype=np.float32))
    assert not report.available
    assert len(caplog.records) == 1
    with pytest.raises(DatabaseError, match="no pgvector"):
        similar_to_vector(database, np.ones(3, np.float32))


def test_an_extension_in_a_schema_of_its_own_is_found(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
    ids, vectors = seeded(database, make_rows(10))
    upsert_vectors(database, ids, -vectors)
    assert similar_to_vector(database, -vectors[3], 1)[0].id == ids[3]
