"""A task whose native code hangs: Prefect's own timeout never reaches it, ours does, and the run completes."""

import time
from pathlib import Path

import pytest

from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.shards.watchdog import HANG_VARIABLE
from tests.shards.test_shards_attempts import Fragile, FragileConfig


@pytest.mark.slow
def test_a_run_goes_on_past_native_code_that_hangs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    store = Store(tmp_path / "store")

    @task(cache_policy=NO_CACHE)
    def make(fault: str) -> dict[str, int]:
        return realise(Derivation(Fragile(FragileConfig(fault=fault))), store).record.rejected

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def dataset(fault: str, timeout_s: float) -> list[dict[str, int]]:
        bounded = make.with_options(timeout_seconds=timeout_s)
        return [each.result() for each in (bounded.submit(fault), bounded.submit("none"))]

    monkeypatch.setenv(HANG_VARIABLE, "0")
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        dataset("hangs", timeout_s=1)
    assert time.monotonic() - begun > 4  # as long as the native call lasts

    monkeypatch.setenv(HANG_VARIABLE, "0.5")
    begun = time.monotonic()
    assert dataset("hangs for ever", timeout_s=120) == [{"decoder_crashed": 1}, {}]
    assert time.monotonic() - begun < 60
