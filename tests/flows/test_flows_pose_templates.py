"""The whole flow on rendered mannequins: first run, found again, changed threshold, two at once, Postgres down."""

import csv
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import State

import flows.pose_templates as module
from blocks import Database
from flows.pose_templates import pose_templates
from tasks.audit.flows import read_audit, write_audit
from tasks.audit.ledger import add_audit_verdicts
from tasks.catalog.embedded import start_embedded
from tasks.controls.show import read_controls
from tasks.forget.outside_search import search_for
from tasks.ingest.hub import HubAccess
from tasks.machine.places import Machine, PlaceNames
from tasks.models.zoo import Zoo
from tasks.poses.build import BuildSummary
from tasks.poses.config import Exports, KeypointRules, PhotoRules, PoseTemplatesForm, Seeding
from tasks.reports.build_facts import BuildFacts
from tasks.schema.columns import IMAGE
from tasks.schema.errors import DatabaseError
from tasks.schema.sources import ColumnMapping, PhotoSource, SourceKind
from tasks.shards.manifest import read_manifest, rejects
from tasks.shards.store import Store
from tasks.shards.verify import verify_store

pytestmark = pytest.mark.timeout(300)


def mannequins(limit: int = 14) -> PhotoSource:
    return PhotoSource(
        name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=limit, near_duplicates=False
    )


FORM = PoseTemplatesForm(
    sources=(mannequins(),), shard_rows=8, exports=Exports(folders=True, parquet=True), controls=False
)


def run(form: PoseTemplatesForm) -> tuple[BuildSummary, Counter[tuple[str, str]]]:
    """The summary of a run, and how many task runs of which task ended in which state."""
    state: State[BuildSummary] = pose_templates(form, return_state=True)
    summary = state.result()
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        )
    return summary, Counter((each.name.split(" mannequins")[0].rsplit("-", 1)[0], each.state_name) for each in runs)


@pytest.fixture(scope="module")
def first(home: Path) -> tuple[BuildSummary, Counter[tuple[str, str]]]:
    return run(FORM)


def test_the_first_run_makes_everything(first: tuple[BuildSummary, Counter[tuple[str, str]]], home: Path) -> None:
    summary, tasks = first
    assert sum(summary.templates.values()) == 14
    assert tasks == {
        ("list", "Completed"): 1,
        ("describe", "Completed"): 2,
        ("select", "Completed"): 1,
        ("combine", "Completed"): 1,
        ("publish previews", "Completed"): 1,
        ("export folders", "Completed"): 1,
        ("export Parquet", "Completed"): 1,
        ("report", "Completed"): 1,
        ("show", "Completed"): 1,
        ("fill Postgres", "Completed"): 1,
    }
    assert summary.seeded is not None
    assert (summary.seeded.inserted, summary.seeded.total_active) == (14, 14)
    assert len(list((home / "public" / "pose_templates").glob("*_thumbnail.jpg"))) == 14
    funnel = read_manifest(Store(home), "pose_templates").funnel
    assert [line.rows_in for line in funnel.lines] == [16, 16, 16, 16, 16, 16, 14]
    assert verify_store(Store(home)).ok


def test_postgres_holds_what_the_readers_read(first: object, home: Path) -> None:
    with psycopg.connect(start_embedded(home / "postgres")) as connection:
        rows = connection.execute(
            'SELECT "keypointsJson", "previewUrl", difficulty, tags, "avgQualityScore" FROM pose_templates'
        ).fetchall()
    for keypoints, url, difficulty, tags, quality in rows:
        pose = json.loads(keypoints)
        assert len(pose["people"][0]["pose_keypoints_2d"]) == 54
        assert (pose["canvas_width"], pose["canvas_height"]) == (512, 512)
        assert (home / "public" / url).is_file()
        assert difficulty in ("easy", "medium", "hard")
        assert json.loads(tags)
        assert 0 < quality <= 1


def test_the_second_run_finds_everything(first: tuple[BuildSummary, object], home: Path) -> None:
    summary, tasks = run(FORM)
    assert {name for name, state in tasks if state == "Cached"} == {"describe", "select", "combine"}
    assert tasks["describe", "Cached"] == 2
    assert summary.manifest == first[0].manifest
    assert summary.seeded is not None
    assert (summary.seeded.inserted, summary.seeded.updated, summary.seeded.unchanged) == (0, 0, 14)


def test_what_people_find_wrong_stands_in_the_card(first: object, home: Path, tmp_path: Path) -> None:
    store = Store(home)
    here = Machine(store, HubAccess(), Zoo(home / "models"))
    facts = BuildFacts.of(store, "pose_templates")
    assert write_audit(facts, 10, tmp_path / "sheet", here) == 10
    table = tmp_path / "sheet" / "audit.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row |= {"joints_fit": "wrong" if row is rows[0] else "right", "tags_fit": "unsure"}
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert add_audit_verdicts(store, read_audit(table, facts)) == 20
    run(FORM)
    card = (home / "exports" / "pose_templates_parquet" / "README.md").read_text()
    assert (
        "| The joints lie where they are, left and right not swapped | 1 | 10 | 10.0% | 0.3% to 44.5% | 0 | 0 |" in card
    )
    assert "The tags are true" not in card


