"""WebBody on a Ray of two workers, one of which is killed in the middle, against the same build in threads."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from tasks.machine.places import PlaceNames
from tasks.machine.runner import Runner
from tests.download.url_server import UrlServer
from tests.flows.kill_webbody import form, photos

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(1200)]

PARTS = 7


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    """A Ray that runs already: a head without work, and two machines with a core each."""
    pytest.importorskip("prefect_ray")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def tree(home: Path) -> dict[str, str]:
    """Digests of all that a run left in the store and made of it."""
    rooms = ("shards", "builds", "exports")
    files = [path for room in rooms for path in (home / room).rglob("*") if path.is_file()]
    return {str(path.relative_to(home)): sha256(path.read_bytes()).hexdigest() for path in files}


def kill_in_the_middle(cluster: Any, home: Path, killed: list[int]) -> None:
    """Kill a machine of the cluster with everything that works on it, once a shard of faces is there."""
    while not list(home.glob("shards/faces/*/record.json")):
        time.sleep(0.02)
    node = cluster.list_all_nodes()[-1]
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = [each for each in raylet.children(recursive=True) if "ray::look" in " ".join(each.cmdline())]
    killed.append(len(list(home.glob("shards/gate/*/record.json"))))
    killed.append(len(workers))
    for each in (*workers, raylet):
        os.kill(each.pid, signal.SIGKILL)


def test_a_killed_worker_changes_nothing(
    prefect_server: None, two_workers: Any, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.webbody import webbody

    monkeypatch.setenv("MANNEQUIN_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("MANNEQUIN_MODELS", str(real_data / "models"))
    monkeypatch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
    undisturbed, disturbed = tmp_path / "threads", tmp_path / "ray"
    listed = tmp_path / "web.lst"
    config = form(listed).model_copy(update={"part_rows": 2})
    run: Callable[..., Any] = webbody
    with UrlServer() as server:
        server.files.update(photos(real_data))
        lines = [f"{row} some {server.url(f'/file/{name}')}" for row, name in enumerate(sorted(server.files))]
        listed.write_text("\n".join(lines) + "\n")
        monkeypatch.setenv("MANNEQUIN_HOME", str(undisturbed))
        run(config.model_copy(update={"until": "download"}))
    # times of downloads differ between any two runs: both builds go on from the same ones
    shutil.copytree(undisturbed, disturbed)
    run(config)

    monkeypatch.setenv("MANNEQUIN_HOME", str(disturbed))
    killed: list[int] = []
    killer = threading.Thread(target=kill_in_the_middle, args=(two_workers, disturbed, killed), daemon=True)
    killer.start()
    runner = Runner(kind="ray", address=two_workers.address)
    state = run(config, PlaceNames(), runner, return_state=True)
    assert state.is_completed()
    gated, workers = killed
    assert gated < PARTS
    assert workers == 1
    assert tree(disturbed) == tree(undisturbed)
    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        runs = client.read_task_runs(flow_run_filter=of_run)
    assert {str(each.state_name) for each in runs} <= {"Completed", "Cached"}
    assert sum(each.name.startswith("look at") for each in runs) == PARTS
