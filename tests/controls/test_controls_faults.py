"""Clean builds give no alarm; planted faults are laid at the stage that has them, but for those known to be missed."""

import re
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.controls.faults import Check, Fault, open_checks, planted_faults, try_fault

CLEAN = 100

# albumentations deprecates a name that img2dataset's resizer uses; where a fault is planted, the resizer runs in a fork
pytestmark = pytest.mark.filterwarnings("ignore:value is deprecated, use fill instead:DeprecationWarning")


@cache
def checks(real: Path | None) -> dict[str, Check]:
    return open_checks(Path(mkdtemp(prefix="mannequin-controls-")), real)


def named(fault: Fault) -> str:
    return re.sub(r"\W+", "-", f"{fault.flow} {fault.name}")[:60]


def laid_right(fault: Fault, real: Path | None) -> None:
    tried = try_fault(fault, checks(real)[fault.flow])
    assert tried.caught != fault.missed
    assert tried.right or fault.missed, f"{tried.blamed}: {tried.control}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in planted_faults() if not f.real], ids=named)
def test_a_fault_is_laid_at_its_stage(fault: Fault) -> None:
    laid_right(fault, None)


@pytest.mark.real
@pytest.mark.parametrize("fault", [f for f in planted_faults() if f.real], ids=named)
def test_a_fault_is_laid_at_its_stage_with_real_models(fault: Fault, real_data: Path) -> None:
    laid_right(fault, real_data)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_clean_builds_give_no_alarm() -> None:
    photos = ("pose_templates", "runway_street")
    alarms = [
        (mark, report.blamed)
        for mark in range(CLEAN)
        if not (report := checks(None)[photos[mark % 4 == 3]](f"clean {mark}")).passed
    ]
    assert alarms == []


@pytest.mark.real
def test_a_clean_build_gives_no_alarm_with_real_models(real_data: Path) -> None:
    blamed = {flow: check("clean").blamed for flow, check in checks(real_data).items()}
    assert blamed == dict.fromkeys(blamed)


def test_there_are_enough_faults() -> None:
    faults = planted_faults()
    assert len({(f.flow, f.name) for f in faults}) == len(faults) >= 30
    assert sum(fault.missed for fault in faults) <= len(faults) / 15
