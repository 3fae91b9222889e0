import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pyarrow as pa
import pytest

from tasks.catalog import seed
from tasks.catalog.connect import Limits
from tasks.catalog.forget import forget
from tasks.catalog.seed import Listing, SeedReport, seed_templates
from tasks.schema.errors import ConfigError, DatabaseError
from tasks.schema.ids import template_id

Make = Callable[..., pa.Table]

TUPLES = "SELECT id, ctid, xmin FROM pose_templates ORDER BY id"
OWNED = "SELECT template_id, ctid, xmin FROM mannequin.mannequin_templates ORDER BY 1"
CONTENT = """SELECT id, category, "keypointsJson", description, tags FROM pose_templates ORDER BY id"""


def one(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def accounts(report: SeedReport) -> int:
    return report.inserted + report.updated + report.unchanged + report.foreign + report.forgotten


def test_the_first_seeding_inserts_all(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    rows = make_rows(100)
    report = seed_templates(database, rows.to_batches(max_chunksize=17), "build-1")
    assert report == SeedReport(
        rows=100, inserted=100, updated=0, unchanged=0, foreign=0, forgotten=0, retired=0, reactivated=0,
        refused_to_retire=0, total_owned=100, total_active=100,
    )  # fmt: skip
    stored = connection.execute(
        'SELECT id, category, subcategory, "keypointsJson", "previewUrl", difficulty, tags, description, gender,'
        ' "productPlacement", "avgQualityScore" FROM pose_templates ORDER BY id'
    ).fetchall()
    names = ("id", "category", "subcategory", "keypointsJson", "previewUrl", "difficulty", "tags", "description",
             "gender", "productPlacement", "quality")  # fmt: skip
    assert stored == sorted(tuple(row[name] for name in names) for row in rows.to_pylist())
    defaults = 'SELECT DISTINCT "usageCount", "successRate", "isActive" FROM pose_templates'
    assert connection.execute(defaults).fetchall() == [(0, 0.95, True)]
    assert one(connection, "SELECT count(*) FROM mannequin.mannequin_templates WHERE build = 'build-1'") == 100
    recent = """SELECT bool_and(abs(extract(epoch FROM "updatedAt" - now() AT TIME ZONE 'UTC')) < 60
                  AND abs(extract(epoch FROM "createdAt" - now() AT TIME ZONE 'UTC')) < 60) FROM pose_templates"""
    assert one(connection, recent) is True


def test_seeding_the_same_again_writes_nothing(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    seed_templates(database, [make_rows(50)], "build-1")
    before = connection.execute(TUPLES).fetchall(), connection.execute(OWNED).fetchall()
    report = seed_templates(database, [make_rows(50)], "build-2", Listing(everything=True))
    assert (report.unchanged, report.inserted, report.updated, report.retired) == (50, 0, 0, 0)
    assert (connection.execute(TUPLES).fetchall(), connection.execute(OWNED).fetchall()) == before


def test_only_what_changed_is_rewritten(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    seed_templates(database, [make_rows(30)], "build-1")
    captions = [f"mannequin {i}" for i in range(30)]
    captions[7] = "a new caption\twith a tab, a \\ and a 'quote'"
    connection.execute("UPDATE pose_templates SET \"updatedAt\" = '2020-01-01'")
    before = dict(connection.execute("SELECT id, ctid FROM pose_templates").fetchall())
    report = seed_templates(database, [make_rows(30, caption=captions)], "build-2")
    assert (report.updated, report.unchanged, report.inserted) == (1, 29, 0)
    changed = template_id("mannequins/000007")
    after = dict(connection.execute("SELECT id, ctid FROM pose_templates").fetchall())
    assert {template for template in after if after[template] != before[template]} == {changed}
    fresh = connection.execute(
        "SELECT id, description FROM pose_templates WHERE \"updatedAt\" > '2020-01-02'"
    ).fetchall()
    assert fresh == [(changed, captions[7])]
    builds = connection.execute(
        "SELECT template_id FROM mannequin.mannequin_templates WHERE build = 'build-2'"
    ).fetchall()
    assert builds == [(changed,)]


def test_what_the_application_counts_is_never_touched(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(10)], "build-1")
    connection.execute(
        'UPDATE pose_templates SET "usageCount" = 41, "successRate" = 0.5, "avgQualityScore" = 0.1, "isActive" = false,'
        " \"createdAt\" = '2021-05-05'"
    )
    query = """SELECT "usageCount", "successRate", "avgQualityScore", "isActive", "createdAt" FROM pose_templates"""
    before = connection.execute(query).fetchall()
    report = seed_templates(database, [make_rows(10, caption=["changed"] * 10)], "build-2", Listing(everything=True))
    assert (report.updated, report.reactivated, report.total_active) == (10, 0, 0)
    assert connection.execute(query).fetchall() == before


def test_what_the_application_wrote_over_ours_is_put_right(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(5)], "build-1")
    before = connection.execute(CONTENT).fetchall()
    connection.execute("UPDATE pose_templates SET tags = '[]' WHERE description = 'mannequin 3'")
    assert seed_templates(database, [make_rows(5)], "build-1").updated == 1
    assert connection.execute(CONTENT).fetchall() == before


def test_a_row_with_our_id_that_is_not_ours_stays(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(0)], "build-0")
    taken = template_id("mannequins/000002")
    connection.execute(
        'INSERT INTO pose_templates (id, category, "keypointsJson", "previewUrl", difficulty, tags, "updatedAt")'
        " VALUES (%s, 'theirs', '{}', '', 'easy', '[]', now())",
        (taken,),
    )
    before = connection.execute("SELECT * FROM pose_templates").fetchall()
    report = seed_templates(database, [make_rows(5)], "build-1", Listing(everything=True))
    assert (report.foreign, report.foreign_ids, report.inserted, accounts(report)) == (1, (taken,), 4, 5)
    assert connection.execute("SELECT * FROM pose_templates WHERE id = %s", (taken,)).fetchall() == before
    assert report.total_owned == 4
    report = seed_templates(database, [make_rows(1)], "build-2", Listing(everything=True, force=True))
    assert report.retired == 3
    assert connection.execute("SELECT * FROM pose_templates WHERE id = %s", (taken,)).fetchall() == before


def test_rows_that_the_application_deleted_come_back(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(5)], "build-1")
    connection.execute("DELETE FROM pose_templates WHERE description IN ('mannequin 1', 'mannequin 2')")
    report = seed_templates(database, [make_rows(5)], "build-1")
    assert (report.inserted, report.unchanged, report.total_owned) == (2, 3, 5)


