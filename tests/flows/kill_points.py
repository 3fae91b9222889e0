"""Makes a dataset in forked processes, kills one at every write point, and compares the end with an undisturbed run.

    python -m tests.flows.kill_points DATASET FOLDER [STEP]

Every run goes on where the killed one before it stopped and is killed STEP write points later, just before it and just
after it, until a run makes something durable; then counting begins anew, at one of the first STEP points in turn. With
a step of 1 every write point of the whole build is met. MANNEQUIN_REAL_DATA names the real weights, where a dataset
needs some. What a build makes is called as its tasks call it, without Prefect.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.shards.files import LocalFiles
from tests.flows.kill_datasets import DATASETS, state
from tests.patches.kill_patches import in_child
from tests.shards.faulty_files import OPERATIONS

HEAVY = ("librosa", "scipy.signal", "sklearn.linear_model", "torch", "torchvision")
"""Imported before the forks, so that not every child has to."""


class Points:
    """The write points that this process passes; it kills itself at one of them."""

    def __init__(self, at: int = -1, when: str = "before") -> None:
        self.passed = 0
        self._at, self._when = at, when
        self._lock = threading.Lock()
        for name in OPERATIONS:
            setattr(LocalFiles, name, self._watched(getattr(LocalFiles, name)))

    def _watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            with self._lock:
                point = self.passed
                self.passed += 1
            self._die(point, "before")
            result = original(*arguments)
            self._die(point, "after")
            return result

        return operation

    def _die(self, point: int, when: str) -> None:
        if (point, when) == (self._at, self._when):
            os.kill(os.getpid(), signal.SIGKILL)


def durable(home: Path) -> set[str]:
    """Names of what is committed: records, manifests, and files of exports."""
    found = [*home.glob("shards/*/*/record.json"), *home.glob("builds/**/*.json"), *home.glob("exports/**/*")]
    return {str(path) for path in found if path.is_file() and ".mannequin" not in path.parts}


def main(dataset: str, folder: str, step: str = "1") -> None:
    """Print what happened; exit status 1 where the end differs."""
    top, stride = Path(folder).resolve(), int(step)
    for name in HEAVY:
        import_module(name)
    build = DATASETS[dataset](top, Path(os.environ.get("MANNEQUIN_REAL_DATA", "/")).resolve()).build
    log = top / "runs.log"
    if in_child(lambda: build(top / "calm"), log):
        sys.exit(log.read_text()[-3000:])
    expected = state(top / "calm")

    home = top / "killed"
    killed, at, turns, status = 0, 0, 0, -signal.SIGKILL

    def run(when: str) -> None:
        Points(at, when)
        build(home)

    while status:
        before = durable(home)
        for when in ("before", "after"):
            status = in_child(lambda: run(when), log)  # noqa: B023 - called at once
            if status not in (0, -signal.SIGKILL):
                sys.exit(log.read_text()[-3000:])
            killed += status != 0
        turns += durable(home) != before
        at = turns % stride if durable(home) != before else at + stride
    found = state(home)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    print(f"{killed} kills, {len(expected)} files, {len(wrong)} differ {wrong[:5]}")
    sys.exit(bool(wrong) or killed == 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
