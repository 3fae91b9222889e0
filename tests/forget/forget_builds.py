"""A small build of pose templates in a store of its own, to forget from."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tasks.exports.parquet import export_parquet
from tasks.exports.pose_folders import export_pose_folders
from tasks.exports.previews import publish_previews
from tasks.forget.carry_out import Outside, carry_out, finish_unfinished, receipts
from tasks.forget.doomed import Doomed, Erased
from tasks.forget.outside import erase_outside
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
from tasks.shards.manifest import build_manifest, publish_manifest, read_manifest
from tasks.shards.store import Store
from tasks.shards.tombstones import demand_nothing_under_way
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


def show(store: Store) -> None:
    """What is made of a build outside of shards: previews, folders with numbers, tables with a card, a page."""
    manifest = read_manifest(store, FLOW)
    paths = {each.stage: [] for each in manifest.shards}  # type: dict[str, list[Path]]
    for each in manifest.shards:
        paths[each.stage].append(store.folder(each.stage, each.key) / each.data.name)
    photos, (table,) = paths["ingest_mannequins"], paths["combine"]
    rows = pq.read_table(table, columns=["sample_id", "source_uri"]).to_pylist()
    publish_previews(store, paths["preview"], {row["sample_id"]: row["source_uri"] for row in rows})
    export_pose_folders(store, [table], photos, store.root / "exports" / FLOW)
    export_parquet([table], photos, store.root / "exports" / f"{FLOW}_parquet", title="Poses", manifest=manifest)
    page = store.root / "reports" / FLOW / f"{manifest.digest}.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<p>{GOES}</p>")


def outside(store: Store) -> Outside:
    """All places outside of the shards, but for database and server."""

    def erase(doomed: Doomed, builds: Mapping[str, str]) -> tuple[Erased, ...]:
        assert GOES in doomed.sample_ids
        return erase_outside(store, doomed, builds=builds)

    return erase


def points(finished: Path, folder: Path) -> int:
    """How many write points a forget passes."""
    files = CountingFiles()
    store = Store(Path(shutil.copytree(finished, folder / "counted")), files)
    carry_out(store, plan_forget(store, [GOES]), outside(store))
    return len(files.log)


def killed_and_finished(finished: Path, folder: Path, at: int, when: str) -> dict[str, bytes]:
    """What is left when a call is killed at a write point, and the next one finishes it."""
    root = Path(shutil.copytree(finished, folder / f"{when}{at}"))
    store, plan = Store(root), plan_forget(Store(root), [GOES])
    dying = Store(root, KilledFiles(at, when))
    assert in_child(lambda: carry_out(dying, plan, outside(dying)), folder / "log") == -9
    if finish_unfinished(store, outside(store)) is None and not receipts(store):
        carry_out(store, plan, outside(store))  # it was killed before anything was put down
    demand_nothing_under_way(store)
    found = lasting(root)
    assert verify_store(store).ok
    shutil.rmtree(root)
    return found


def lasting(root: Path) -> dict[str, bytes]:
    """All files of a store, but for what is swept, and for receipts: they count what their last call found."""
    passing = ("tmp/", "forgotten/receipts/")
    return {name: data for name, data in contents(root).items() if not name.startswith(passing)}
