"""A small build of pose templates in a store of its own, to forget from."""

import shutil
from pathlib import Path

from tasks.forget.carry_out import carry_out, finish_unfinished, receipts
from tasks.forget.doomed import Doomed, Erased
from tasks.forget.plan import plan_forget
from tasks.ingest.hub import HubAccess
from tasks.ingest.mannequins import list_mannequins
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.poses.build import FLOW
from tasks.poses.config import KeypointRules, PoseTemplatesForm
from tasks.poses.derivations import SourceRead, part_chain, templates
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.derive import Derivation, realise
from tasks.shards.manifest import build_manifest, publish_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.patches.kill_patches import in_child
from tests.patches.patch_trees import contents
from tests.shards.faulty_files import CountingFiles, KilledFiles

ROWS, PART_ROWS = 4, 2

GOES = "mannequins/seed0-000001"

SOURCE = PhotoSource(name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=3)
FORM = PoseTemplatesForm(sources=(SOURCE,), keypoints=KeypointRules(min_joints=12))

ALONE = {"ingest_mannequins", "inspect", "keypoints", "describe", "preview"}
"""Stages whose rows depend on nothing but their own inputs."""


def derivations(store: Store) -> tuple[list[Derivation], Derivation]:
    """The previews of all parts, and the templates."""
    machine = Machine(store, HubAccess(), Zoo(store.root / "models"))
    read = SourceRead.upto(SOURCE, list_mannequins(SOURCE, rows=ROWS, part_rows=PART_ROWS), 2)
    previews = [part_chain(read, part, FORM, machine).preview for part in read.parts]
    return previews, templates((read,), FORM, machine)


def build(store: Store) -> set[str]:
    """Make and publish it; returns the names of the stages that ran."""
    previews, made = derivations(store)
    outcomes = [realise(each, store) for each in (*previews, made)]
    manifest = build_manifest(
        store, FLOW, {}, {"previews": [each.record for each in outcomes[:-1]], "templates": [outcomes[-1].record]}
    )
    publish_manifest(store, manifest)
    return {stage for each in outcomes for stage in each.ran}


def nowhere(doomed: Doomed) -> tuple[Erased, ...]:
    """There is nothing outside of the store."""
    assert GOES in doomed.sample_ids
    return (Erased("exports", 0, 0),)


def points(finished: Path, folder: Path) -> int:
    """How many write points a forget passes."""
    files = CountingFiles()
    store = Store(Path(shutil.copytree(finished, folder / "counted")), files)
    carry_out(store, plan_forget(store, [GOES]), nowhere)
    return len(files.log)


def killed_and_finished(finished: Path, folder: Path, at: int, when: str) -> dict[str, bytes]:
    """What is left when a call is killed at a write point, and the next one finishes it."""
    root = Path(shutil.copytree(finished, folder / f"{when}{at}"))
    plan = plan_forget(Store(root), [GOES])
    carried = in_child(lambda: carry_out(Store(root, KilledFiles(at, when)), plan, nowhere), folder / "log")
    assert carried == -9
    if finish_unfinished(Store(root), nowhere) is None and not receipts(Store(root)):
        carry_out(Store(root), plan, nowhere)  # it was killed before anything was put down
    found = lasting(root)
    assert verify_store(Store(root)).ok
    shutil.rmtree(root)
    return found


def lasting(root: Path) -> dict[str, bytes]:
    """All files of a store, but for what is swept."""
    return {name: data for name, data in contents(root).items() if not name.startswith("tmp/")}
