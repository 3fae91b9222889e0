"""The controls of each flow."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Final, Protocol

from tasks.controls.finding import ControlReport
from tasks.controls.place import control_store
from tasks.machine.places import Machine
from tasks.shards.notes import noting

CHECKS: Final[Mapping[str, str]] = {
    "pose_templates": "tasks.controls.pose_templates",
    "webbody": "tasks.controls.webbody",
    "video_patches": "tasks.controls.patches",
    "runway_street": "tasks.controls.runway_street",
    "music_to_pose": "tasks.controls.m2p",
}
"""Flow -> the module whose `check_<flow>` sends its controls through."""


class Published(Protocol):
    """A build of a flow: the digest of its manifest, under the name `flow` (or that of its unfinished builds)."""

    @property
    def flow(self) -> str: ...
    @property
    def manifest(self) -> str: ...


def control_build(build: Published, machine: Machine) -> ControlReport:
    """Send samples of known truth through the stages of a build, in a store of their own.

    Another build makes its controls anew, the same one finds them. Who watches the run is told nothing of them: they
    are no rows of the dataset.

    Raises:
        StoreError: the store cannot be written.
    """
    flow = build.flow.removesuffix("_unfinished")
    check = getattr(import_module(CHECKS[flow]), f"check_{flow}")
    store = control_store(machine.store, flow, build.manifest)
    with noting(None):
        report: ControlReport = check(build, replace(machine, store=store), build.manifest)
    return report
