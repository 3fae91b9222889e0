"""The form of the runner, and what follows it."""

import os
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.machine.runner import AsAsked, Runner, distributor_of
from tasks.webbody.config import DownloadRules


def test_no_workers_are_one_a_core() -> None:
    assert Runner().width == os.cpu_count()
    assert Runner(workers=3).width == 3


@pytest.mark.parametrize("address", ["ray://head:10001", "10.0.0.1:6379", "auto", ""])
def test_rays_have_addresses(address: str) -> None:
    assert Runner(kind="ray", address=address).address == address


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "ray", "address": "head"},
        {"kind": "ray", "address": "http://head:8265"},
        {"kind": "threads", "address": "ray://head:10001"},
        {"most_task_runs": 100_000},
        {"gpus": -1},
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Runner.model_validate(given)


@pytest.mark.parametrize(
    ("asked", "runner", "expected"),
    [
        ("runner", Runner(workers=4), ("multiprocessing", 2)),
        ("runner", Runner(kind="processes", workers=4), ("multiprocessing", 4)),
        ("runner", Runner(kind="ray", workers=4), ("ray", 4)),
        ("threads", Runner(kind="ray", workers=4), ("threads", 2)),
    ],
)
def test_a_task_spreads_its_work_as_the_runner_says(asked: AsAsked, runner: Runner, expected: tuple[str, int]) -> None:
    assert distributor_of(asked, 2, runner) == expected


def test_only_who_counts_gpus_takes_slots() -> None:
    assert [Runner(kind=kind, gpus=gpus).takes_slots for kind in ("processes", "ray") for gpus in (0, 0.5)] == [
        False,
        True,
        False,
        False,
    ]


def test_downloads_saved_with_a_distributor_still_load() -> None:
    assert DownloadRules.model_validate({"processes": 4, "distributor": "ray", "threads": 8}) == DownloadRules(
        threads=8
    )
