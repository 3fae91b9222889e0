"""Faults that are planted into the real code, and whether the controls of a flow lay them at the right stage.

    python -m tests.controls.faults [FLOW ...]

prints the table as Markdown. MANNEQUIN_REAL_DATA names real weights; faults that need them are left out without it.

A module of faults has `FAULTS`, and `open_checks(folder, real)`, which says for each of its flows how a clean build is
controlled: a function of the mark. Both are found by the names in `MODULES`.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.controls.finding import ControlReport

MODULES = ("tests.controls.faults_photos", "tests.controls.faults_films")

Check = Callable[[str], ControlReport]
"""Controls one build of a flow; other marks send all controls through anew."""


@dataclass(frozen=True)
class Fault:
    """A defect of the code.

    Args:
        name: what is wrong, for people.
        flow: whose controls have to see it.
        stage: the stage that must be blamed; of several, any of them by a bar: "looks|inspect".
        plant: the code has the defect while this context is open.
        real: real weights are needed to see it.
        twice: it shows only where something was made before, under the fault too.
        missed: it is known that the controls do not see it; `name` says why.
    """

    name: str
    flow: str
    stage: str
    plant: Callable[[], AbstractContextManager[None]]
    real: bool = False
    twice: bool = False
    missed: bool = False


@dataclass(frozen=True)
class Tried:
    """What the controls said while a fault was planted; `blamed`: a stage, empty for nobody."""

    fault: Fault
    blamed: str
    control: str

    @property
    def caught(self) -> bool:
        return bool(self.blamed)

    @property
    def right(self) -> bool:
        return self.blamed in self.fault.stage.split("|")


def planted_faults() -> tuple[Fault, ...]:
    """The faults of all modules that are there."""
    return tuple(fault for name in MODULES if find_spec(name) for fault in import_module(name).FAULTS)


def open_checks(folder: Path, real: Path | None) -> dict[str, Check]:
    """Flow -> how a clean build of it is controlled, in a store of its own in the folder."""
    checks: dict[str, Check] = {}
    for name in MODULES:
        if find_spec(name):
            checks |= import_module(name).open_checks(folder, real)
    return checks


def try_fault(fault: Fault, check: Check) -> Tried:
    """Control a build while the fault is planted."""
    with fault.plant():
        if fault.twice:
            check(f"before {fault.name}")
        report = check(fault.name)
    blamed = report.blamed
    return Tried(fault, blamed.stage if blamed else "", blamed.control if blamed else "")


def tried(faults: Sequence[Fault], checks: dict[str, Check]) -> Iterator[Tried]:
    """All faults whose flow can be controlled here, one by one."""
    for fault in faults:
        if fault.flow in checks:
            yield try_fault(fault, checks[fault.flow])


def rows_of(results: Sequence[Tried]) -> list[dict[str, Any]]:
    """A table for people."""
    return [
        {
            "fault": each.fault.name,
            "flow": each.fault.flow.split(":")[0],
            "stage": each.fault.stage,
            "caught": "yes" if each.caught else "no",
            "blamed": each.blamed,
            "right": "yes" if each.right else "no",
            "control": each.control,
        }
        for each in results
    ]


def main(*flows: str) -> None:
    """Try the faults of some flows, or of all, and print what was caught."""
    told = os.environ.get("MANNEQUIN_REAL_DATA")
    with tempfile.TemporaryDirectory() as folder:
        checks = open_checks(Path(folder), Path(told).resolve() if told else None)
        wanted = [f for f in planted_faults() if (not flows or f.flow.split(":")[0] in flows) and (told or not f.real)]
        results: list[Tried] = []
        for each in tried(wanted, checks):
            results.append(each)
            (row,) = rows_of([each])
            if len(results) == 1:
                print("|", " | ".join(row), "|\n|" + "---|" * len(row))
            print("|", " | ".join(row.values()), "|", flush=True)
    caught, right = sum(each.caught for each in results), sum(each.right for each in results)
    print(f"\n{caught} of {len(results)} caught, {right} laid at the right stage")


if __name__ == "__main__":
    from tests.controls import faults

    faults.main(*sys.argv[1:])
