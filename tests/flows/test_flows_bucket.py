"""Whole flows with their store in a bucket: the bytes of a local store, found and asked about from other machines."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_API_URL
from pydantic import BaseModel, SecretStr
from typer.testing import CliRunner

from blocks import Store as StoreBlock
from flows.cli import app
from tasks.machine.places import PlaceNames
from tasks.machine.task import store_of
from tasks.models import cards
from tasks.poses.config import PoseTemplatesForm, Seeding
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tests.flows.kill_datasets import DATASETS, MAYBE_UNLIKE
from tests.patches.patch_trees import contents
from tests.shards.s3_server import Wire, bucket_at, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]

FOUND = {
    "pose_templates": {"describe", "select", "combine"},
    "video_patches": {"look"},
    "runway_street": {"look", "group", "learn", "predict", "compare"},
    "music_to_pose": {"look", "split"},
    "webbody": {"download", "look", "neighbours", "link", "clean", "divide"},
}
"""The first words of the tasks that another machine finds done: patches are files of a tree, which each cuts itself."""

LAST = {
    "pose_templates": "templates",
    "video_patches": "patches",
    "runway_street": "predict",
    "music_to_pose": "split",
    "webbody": "members",
}
"""The output whose samples are asked about."""

REAL = ("music_to_pose", "webbody")
"""Flows that want real weights."""

SHARED = ("shards", "builds", "ledgers", "verdicts")
ELSEWHERE = "is not on this machine: ask where it is"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as at:
        yield at


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Commands ask the server of the tests, and models that a test adds go with it."""
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    monkeypatch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
    monkeypatch.setattr(cards, "CARDS", cards.CARDS)


def save(name: str, root: Path, endpoint: str, prefix: str) -> None:
    """A block of a store in a bucket."""
    at = {"endpoint": endpoint, "key": SecretStr("key"), "secret": SecretStr("secret")}
    StoreBlock(root=str(root), url=f"s3://mannequin/{prefix}", **at).save(name, overwrite=True)


def run(flow: str, form: BaseModel, store: str) -> tuple[str, Sequence[TaskRun]]:
    """The manifest of a run, and its task runs."""
    state: State[Any] = getattr(import_module(f"flows.{flow}"), flow)(form, PlaceNames(store=store), return_state=True)
    manifest = state.result().manifest
    with get_client(sync_client=True) as client:
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        return manifest, client.read_task_runs(flow_run_filter=mine)


def found(runs: Sequence[TaskRun]) -> set[str]:
    return {each.name.split(" ")[0].split("-")[0] for each in runs if each.state_name == "Cached"}


def without_place(files: dict[str, bytes], *roots: Path) -> dict[str, bytes]:
    """Files but for the names of the folders of stores in them."""
    for root in roots:
        files = {name: data.replace(str(root).encode(), b"home") for name, data in files.items()}
    return files


