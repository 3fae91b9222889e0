"""A whole flow with its store in a bucket: the bytes of a local store, found again, also from another machine."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import State
from pydantic import SecretStr

from blocks import Store as StoreBlock
from flows.pose_templates import pose_templates
from tasks.lineage.explain import explain
from tasks.machine.places import PlaceNames
from tasks.machine.task import store_of
from tasks.poses.build import BuildSummary
from tasks.poses.config import Exports, PoseTemplatesForm, Seeding
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.manifest import latest_digest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.shards.s3_server import bucket_at, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]

SOURCE = PhotoSource(
    name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=6, near_duplicates=False
)
FORM = PoseTemplatesForm(
    sources=(SOURCE,), shard_rows=8, exports=Exports(parquet=True), controls=False, seeding=Seeding(enabled=False)
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as at:
        yield at


def run(store: str) -> tuple[BuildSummary, set[str]]:
    """The summary of a run, and which of its tasks found their output."""
    state: State[BuildSummary] = pose_templates(FORM, PlaceNames(store=store), return_state=True)
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        )
    return state.result(), {each.name.split(" ")[0].split("-")[0] for each in runs if each.state_name == "Cached"}


def test_a_flow_on_a_bucket(endpoint: str, home: Path, tmp_path: Path) -> None:
    for name in ("here", "there"):
        block = StoreBlock(
            root=str(tmp_path / name),
            url="s3://mannequin/flows",
            endpoint=endpoint,
            key=SecretStr("key"),
            secret=SecretStr("secret"),
        )
        block.save(f"bucket-{name}")
    local, found = run("default")
    made, found_here = run("bucket-here")
    assert found == found_here == set()
    assert made.manifest == local.manifest == latest_digest(Store(home), "pose_templates")
    bucket = bucket_at(endpoint, "flows")
    in_bucket = {name: bucket.read(name) for name, _ in bucket.listing("shards")}
    on_disk = (path for path in (home / "shards").rglob("*") if path.is_file())
    assert in_bucket == {path.relative_to(home).as_posix(): path.read_bytes() for path in on_disk}
    for name in ("here", "there"):
        again, found = run(f"bucket-{name}")
        assert found == {"describe", "select", "combine"}
        assert (again.manifest, again.templates) == (made.manifest, made.templates)
    assert not list((tmp_path / "there" / "times").glob("*"))  # no stage ran on the second machine
    exported = [Path(place, "exports", "pose_templates_parquet") for place in (home, tmp_path / "there")]
    tables = [{path.name: path.read_bytes() for path in sorted(folder.rglob("*.parquet"))} for folder in exported]
    assert tables[0] == tables[1] != {}
    sample = next(i for path in exported[1].rglob("*.parquet") for i in pq.read_table(path)["sample_id"].to_pylist())
    told = [explain(store, sample).story for store in (Store(home), store_of("bucket-there"))]
    assert told[0] is not None
    assert told[1] is not None
    assert told[0].steps == told[1].steps
    assert verify_store(store_of("bucket-there")).ok
