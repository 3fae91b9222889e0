"""The flow on a local server, as far as no weights are needed: funnel, retries, shares, refusals, what is said."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort
from pydantic import ValidationError

from flows.webbody import webbody
from tasks.machine.places import PlaceNames
from tasks.machine.task import machine
from tasks.schema.errors import MannequinError, ModelError
from tasks.shards.derive import StageNotRunError
from tasks.shards.manifest import Manifest, read_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tasks.webbody.build import UNFINISHED, Summary
from tasks.webbody.config import DownloadRules, Share, WebBodyForm
from tasks.webbody.task import DATA_ROOT, data_root
from tests.download.url_server import UrlServer, jpeg

pytestmark = pytest.mark.timeout(180)

GOOD = [f"/ok/{number}" for number in range(6)]
FAILING = {
    "/status/404": "http_gone",
    "/robots/noai": "opted_out",
    "/redirect/http://10.0.0.1/a.jpg": "redirect_refused",
    "/file/late": "http_server_error",
}
FLAKY = "/flaky/0"
MALFORMED = ("garbage", "77 somebody ftp://example.org/a.jpg")
PURPOSE = {"purpose": "testing", "legal_basis": "consent", "jurisdiction": "EU"}


@pytest.fixture(scope="module")
def server() -> Iterator[UrlServer]:
    with UrlServer() as served:
        yield served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANNEQUIN_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.delenv(DATA_ROOT, raising=False)


def write_list(path: Path, server: UrlServer, paths: list[str], more: tuple[str, ...] = ()) -> Path:
    lines = [f"{number} label-{number % 3} {server.url(at)}" for number, at in enumerate(paths)]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path


def form_of(path: Path, name: str = "web", **changes: Any) -> WebBodyForm:
    source = {"name": name, "location": str(path)}
    return WebBodyForm.model_validate(
        {"sources": [source], "purpose": PURPOSE, "part_rows": 8, "until": "download", "controls": False} | changes
    )


def run(form: WebBodyForm) -> tuple[Summary, Counter[tuple[str, str]]]:
    """The summary of a run, and how many task runs of which task ended in which state."""
    state: State[Summary] = webbody(form, return_state=True)
    summary = state.result()
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        )
    return summary, Counter((each.name.split(" web")[0].rsplit("-", 1)[0], str(each.state_name)) for each in runs)


def artifact(key: str) -> list[dict[str, Any]]:
    """The rows of the table artifact that was written last."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    rows: list[dict[str, Any]] = json.loads(str(found[0].data))
    return rows


def ids_of(store: Store, manifest: Manifest, output: str) -> list[str]:
    """Sample ids of the kept rows of an output, shard by shard."""
    records = [store.read_record(ref.stage, ref.key) for ref in manifest.outputs[output]]
    return [
        sample
        for record in records
        if record is not None
        for sample in pq.read_table(store.data_path(record), columns=["sample_id"])["sample_id"].to_pylist()
    ]