def test_what_is_gone_is_retired_and_what_is_back_is_on_again(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(100)
    seed_templates(database, [rows], "build-1")
    report = seed_templates(database, [rows.slice(5)], "build-2")
    assert report.retired == 0, "an incomplete listing retires nothing"
    report = seed_templates(database, [rows.slice(5)], "build-2", Listing(everything=True))
    assert (report.retired, report.total_owned, report.total_active) == (5, 100, 95)
    off = 'SELECT description FROM pose_templates WHERE NOT "isActive" ORDER BY 1'
    assert connection.execute(off).fetchall() == [(f"mannequin {i}",) for i in range(5)]
    again = seed_templates(database, [rows.slice(5)], "build-2", Listing(everything=True))
    assert (again.retired, again.unchanged, again.total_active) == (0, 95, 95)
    report = seed_templates(database, [rows], "build-3", Listing(everything=True))
    assert (report.reactivated, report.unchanged, report.total_active) == (5, 100, 100)


def test_more_than_five_percent_at_once_is_refused_unless_forced(database: str, make_rows: Make) -> None:
    rows = make_rows(100)
    seed_templates(database, [rows], "build-1")
    # many new rows do not make room for more to be retired
    replaced = [rows.slice(6), make_rows(500, first=1000)]
    report = seed_templates(database, replaced, "build-2", Listing(everything=True))
    assert (report.inserted, report.retired, report.refused_to_retire, report.total_active) == (500, 0, 6, 600)
    assert "6 of 100" in report.notices[0]
    report = seed_templates(database, [rows.slice(60)], "build-3", Listing(everything=True, force=True))
    assert (report.retired, report.refused_to_retire, report.total_active) == (560, 0, 40)


def test_an_empty_listing_retires_nothing(database: str, make_rows: Make) -> None:
    seed_templates(database, [make_rows(20)], "build-1")
    report = seed_templates(database, [], "build-2", Listing(everything=True))
    assert (report.rows, report.retired, report.refused_to_retire, report.total_active) == (0, 0, 20, 20)


def test_only_sources_that_were_listed_to_their_end_lose_rows(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    photos, people = make_rows(40, source="photos"), make_rows(40, source="people")
    seed_templates(database, [photos, people], "build-1")
    listing = Listing(complete_sources=frozenset({"photos"}))
    report = seed_templates(database, [photos.slice(2), people.slice(20)], "build-2", listing)
    assert (report.retired, report.total_active) == (2, 78)
    assert one(connection, "SELECT count(*) FROM mannequin.mannequin_templates WHERE retired_at IS NOT NULL") == 2


def test_what_the_application_switched_off_stays_off(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(40)
    seed_templates(database, [rows], "build-1")
    connection.execute("UPDATE pose_templates SET \"isActive\" = false WHERE description = 'mannequin 0'")
    report = seed_templates(database, [rows.slice(1)], "build-2", Listing(everything=True))
    assert report.retired == 0
    report = seed_templates(database, [rows], "build-3", Listing(everything=True))
    assert (report.reactivated, report.total_active) == (0, 39)


def test_what_the_application_switched_on_again_is_not_counted_as_ours(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(40)
    seed_templates(database, [rows], "build-1")
    seed_templates(database, [rows.slice(1)], "build-2", Listing(everything=True))
    connection.execute('UPDATE pose_templates SET "isActive" = true')
    report = seed_templates(database, [rows], "build-3", Listing(everything=True))
    assert (report.reactivated, report.unchanged) == (0, 40)
    connection.execute("UPDATE pose_templates SET \"isActive\" = false WHERE description = 'mannequin 0'")
    assert seed_templates(database, [rows], "build-4").reactivated == 0


def test_an_id_that_comes_twice_is_named(
    database: str, connection: psycopg.Connection, make_rows: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatabaseError, match=template_id("mannequins/000001")):
        seed_templates(database, [make_rows(3), make_rows(1, first=1)], "build-1")
    assert one(connection, "SELECT to_regclass('pose_templates')") is None
    seed_templates(database, [make_rows(2)], "build-1")
    for chunk_rows in (2, 100):
        monkeypatch.setattr(seed, "CHUNK_ROWS", chunk_rows)
        with pytest.raises(DatabaseError, match=template_id("mannequins/000001")):
            seed_templates(database, [make_rows(3), make_rows(1, first=1)], "build-1")


@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
def test_chunks_of_any_size_give_the_same(
    database: str, connection: psycopg.Connection, make_rows: Make, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(seed, "CHUNK_ROWS", chunk_rows)
    rows = make_rows(20)
    assert seed_templates(database, rows.slice(0, 10).to_batches(max_chunksize=3), "build-1").inserted == 10
    captions = ["changed"] * 5 + [f"mannequin {i}" for i in range(5, 20)]
    connection.execute("DELETE FROM pose_templates WHERE description = 'mannequin 9'")
    report = seed_templates(database, [make_rows(20, caption=captions)], "build-2", Listing(everything=True))
    assert (report.updated, report.unchanged, report.inserted, report.total_owned) == (5, 4, 11, 20)
    assert report == replace(report, rows=20, retired=0, refused_to_retire=0)
    assert connection.execute("SELECT description FROM pose_templates").fetchall().count(("changed",)) == 5


def test_two_seedings_at_once_end_as_one_after_the_other(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(500)
    meet = threading.Barrier(2)
    reports: list[SeedReport] = []

    def go(build: str) -> None:
        meet.wait()
        reports.append(seed_templates(database, rows.to_batches(max_chunksize=50), build))

    threads = [threading.Thread(target=go, args=(f"build-{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((report.inserted, report.unchanged) for report in reports) == [(0, 500), (500, 0)]
    assert one(connection, "SELECT count(*) FROM pose_templates") == 500


def test_a_seeding_that_waits_too_long_says_so(database: str, make_rows: Make) -> None:
    def slow() -> Iterator[pa.Table]:
        with pytest.raises(DatabaseError, match=r"Another seeding of this database .* over 0\.2 s"):
            seed_templates(database, [make_rows(1)], "second", limits=Limits(turn_s=0.2))
        yield make_rows(3)

    assert seed_templates(database, slow(), "first").inserted == 3


def test_an_error_of_the_source_leaves_the_table_as_it_was(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(5)], "build-1")
    before = connection.execute(TUPLES).fetchall()

    def broken() -> Iterator[pa.Table]:
        yield make_rows(50, first=100)
        raise ConfigError("a shard is damaged")

    with pytest.raises(ConfigError, match="a shard is damaged"):
        seed_templates(database, broken(), "build-2")
    assert connection.execute(TUPLES).fetchall() == before


def test_a_session_killed_half_way_leaves_the_table_as_it_was_and_the_next_one_goes_through(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(5)], "build-1")
    before = connection.execute(TUPLES).fetchall()

    def killed() -> Iterator[pa.Table]:
        yield make_rows(50, first=100)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mannequin'"
        )
        while one(connection, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mannequin'"):
            pass
        for first in range(1000, 3000, 500):
            yield make_rows(500, first=first)

    with pytest.raises(DatabaseError, match="The build is kept"):
        seed_templates(database, killed(), "build-2")
    assert connection.execute(TUPLES).fetchall() == before
    assert seed_templates(database, [make_rows(50, first=100)], "build-2").inserted == 50


def test_the_application_may_read_and_count_while_we_seed(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(20)
    seed_templates(database, [rows], "build-1")

    def watched() -> Iterator[pa.Table]:
        yield rows.slice(0, 10)
        connection.execute("SET lock_timeout = '1s'")
        assert connection.execute('UPDATE pose_templates SET "usageCount" = "usageCount" + 1').rowcount == 20
        yield rows.slice(10)

    assert seed_templates(database, watched(), "build-2").unchanged == 20
    assert one(connection, 'SELECT sum("usageCount") FROM pose_templates') == 20


def test_rows_that_somebody_deletes_meanwhile_abort_the_seeding(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(10)], "build-1")
    connection.execute(
        """CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
           CREATE TRIGGER swallow BEFORE UPDATE ON pose_templates FOR EACH ROW
           WHEN (old.description = 'mannequin 4') EXECUTE FUNCTION swallow()"""
    )
    with pytest.raises(DatabaseError, match=r"9 rows instead of 10"):
        seed_templates(database, [make_rows(10, caption=["changed"] * 10)], "build-2")
    assert one(connection, "SELECT count(*) FROM pose_templates WHERE description = 'changed'") == 0


def test_forgotten_templates_are_deleted_and_stay_out(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    rows = make_rows(10)
    seed_templates(database, [rows], "build-1")
    gone = template_id("mannequins/000003")
    report = forget(database, [gone, "cuid-of-the-application"])
    assert (report.deleted, report.scrubbed, report.not_ours) == (1, 0, ("cuid-of-the-application",))
    assert connection.execute("SELECT FROM pose_templates WHERE id = %s", (gone,)).rowcount == 0
    assert (
        one(connection, "SELECT count(*) FROM mannequin.mannequin_templates WHERE sample_id = 'mannequins/000003'") == 0
    )
    report_after = seed_templates(database, [rows], "build-2", Listing(everything=True))
    assert (report_after.forgotten, report_after.unchanged, report_after.total_owned) == (1, 9, 9)
    assert accounts(report_after) == 10
    assert forget(database, [gone]).deleted == 0


@pytest.mark.parametrize(
    "key", ["", "REFERENCES pose_templates ON DELETE CASCADE", "REFERENCES pose_templates ON DELETE RESTRICT"]
)
def test_forgetting_empties_what_the_application_refers_to(
    database: str, connection: psycopg.Connection, make_rows: Make, key: str
) -> None:
    seed_templates(database, [make_rows(4)], "build-1")
    used, unused = template_id("mannequins/000001"), template_id("mannequins/000002")
    connection.execute(f'CREATE TABLE generated_poses (id int, "poseTemplateId" text {key})')
    connection.execute("INSERT INTO generated_poses VALUES (1, %s)", (used,))
    report = forget(database, [used, unused])
    assert (report.deleted, report.scrubbed) == (1, 1)
    assert connection.execute("SELECT * FROM generated_poses").fetchall() == [(1, used)]
    row = connection.execute(
        'SELECT "keypointsJson", "previewUrl", tags, description, "isActive" FROM pose_templates WHERE id = %s', (used,)
    ).fetchone()
    assert row == ('{"version":1.3,"people":[]}', "", "[]", None, False)
    assert seed_templates(database, [make_rows(4)], "build-2", Listing(everything=True)).forgotten == 2
    assert one(connection, 'SELECT count(*) FROM pose_templates WHERE "isActive"') == 2


def test_nothing_is_ours_in_a_table_we_never_seeded(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    seed_templates(database, [make_rows(2)], "build-1")
    connection.execute("DROP SCHEMA mannequin CASCADE")
    assert forget(database, [template_id("mannequins/000001")]).deleted == 0
    report = seed_templates(database, [make_rows(2)], "build-2", Listing(everything=True, force=True))
    assert replace(report, foreign_ids=()) == SeedReport(
        rows=2, inserted=0, updated=0, unchanged=0, foreign=2, forgotten=0, retired=0, reactivated=0,
        refused_to_retire=0, total_owned=0, total_active=0,
    )  # fmt: skip