def said(*words: str, status: int = 0) -> str:
    """What a command says."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == status, (words, done.output, done.exception)
    return " ".join(done.output.split())


@pytest.mark.parametrize("flow", [pytest.param(each, marks=[pytest.mark.real] * (each in REAL)) for each in FOUND])
def test_a_flow_on_a_bucket(
    flow: str, endpoint: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    real = request.getfixturevalue("real_data") if flow in REAL else Path("/")
    data, prefix = DATASETS[flow](tmp_path / "data", real), flow.replace("_", "-")
    form, bucket = data.form, bucket_at(endpoint, prefix)
    if isinstance(form, PoseTemplatesForm):
        form = form.model_copy(update={"seeding": Seeding(enabled=False)})
    if data.models is not None:
        monkeypatch.setenv("MANNEQUIN_MODELS", str(data.models))
    local, here, there, asks = (tmp_path / name for name in ("local", "here", "there", "asks"))
    StoreBlock(root=str(local)).save("of-local", overwrite=True)
    for root in (here, there, asks):
        save(f"of-{root.name}", root, endpoint, prefix)
    if data.before is not None:
        shutil.copytree(data.before / "shards", local / "shards")
        for name in contents(data.before / "shards"):
            bucket.put(data.before / "shards" / name, f"shards/{name}")

    alone, _ = run(flow, form, "of-local")
    made, _ = run(flow, form, "of-here")
    again, runs = run(flow, form, "of-there")
    assert made == again == alone
    assert found(runs) == FOUND[flow]
    ran = {path.stem for path in (there / "times").glob("*")}
    assert ran == ({"patches"} if flow == "video_patches" else set())
    in_bucket = {name: bucket.read(name) for kind in SHARED for name, _ in bucket.listing(kind)}
    on_disk = {name: each for name, each in contents(local).items() if name.startswith(SHARED)}
    assert without_place(in_bucket, here, there) == without_place(on_disk, local)
    trees = [without_place(contents(root / "exports"), root) for root in (local, here, there)]
    for tree in trees:
        tree.pop(MAYBE_UNLIKE.removeprefix("exports/"), None)
    assert trees[0] == trees[1] == trees[2] != {}

    ask(flow, asks, tmp_path / "sheet")
    assert "as it was written" in said("verify", "--store", "of-here")


def ask(flow: str, root: Path, sheet: Path) -> None:
    """Every command on the store, each from a machine that has nothing of it yet."""
    store = store_of("of-asks")
    sample, at = a_sample(store, flow), ("--store", "of-asks")
    cut = flow == "video_patches"
    size = {"video_patches": "--films", "music_to_pose": "--videos"}.get(flow, "--rows")
    wanted: dict[tuple[str, ...], tuple[str, int]] = {
        ("explain", sample): ("Stages", 0),
        ("remake", sample): (ELSEWHERE, 1) if cut else ("Equal:", 0),
        ("audit", flow, "-n", "2", "-o", str(sheet)): {
            "video_patches": (ELSEWHERE, 1),
            "runway_street": ("a sheet of its own", 1),
        }.get(flow, ("samples in", 0)),
        ("report", flow): (".html", 0),
        ("compare", flow, flow): ("Both hold the same rows", 0),
        ("status",): (store.place, 0),
        ("plan", flow, size, "100"): ("of this store", 0),
        ("delete", read_manifest(store, flow).shards[-1].stage): ("Nothing was deleted", 0),
        ("forget", sample): ("Nothing was changed", 0),
        ("verify",): ("as it was written", 0),
    }
    for words, (answer, status) in wanted.items():
        shutil.rmtree(root)
        assert answer in said(*words, *at, status=status), words
    shutil.rmtree(root)
    seen = json.loads(CliRunner().invoke(app, ["monitor", "--json", *at]).stdout)
    assert [(each["flow"], each["state"]) for each in seen["ended"]] == [(flow, "completed")] * 2
    assert sum(stage["made"] for stage in seen["ended"][-1]["stages"]) > 0
    if cut:
        assert "There is no folder" in said("monitor", flow, *at, status=1)
        assert "small" in said("monitor", flow, "--once", "--store", "of-here")
    assert "1 sample is forgotten" in said("forget", sample, "--yes", *at)
    assert "was forgotten on request" in said("explain", sample, "--store", "of-here", status=1)


def a_sample(store: Store, flow: str) -> str:
    """The id of a sample that a build kept to its end."""
    refs = read_manifest(store, flow).outputs[LAST[flow]]
    records = [store.find(ref.stage, ref.key) for ref in refs]
    tables = [pq.read_table(store.data_path(each), columns=["sample_id"]) for each in records if each is not None]
    return str(next(table["sample_id"][0].as_py() for table in tables if table.num_rows))


def test_a_run_outlives_a_bucket_that_is_away_for_a_while(endpoint: str, tmp_path: Path) -> None:
    dolls = PhotoSource(name="dolls", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=4, near_duplicates=False)
    form = PoseTemplatesForm(sources=(dolls,), shard_rows=4, controls=False, seeding=Seeding(enabled=False))
    wire, bucket = Wire(endpoint), bucket_at(endpoint, "away")
    wire.mend()
    save("of-wire", tmp_path / "wire", wire.endpoint, "away")
    save("of-away", tmp_path / "other", endpoint, "away")

    def cut_until_somebody_waits() -> None:
        until(lambda: bucket.holds_any("shards"))
        wire.cut()
        with get_client(sync_client=True) as client:
            until(lambda: any(each.state_name == "AwaitingRetry" for each in client.read_task_runs()))
        wire.mend()

    cutting = threading.Thread(target=cut_until_somebody_waits, daemon=True)
    cutting.start()
    made, runs = run("pose_templates", form, "of-wire")
    cutting.join()
    assert max(each.run_count for each in runs) > 1
    assert run("pose_templates", form, "of-away")[0] == made
    wire.cut()


def until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not so() and time.monotonic() < end:
        time.sleep(0.2)