@pytest.fixture(scope="module")
def listed(server: UrlServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = [*GOOD, FLAKY, *FAILING]
    return write_list(tmp_path_factory.mktemp("lists") / "web.lst", server, paths, MALFORMED)


@pytest.fixture(scope="module")
def first(home: Path, server: UrlServer, listed: Path) -> tuple[Summary, Counter[tuple[str, str]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANNEQUIN_ALLOW_NETWORKS", "127.0.0.0/8")
        return run(form_of(listed))


def test_every_line_is_kept_or_rejected_with_its_reason(
    first: tuple[Summary, Counter[tuple[str, str]]], home: Path
) -> None:
    summary, tasks = first
    assert summary.rows == {"urls": 11, "download": 7, "consent": 7}
    assert summary.urls == {"fetched": 7, "failed": 3, "will retry": 1}
    assert summary.rejected == Counter(FAILING.values()) + Counter({"url_malformed": 2})
    funnel = read_manifest(Store(home), UNFINISHED, summary.manifest).funnel
    assert {line.stage: (line.rows_in, line.rows_kept) for line in funnel.lines} == {
        "urls": (13, 11),
        "download": (11, 7),
        "consent": (7, 7),
    }
    assert all(line.rows_in == line.rows_kept + sum(line.rejected.values()) for line in funnel.lines)
    assert {name for name, state in tasks if state != "Completed"} == set()
    assert (summary.identities, summary.splits, summary.exports) == (None, {}, ())
    assert verify_store(Store(home)).ok


def test_the_states_of_the_urls_are_an_artifact(first: object) -> None:
    states = {(row["status"], row["reason"]): row["urls"] for row in artifact("webbody-urls")}
    assert states == {
        ("fetched", None): 7,
        ("failed", "http_gone"): 1,
        ("failed", "opted_out"): 1,
        ("failed", "redirect_refused"): 1,
        ("will retry", "http_server_error"): 1,
    }
    assert [row["host"] for row in artifact("webbody-hosts")] == ["127.0.0.1"]
    assert {row["stage"] for row in artifact("webbody-funnel")} == {"urls", "download", "consent"}


def test_a_second_run_finds_everything_and_asks_for_nothing(
    first: tuple[Summary, Counter[tuple[str, str]]], server: UrlServer, listed: Path
) -> None:
    asked = len(server.requests)
    summary, tasks = run(form_of(listed))
    assert len(server.requests) == asked
    assert {state for name, state in tasks if name == "download"} == {"Cached"}
    assert summary == first[0]


@pytest.mark.slow
def test_what_is_due_again_is_fetched_alone(first: object, server: UrlServer, listed: Path, home: Path) -> None:
    server.files["late"] = jpeg(9)
    before = {record.key for record in Store(home).records()}
    asked = len(server.requests)
    due = form_of(listed, download=DownloadRules(first_pause_h=0))
    summary, _ = run(due)
    assert {path for path, _, _ in server.requests[asked:]} == {"/file/late"}
    made = {record.stage: record for record in Store(home).records() if record.key not in before}
    assert {stage: record.data.rows for stage, record in made.items()} == {
        "retry_urls": 1,
        "download": 1,
        "consent": 1,
    }
    assert pq.read_table(Store(home).data_path(made["download"]))["attempt"].to_pylist() == [1]
    assert summary.urls == {"fetched": 8, "failed": 3}

    asked = len(server.requests)
    again, tasks = run(due)
    assert len(server.requests) == asked
    assert {state for name, state in tasks if name == "download"} == {"Cached"}
    assert again == summary


@pytest.mark.slow
def test_policies_change_and_only_what_they_change_is_made(home: Path, server: UrlServer, tmp_path: Path) -> None:
    listed = write_list(tmp_path / "consent.lst", server, [*GOOD[:2], "/robots/noai"])
    first, _ = run(form_of(listed, "consent"))
    assert (first.rows["consent"], first.rejected) == (2, {"opted_out": 1})

    blocked = tmp_path / "block.txt"
    blocked.write_text(f"{server.url(GOOD[0])}  # asked us to\n")
    asked = len(server.requests)
    stricter, _ = run(form_of(listed, "consent", download=DownloadRules(consent={"block_list": str(blocked)})))
    assert (stricter.rows["consent"], stricter.rejected) == (1, {"blocked": 1, "opted_out": 1})
    assert str(tmp_path) not in json.dumps(read_manifest(Store(home), UNFINISHED, stricter.manifest).params["download"])
    again, tasks = run(form_of(listed, "consent"))
    assert len(server.requests) == asked
    assert ({state for name, state in tasks if name.startswith("download")}, again) == ({"Cached"}, first)

    milder, _ = run(form_of(listed, "consent", download=DownloadRules(respect_opt_out=False)))
    assert [path for path, _, _ in server.requests[asked:]] == ["/robots/noai"]
    assert (milder.rows["consent"], milder.urls) == (3, {"fetched": 3})
    back, _ = run(form_of(listed, "consent"))
    assert len(server.requests) == asked + 1
    assert (back.rows["consent"], back.urls) == (2, {"fetched": 2, "failed": 1})


@pytest.mark.slow
def test_an_own_network_is_refused_unless_it_was_named(
    home: Path, server: UrlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MANNEQUIN_ALLOW_NETWORKS")
    asked = len(server.requests)
    summary, _ = run(form_of(write_list(tmp_path / "own.lst", server, GOOD[:3]), "own"))
    assert summary.rejected == {"address_refused": 3}
    assert summary.rows == {"urls": 3, "download": 0, "consent": 0}
    assert len(server.requests) == asked


def test_a_stage_whose_input_was_not_made_says_so(home: Path, server: UrlServer, tmp_path: Path) -> None:
    asked = len(server.requests)
    lone = form_of(write_list(tmp_path / "lone.lst", server, GOOD), "lone", only_stages=("people",), until="exports")
    with pytest.raises(StageNotRunError, match="download has not run"):
        webbody(lone)
    assert len(server.requests) == asked


def test_missing_weights_are_one_clear_error_and_cost_nothing(
    first: object, home: Path, server: UrlServer, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANNEQUIN_MODELS", str(tmp_path))
    before = {(record.stage, record.key) for record in Store(home).records()}
    asked = len(server.requests)
    with pytest.raises(ModelError, match="yolov8n-pose-dequantised"):
        webbody(form_of(listed, until="people", bodies={"model": "yolov8n-pose-dequantised"}))
    after = {(record.stage, record.key) for record in Store(home).records()}
    assert before <= after
    assert {stage for stage, _ in after - before} <= {"people"}, "only a part without a photo has no need of weights"
    assert len(server.requests) == asked
    assert verify_store(Store(home)).ok


@pytest.mark.slow
def test_shares_cover_all_parts_and_none_twice(home: Path, server: UrlServer, tmp_path: Path) -> None:
    path = write_list(tmp_path / "shared.lst", server, [f"/ok/shared-{number}" for number in range(12)])
    store = Store(home)
    shares = []
    for index in range(2):
        form = form_of(path, "shared", share=Share(index=index, count=2))
        summary, _ = run(form.model_copy(update={"until": "download"}))
        shares.append(ids_of(store, read_manifest(store, UNFINISHED, summary.manifest), "photos"))
    assert [len(share) for share in shares] == [8, 4]
    asked = len(server.requests)
    whole, _ = run(form_of(path, "shared"))
    assert len(server.requests) == asked
    everything = ids_of(store, read_manifest(store, UNFINISHED, whole.manifest), "photos")
    assert sorted(shares[0] + shares[1]) == sorted(everything)
    assert len(set(everything)) == 12


def test_a_share_never_joins_what_others_have(listed: Path) -> None:
    assert form_of(listed, until="exports", share=Share(index=1, count=3)).steps[-1] == "gate"


def test_lists_of_one_name_are_refused() -> None:
    sources = [{"name": "web", "location": "/a.lst"}, {"name": "web", "location": "/b.lst"}]
    with pytest.raises(ValidationError, match="share a name"):
        WebBodyForm.model_validate({"sources": sources, "purpose": PURPOSE})


def test_the_variable_says_where_exports_go(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(PlaceNames())
    assert data_root(here) == home / "exports" / "webbody"
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    assert data_root(here) == tmp_path
    monkeypatch.setenv(DATA_ROOT, "somewhere")
    with pytest.raises(MannequinError, match=DATA_ROOT):
        data_root(here)
