"""Small datasets of every flow for tests that kill: what a flow is asked for, and the same made without Prefect."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.ingest.hub import HubAccess
from tasks.lineage.remembered import recall_build
from tasks.machine.places import Machine
from tasks.models import cards
from tasks.models.zoo import Zoo
from tasks.poses.config import PoseTemplatesForm
from tasks.shards.derive import realise
from tasks.shards.manifest import Manifest, publish_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.patches.patch_trees import contents

Build = Callable[[Path], None]
"""Makes everything below a folder."""


@dataclass(frozen=True)
class Dataset:
    """A small dataset: `form` is that of its flow, `build` makes the same without Prefect.

    `models` are its weights; `before`: what lies in the store before the first run.
    """

    form: BaseModel
    build: Build
    models: Path | None = None
    before: Path | None = None


def music_to_pose(top: Path, real: Path) -> Dataset:
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
            "controls": False,
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
        write_exports(videos, samples, folder, config.exports, manifest, (), overview_of(made, manifest, here))

    return Dataset(config, build, models)


def runway_street(top: Path, real: Path) -> Dataset:
    """Photos whose colour says what is worn, a broken one among them, and a network that sees colours."""
    from tasks.fashion.looks import list_looks
    from tasks.runway_street.build import Joined, looks_manifest, open_build
    from tasks.runway_street.config import RunwayStreetForm
    from tasks.runway_street.derivations import SourceRead, parts_of
    from tasks.runway_street.exports import write_exports
    from tests.fashion.coloured_looks import write_looks

    config = RunwayStreetForm.model_validate({**write_looks(top / "looks", street=10, runway=3), "controls": False})

    def build(home: Path) -> None:
        here = machine(home, top / "looks" / "models")
        listings = [(source, list_looks(source, here.hub, 16)) for source in config.sources]
        read = [part for source, listing in listings for part in parts_of(SourceRead(source=source, listing=listing))]
        made = open_build(tuple(read), config, here)
        realise(Joined(made, here).trends, here.store)
        manifest = looks_manifest(made, here)
        publish_manifest(here.store, manifest)
        write_exports(made, manifest, here)

    return Dataset(config, build, top / "looks" / "models")


def pose_templates(top: Path, real: Path) -> Dataset:
    """Mannequins in two shards; folders, Parquet and previews."""
    from tasks.exports.parquet import export_parquet
    from tasks.exports.pose_folders import export_pose_folders
    from tasks.exports.previews import publish_previews
    from tasks.poses.report import sample_uris
    from tests.lineage.remake_builds import pose_templates as make

    del real

    config = PoseTemplatesForm.model_validate(
        {
            "sources": [{"name": "dolls", "kind": "mannequins", "category": "lifestyle", "limit": 12}],
            "shard_rows": 8,
            "exports": {"folders": True, "parquet": True},
            "controls": False,
        }
    )

    def build(home: Path) -> None:
        here = machine(home)
        manifest = make(here, config)
        files = {name: files_of(here.store, manifest, name) for name in ("templates", "photos", "previews")}
        publish_previews(here.store, files["previews"], sample_uris(files["templates"][0]))
        export_pose_folders(here.store, files["templates"], files["photos"], home / "exports" / "folders")
        export_parquet(
            files["templates"],
            files["photos"],
            home / "exports" / "parquet",
            title="Pose templates",
            manifest=manifest,
            files=here.store.files,
        )

    return Dataset(config, build)


def video_patches(top: Path, real: Path) -> Dataset:
    """Patches of nine seconds of film with cuts, black and a fade; the tree with its card."""
    from tasks.patches.build import Build as Made
    from tasks.patches.build import made, plan_of, tree_of
    from tasks.patches.build_plan import write_plan
    from tasks.patches.finished import Report, finish_tree
    from tests.lineage.remake_builds import video_patches as make
    from tests.patches.film_builds import form, small_film

    del real
    config = form(small_film(top / "small.mp4"), 8, planning={"piece_s": 4.0, "skip_end": 0.02}, controls=False)

    def build(home: Path) -> None:
        here = machine(home)
        manifest = make(here, config)
        found = recall_build(here.store, manifest, Made)
        write_plan(tree_of(found, here), plan_of(found, here, datetime.now(UTC)))
        records = tuple(made(found, here))
        finish_tree(found, records, Report.of(found, manifest, records, here), here)

    return Dataset(config, build)


def webbody(top: Path, real: Path) -> Dataset:
    """Photos of four people, fetched once before all runs, since the times of downloads stand in their rows."""
    from tasks.exports.webbody_bundle import export_bundles
    from tasks.exports.webbody_join import WebBodyShards
    from tasks.webbody.config import WebBodyForm
    from tasks.webbody.joined import Build as Made
    from tasks.webbody.report import build_card, bundle_config
    from tests.download.url_server import UrlServer
    from tests.lineage.remake_builds import web_form
    from tests.lineage.remake_builds import webbody as make

    with UrlServer() as server:
        exports = {"recordio": True, "webdataset": True, "parquet": True}
        asked = web_form(top, real, server) | {"exports": exports, "controls": False}
        # in a process of its own: what it starts must not be in those that are forked and killed later
        fetching = get_context("spawn").Process(target=fetch, args=(asked, top / "fetched", real / "models"))
        fetching.start()
        fetching.join()
        assert fetching.exitcode == 0
    config = WebBodyForm.model_validate(asked)

    def build(home: Path) -> None:
        if not (home / "shards").exists():
            shutil.copytree(top / "fetched" / "shards", home / "shards")
        here = machine(home, real / "models")
        manifest = make(here, config)
        shards = WebBodyShards(
            *(files_of(here.store, manifest, each) for each in ("members", "faces", "people", "photos"))
        )
        found = recall_build(here.store, manifest, Made)
        folder = home / "exports" / "webbody"
        export_bundles(here.store, shards, folder, bundle_config(config), card=build_card(found, manifest, here))

    return Dataset(config, build, real / "models", top / "fetched")


def fetch(asked: dict[str, Any], folder: Path, models: Path) -> None:
    """The downloads of webbody."""
    from tasks.webbody.config import WebBodyForm
    from tests.lineage.remake_builds import machine as fetching_machine
    from tests.lineage.remake_builds import webbody as make

    make(fetching_machine(folder, models), WebBodyForm.model_validate(asked | {"until": "download"}))


def files_of(store: Store, manifest: Manifest, output: str) -> tuple[Path, ...]:
    """The files of an output of a build, in order."""
    records = [store.find(ref.stage, ref.key) for ref in manifest.outputs[output]]
    return tuple(store.data_path(record) for record in records if record is not None)


DATASETS = {
    "music_to_pose": music_to_pose,
    "pose_templates": pose_templates,
    "runway_street": runway_street,
    "video_patches": video_patches,
    "webbody": webbody,
}


def machine(home: Path, models: Path | None = None) -> Machine:
    """This machine with its store in a folder."""
    return Machine(Store(home), HubAccess(), Zoo(home / "models", models, trust_unknown_digest=True))


KEPT = ("shards/", "builds/", "ledgers/", "numbers/", "verdicts/", "exports/", "public/")
MAYBE_UNLIKE = "exports/video_patches/.mannequin/build.json"
"""Says when and by whom a tree was begun."""


def state(home: Path) -> dict[str, bytes]:
    """Name -> bytes of all that a build leaves; the home's own name is cut out of them."""
    store = Store(home)
    store.sweep(older_than_s=-1)
    assert verify_store(store).ok
    here = str(home).encode()
    kept = ((name, data) for name, data in contents(home).items() if name.startswith(KEPT))
    return {name: data.replace(here, b"home") for name, data in kept if not name.startswith(MAYBE_UNLIKE)}
