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

from tasks.ingest.hub import HubAccess
from tasks.machine.places import Machine
from tasks.models import cards
from tasks.models.zoo import Zoo
from tasks.shards.derive import realise
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import publish_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.patches.kill_patches import in_child
from tests.patches.patch_trees import contents
from tests.shards.faulty_files import OPERATIONS

HEAVY = ("librosa", "scipy.signal", "sklearn.linear_model", "torch", "torchvision")
"""Imported before the forks, so that not every child has to."""

Build = Callable[[Path], None]
"""Makes everything below a folder."""


def music_to_pose(top: Path, real: Path) -> Build:
    """A small video of a block that a tiny model takes for a dancer, and one that is not there."""
    from tasks.m2p.build import Joined, m2p_manifest, open_build, output_folder, video_shards
    from tasks.m2p.config import MusicToPoseForm
    from tasks.m2p.derivations import chain
    from tasks.m2p.exports import write_exports
    from tasks.m2p.find import find_video
    from tasks.m2p.report import overview_of
    from tasks.m2p.sources import list_videos
    from tests.body.blocks_model import write_blocks_model
    from tests.golden.dances import SOUND, VIDEO

    models = top / "models"
    models.mkdir()
    for path in (real / "models").iterdir():
        (models / path.name).symlink_to(path)
    cards.CARDS = (*cards.CARDS, write_blocks_model(models))
    listed = top / "list.csv"
    listed.write_text(f"video,sound\n{VIDEO},{SOUND}\n{VIDEO.parent / 'missing.mp4'},\n")
    config = MusicToPoseForm.model_validate(
        {
            "sources": [{"name": "dance", "location": str(listed)}],
            "clips": {
                "pose_model": "blocks",
                "dancers": {"smallest_height": 32},
                "crop": {"smallest_side": 32},
                "pieces": {"shortest_s": 1.0},
            },
            "cut": {"size": 64},
            "poses": {"pose_model": "blocks"},
            "reference": {"detector": "retinaface-mobilenet0.25", "recogniser": "mobilefacenet-128"},
            "audit": {
                "pass_mark": 0.0,
                "least_confident": 0.0,
                "most_jumps": 1.0,
                "most_loop": 1.0,
                "most_repeated": 1.0,
            },
            "exports": {"formats": ["folders", "parquet", "webdataset"], "played": 1},
        }
    )

    def build(home: Path) -> None:
        here = machine(home, models)
        read = tuple(
            find_video(entry, config, here) for source in config.sources for entry in list_videos(source).entries
        )
        for each in read:
            realise(chain(each, config, here).audit, here.store)
        made = open_build(read, config, here)
        realise(Joined(made, here).samples, here.store)
        manifest = m2p_manifest(made, here)
        publish_manifest(here.store, manifest)
        videos, samples = video_shards(made, here)
        folder = output_folder(config, here)
        write_exports(videos, samples, folder, config.exports, manifest, overview_of(made, manifest, here))

    return build


def runway_street(top: Path, real: Path) -> Build:
    """Photos whose colour says what is worn, a broken one among them, and a network that sees colours."""
    from tasks.fashion.looks import list_looks
    from tasks.runway_street.build import Joined, looks_manifest, open_build
    from tasks.runway_street.config import RunwayStreetForm
    from tasks.runway_street.derivations import SourceRead, parts_of
    from tasks.runway_street.exports import write_exports
    from tests.fashion.coloured_looks import write_looks

    config = RunwayStreetForm.model_validate(write_looks(top / "looks", street=10, runway=3))

    def build(home: Path) -> None:
        here = machine(home, top / "looks" / "models")
        listings = [(source, list_looks(source, here.hub, 16)) for source in config.sources]
        read = [part for source, listing in listings for part in parts_of(SourceRead(source=source, listing=listing))]
        made = open_build(tuple(read), config, here)
        realise(Joined(made, here).trends, here.store)
        manifest = looks_manifest(made, here)
        publish_manifest(here.store, manifest)
        write_exports(made, manifest, here)

    return build


DATASETS = {"music_to_pose": music_to_pose, "runway_street": runway_street}


def machine(home: Path, models: Path) -> Machine:
    """This machine with its store in a folder."""
    return Machine(Store(home), HubAccess(), Zoo(home / "models", models, trust_unknown_digest=True))


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


def state(home: Path) -> dict[str, bytes]:
    """All that a build leaves, but for what the store sweeps by itself after a day."""
    store = Store(home)
    store.sweep(older_than_s=-1)
    assert verify_store(store).ok
    return {name: data for name, data in contents(home).items() if not name.startswith(("models/", "tmp/"))}


def main(dataset: str, folder: str, step: str = "1") -> None:
    """Print what happened; exit status 1 where the end differs."""
    top, stride = Path(folder).resolve(), int(step)
    for name in HEAVY:
        import_module(name)
    build = DATASETS[dataset](top, Path(os.environ.get("MANNEQUIN_REAL_DATA", "/")).resolve())
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