@pytest.mark.slow
def test_controls_come_back_and_into_no_export(first: tuple[BuildSummary, object], home: Path) -> None:
    controlled = FORM.model_copy(update={"controls": True, "seeding": Seeding(enabled=False)})
    summary, tasks = run(controlled)
    assert tasks["controls", "Completed"] == 1
    assert summary.manifest == first[0].manifest
    report = read_controls(Store(home), "pose_templates", summary.manifest)
    assert report is not None
    assert report.blamed is None
    page = (home / "reports" / "pose_templates" / f"{summary.manifest}.html").read_text()
    assert "all came back as they must" in page
    assert not search_for([home / "shards", home / "exports", home / "public", home / "builds"], [b"control/"])
    _, again = run(controlled)
    assert again["controls", "Cached"] == 1


@pytest.mark.parametrize(
    ("changed", "reran"),
    [
        pytest.param({"sources": (mannequins(limit=12),)}, {"select", "combine"}, marks=pytest.mark.slow),
        pytest.param({"photos": PhotoRules(min_side_px=300)}, {"inspect"}, marks=pytest.mark.slow),
        pytest.param({"keypoints": KeypointRules(min_joints=9)}, {"keypoints"}, marks=pytest.mark.slow),
        ({"photos": PhotoRules(near_duplicate_distance=3)}, set()),
    ],
)
def test_a_changed_threshold_reruns_only_what_depends_on_it(
    first: object, home: Path, changed: dict[str, object], reran: set[str]
) -> None:
    before = {(record.stage, record.key) for record in Store(home).records()}
    run(FORM.model_copy(update={**changed, "seeding": Seeding(enabled=False), "exports": Exports()}))
    after = {(record.stage, record.key) for record in Store(home).records()}
    assert {stage for stage, _ in after - before} == reran


@pytest.mark.slow
def test_a_stricter_rule_reads_on_until_enough_is_kept(home: Path) -> None:
    strict = FORM.model_copy(update={"keypoints": KeypointRules(min_joints=17), "seeding": Seeding(enabled=False)})
    summary, tasks = run(strict)
    assert sum(summary.templates.values()) == 14
    assert tasks["describe", "Completed"] == 3
    assert summary.rejected["too_few_joints"] > 0


@pytest.mark.slow
def test_a_source_that_gives_nothing_loses_no_reject_and_stops_nobody(home: Path, tmp_path: Path) -> None:
    broken = [{"image": {"bytes": bytes([n]), "path": None}, "drawing": None} for n in range(6)]
    pq.write_table(pa.Table.from_pylist(broken, pa.schema({"image": IMAGE, "drawing": IMAGE})), tmp_path / "b.parquet")
    source = PhotoSource(
        name="broken",
        kind=SourceKind.PARQUET,
        location=str(tmp_path / "b.parquet"),
        columns=ColumnMapping(conditioning="drawing"),
    )
    summary, _ = run(PoseTemplatesForm(sources=(source,), keypoints=KeypointRules(pose_model=""), shard_rows=2))
    assert summary.templates == {}
    assert summary.seeded is not None
    assert summary.seeded.retired == 0
    manifest = read_manifest(Store(home), "pose_templates")
    assert manifest.funnel.line("ingest").rows_in == 6
    assert sum(batch.num_rows for batch in rejects(Store(home), manifest)) == 6


@pytest.mark.slow
def test_a_lowered_limit_retires_nothing(home: Path) -> None:
    fewer = FORM.model_copy(update={"sources": (mannequins(limit=13),), "exports": Exports()})
    summary, _ = run(fewer)
    assert summary.seeded is not None
    assert (summary.seeded.unchanged, summary.seeded.retired) == (13, 0)


@pytest.mark.slow
def test_two_runs_of_one_build_at_once_give_one_output(home: Path) -> None:
    form = FORM.model_copy(update={"sources": (mannequins().model_copy(update={"seed": 5, "name": "twins"}),)})
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: pose_templates(form), range(2))
    assert one.manifest == other.manifest
    store = Store(home)
    assert len(list((home / "shards").glob("*/*/shard-*.parquet"))) == len(store.records())
    assert verify_store(store).ok


@pytest.mark.slow
def test_postgres_down_keeps_the_build_and_seeding_resumes_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fill_postgres", module.fill_postgres.with_options(retries=0))
    Database(url="postgresql://nobody:geheim@127.0.0.1:9/none").save("down", overwrite=True)
    form = FORM.model_copy(update={"sources": (mannequins().model_copy(update={"seed": 6, "name": "later"}),)})
    with pytest.raises(DatabaseError) as told:
        pose_templates(form, PlaceNames(database="down"))
    assert "geheim" not in str(told.value)
    before = {record.key for record in Store(home).records()}
    summary, tasks = run(form)
    assert {record.key for record in Store(home).records()} == before
    assert tasks["combine", "Cached"] == 1
    assert summary.seeded is not None
    assert summary.seeded.inserted == 14
