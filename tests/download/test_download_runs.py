"""Downloads in other processes, runs that are killed, and what is told of them."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.download.fetching import Machine, Patience
from tasks.download.retry import RetryPolicy, attempts
from tasks.download.stage import SCRATCH_IS_OLD_S, SCRATCH_PREFIX, Download, DownloadConfig, scratch_folder
from tasks.download.tracking import Tracking, started, track
from tasks.download.transport import TransportLimits
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.distribute import Distributor
from tasks.shards.store import Store
from tests.download.conftest import LOCAL
from tests.download.listed import ListedUrls, ListedUrlsConfig
from tests.download.url_server import UrlServer
from tests.shards.test_shards_distribute import in_order

SMALL = DownloadConfig(image_px=64, limits=TransportLimits(total_timeout_s=5.0), patience=Patience(tries=1))
ROOT = Path(__file__).parents[2]


def shards(server: UrlServer, count: int, each: int) -> list[Derivation]:
    return [
        Derivation(
            Download(SMALL, LOCAL, Machine(threads=8)),
            (Derivation(ListedUrls(ListedUrlsConfig(urls=tuple(server.url(f"/ok/{s}/{n}") for n in range(each))))),),
        )
        for s in range(count)
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("distributor", ["multiprocessing", "ray"])
def test_downloads_run_elsewhere(server: UrlServer, tmp_path: Path, distributor: Distributor) -> None:
    if distributor == "ray":
        ray = pytest.importorskip("ray")
        environment = {"PYTHONPATH": str(ROOT), "NO_ALBUMENTATIONS_UPDATE": "1"}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": environment})
    try:
        wanted = shards(server, 3, 5)
        results = in_order(wanted, Store(tmp_path), 2, distributor)
        assert [result.record and result.record.rows_kept for result in results] == [5, 5, 5]
        assert not any(result.ran for result in in_order(wanted, Store(tmp_path), 2, distributor))
    finally:
        if distributor == "ray":
            ray.shutdown()


RUNS = """
import sys
from pathlib import Path

from tasks.shards.derive import realise
from tasks.shards.store import Store
from tests.download.test_download_runs import shards
from tests.download.url_server import UrlServer
from tests.shards.test_shards_distribute import in_order

class Elsewhere:
    url = staticmethod(lambda path: f"http://127.0.0.1:{sys.argv[2]}{path}")

realise(shards(Elsewhere, 1, 40)[0], Store(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_counts(server: UrlServer, tmp_path: Path) -> None:
    server.delay_s = 0.3
    (tmp_path / "tmp").mkdir()
    store = Store(tmp_path / "store")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen([sys.executable, "-c", RUNS, str(store.root), str(server.port)], env=environment)
    until = time.monotonic() + 90
    while len(server.requests) < 20 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert [record.stage for record in store.records()] == ["urls"]
    server.delay_s = 0.0
    (wanted,) = shards(server, 1, 40)
    outcome = realise(wanted, store)
    assert outcome.ran == ("download",)
    assert outcome.record.rows_kept == 40


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_is_asked_again_for_the_rest(tmp_path: Path) -> None:
    from datetime import UTC, datetime, timedelta

    store, policy = Store(tmp_path), RetryPolicy(pauses_s=(60.0,))
    with UrlServer() as server:
        server.delay_s = 0.1
        urls = Derivation(ListedUrls(ListedUrlsConfig(urls=tuple(server.url(f"/ok/{n}") for n in range(60)))))
        stage = Download(SMALL, LOCAL, Machine(threads=4, per_host=4))

        def dies() -> None:
            while len(server.requests) < 20:
                time.sleep(0.01)
            server.stop()

        death = threading.Thread(target=dies)
        death.start()
        (first,) = attempts(store, urls, stage, datetime.now(UTC), policy)
        record = realise(first, store).record
        death.join()
    assert 10 <= record.rows_kept <= 25
    assert record.rejected.keys() <= {Reason.CONNECTION_FAILED.value, Reason.RESPONSE_TRUNCATED.value}
    with UrlServer(port=server.port) as back:
        chain = attempts(store, urls, stage, datetime.now(UTC) + timedelta(minutes=2), policy)
        again = realise(chain[1], store).record
        assert (again.rows_in, again.rows_kept) == (60 - record.rows_kept, 60 - record.rows_kept)
        assert len(back.requests) == again.rows_in
    both = [pq.read_table(store.data_path(each))["sample_id"].to_pylist() for each in (record, again)]
    assert len(set(both[0]) | set(both[1])) == 60


def test_scratch_that_a_killed_run_left_goes_after_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young, foreign = (tmp_path / name for name in (f"{SCRATCH_PREFIX}old", f"{SCRATCH_PREFIX}young", "foreign"))
    for folder in (old, young, foreign):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    past = time.time() - SCRATCH_IS_OLD_S - 60
    os.utime(old, (past, past))
    os.utime(foreign, (past, past))
    with scratch_folder() as mine:
        assert mine.exists()
    assert not old.exists()
    assert not mine.exists()
    assert young.exists()
    assert foreign.exists()


STATISTICS = {
    "count": 4,
    "statuses": {"success": 3, "http_gone": 1},
    "failed_to_resize": 0,
    "start_time": 0.0,
    "end_time": 2.0,
}


@pytest.mark.slow
def test_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    started.cache_clear()
    assert track(Tracking("test"), STATISTICS)
    assert wandb.run is not None
    assert wandb.run.summary["worker/success"] == 0.75
    wandb.finish()
    assert list(tmp_path.rglob("*.wandb"))


@pytest.mark.slow
def test_trouble_with_weights_and_biases_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    asked = []

    def unreachable(**settings: object) -> None:
        asked.append(settings)
        raise OSError("no network")

    monkeypatch.setattr(wandb, "init", unreachable)
    started.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not track(Tracking("unreachable"), STATISTICS)
        assert not track(Tracking("unreachable"), STATISTICS)
    assert len(asked) == caplog.text.count("no network") == 1
