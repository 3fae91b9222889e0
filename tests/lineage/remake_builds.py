"""Small builds of every flow in one store, made as their tasks make them, without Prefect.

    python -m tests.lineage.remake_builds STORE

MANNEQUIN_REAL_DATA names real photos, videos and weights; without it the flows that need none are built.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.fashion.looks import list_looks
from tasks.ingest.hub import HubAccess
from tasks.ingest.mannequins import list_mannequins
from tasks.ingest.photos import list_source
from tasks.lineage.remembered import remember_build
from tasks.machine.places import Machine, Network
from tasks.models.zoo import Zoo
from tasks.patches.config import VideoPatchesForm
from tasks.poses.config import PoseTemplatesForm
from tasks.schema.sources import SourceKind
from tasks.shards.derive import committed, realise
from tasks.shards.manifest import Manifest, build_manifest, publish_manifest
from tasks.shards.store import Store
from tests.download.url_server import UrlServer
from tests.fashion.coloured_looks import write_looks
from tests.patches.film_builds import form as film_form
from tests.patches.film_builds import small_film

DANCES = ("aist_d2m_high2_2s", "aist_gt_music_5s", "musepose_dance_1080x1920_with_music")
"""Short real videos, without the suffix."""

PURPOSE = {"purpose": "testing", "legal_basis": "consent", "jurisdiction": "EU"}


def machine(store: Path, models: Path | None = None) -> Machine:
    """This machine, with weights of its own; the servers of the tests may be asked."""
    zoo = Zoo(store / "models", models, trust_unknown_digest=True)
    return Machine(Store(store), HubAccess(), zoo, Network(("127.0.0.0/8",)))


def publish(here: Machine, manifest: Manifest, build: BaseModel) -> Manifest:
    publish_manifest(here.store, manifest)
    remember_build(here.store, manifest, build)
    return manifest


def template_form(rows: int = 8, **photos: Any) -> PoseTemplatesForm:
    """Mannequins; `photos` are fields of a source of photos, which needs a real pose model."""
    sources: list[dict[str, Any]] = [{"name": "dolls", "kind": "mannequins", "category": "lifestyle", "limit": rows}]
    return PoseTemplatesForm.model_validate(
        {
            "sources": [*sources, *([{"name": "photos", **photos}] if photos else [])],
            "keypoints": {"pose_model": "yolov8n-pose-dequantised"},
            "shard_rows": 2 * rows,
        }
    )


def pose_templates(here: Machine, form: PoseTemplatesForm) -> Manifest:
    """Templates of a form's sources, of the first rows of each."""
    from tasks.poses.build import Build
    from tasks.poses.derivations import SourceRead, part_chain, selection, templates

    read = tuple(
        SourceRead(
            source=source,
            listing=list_mannequins(source, source.limit, form.shard_rows)
            if source.kind is SourceKind.MANNEQUINS
            else list_source(source, here.hub, form.shard_rows),
        )
        for source in form.sources
    )
    chains = [part_chain(each, part, form, here) for each in read for part in each.parts]
    wanted = {
        "templates": [templates(read, form, here)],
        "photos": [chain.photos for chain in chains],
        "inspected": [chain.inspected for chain in chains],
        "keypoints": [chain.keypoints for chain in chains],
        "described": [chain.described for chain in chains],
        "selected": [selection(each, form, here) for each in read],
        "previews": [chain.preview for chain in chains],
    }
    made = {name: [realise(each, here.store).record for each in steps] for name, steps in wanted.items()}
    manifest = build_manifest(here.store, "pose_templates", form.build_params(), made)
    return publish(here, manifest, Build.of(form, read, manifest, {}))


def video_patches(here: Machine, form: VideoPatchesForm) -> Manifest:
    """Patches of the one film of a form."""
    from tasks.patches.build import Build, patches_manifest
    from tasks.patches.derivations import FilmRead, count_pieces, pieces
    from tasks.patches.derivations import film as film_of
    from tasks.video.films import film_digest

    (source,) = form.films
    digest = film_digest(Path(source.path))
    data = here.store.data_path(realise(film_of(source, digest), here.store).record)
    read = FilmRead(source=source, digest=digest, pieces=count_pieces(source, data, form))
    for each in pieces(read, form, here):
        realise(each, here.store)
    build = Build(config=form, read=(read,))
    manifest = patches_manifest(build, here)
    return publish(here, manifest, build.model_copy(update={"flow": manifest.flow, "manifest": manifest.digest}))


def runway_street(here: Machine, form: dict[str, Any]) -> Manifest:
    """Looks of a form's sources."""
    from tasks.runway_street.build import Joined, looks_manifest, open_build
    from tasks.runway_street.config import RunwayStreetForm
    from tasks.runway_street.derivations import SourceRead, parts_of

    config = RunwayStreetForm.model_validate(form)
    listings = [(source, list_looks(source, here.hub, 64)) for source in config.sources]
    read = [part for source, listing in listings for part in parts_of(SourceRead(source=source, listing=listing))]
    build = open_build(tuple(read), config, here)
    realise(Joined(build, here).trends, here.store)
    manifest = looks_manifest(build, here)
    return publish(here, manifest, build.model_copy(update={"flow": manifest.flow, "manifest": manifest.digest}))


def music_to_pose(here: Machine, form: dict[str, Any]) -> Manifest:
    """Clips of a form's videos."""
    from tasks.m2p.build import Joined, m2p_manifest, open_build
    from tasks.m2p.config import MusicToPoseForm
    from tasks.m2p.derivations import chain
    from tasks.m2p.find import find_video
    from tasks.m2p.sources import list_videos

    config = MusicToPoseForm.model_validate(form)
    entries = [entry for source in config.sources for entry in list_videos(source).entries]
    read = tuple(find_video(entry, config, here) for entry in entries)
    for each in read:
        realise(chain(each, config, here).audit, here.store)
    build = open_build(read, config, here)
    realise(Joined(build, here).samples, here.store)
    manifest = m2p_manifest(build, here)
    return publish(here, manifest, build.model_copy(update={"flow": manifest.flow, "manifest": manifest.digest}))


def webbody(here: Machine, form: dict[str, Any]) -> Manifest:
    """People of a form's lists, as far as its `until` goes; then the embeddings go, unless they are to be kept."""
    from datetime import UTC, datetime

    from tasks.ingest.url_lists import list_urls
    from tasks.webbody.config import WebBodyForm
    from tasks.webbody.derivations import ListRead, chains, downloads, parts_of
    from tasks.webbody.joined import Joined, open_build
    from tasks.webbody.report import webbody_manifest

    config = WebBodyForm.model_validate(form)
    read = []
    for source in config.sources:
        listing = list_urls(source, here.hub, here.store, config.part_rows)
        for part in parts_of(ListRead(source=source, listing=listing)):
            for each in downloads(part, config, here, datetime.now(UTC)).every:
                realise(each, here.store)
            read.append(part)
            step = config.last_look
            for chained in chains(part, config, here) if step else ():
                realise(chained.of(step or ""), here.store)
    build = open_build(tuple(read), config, here)
    joined = Joined(build, here)
    if "members" in config.stages:
        realise(joined.members, here.store)
    manifest = webbody_manifest(build, here)
    if not config.recognition.keep_embeddings:
        made = [committed(step, here.store) for chain in joined.every for step in (chain.recognised, chain.gated)]
        for record in made:
            if record is not None:
                here.store.erase(record)
    return publish(here, manifest, build.model_copy(update={"flow": manifest.flow, "manifest": manifest.digest}))


def main(folder: str) -> None:
    """Build all that can be built here, and say what."""
    top = Path(folder).resolve()
    real = os.environ.get("MANNEQUIN_REAL_DATA")
    files = top / "sources"
    files.mkdir(parents=True, exist_ok=True)
    print(f"MANNEQUIN_MODELS={files / 'looks' / 'models'}")
    looks = looks_of(files, Path(real) if real else None)
    here = machine(top, files / "looks" / "models")
    film = files / "small.mp4"
    built = [
        video_patches(here, film_form(film if film.exists() else small_film(film), 60)),
        runway_street(here, looks),
    ]
    if real:
        people = {"kind": "folder", "location": f"{real}/people/faces"}
        built.append(pose_templates(here, template_form(60, **people)))
        with UrlServer() as server:
            built.append(webbody(here, web_form(files, Path(real), server)))
        built.append(music_to_pose(here, dance_form(files, Path(real), *DANCES)))
    else:
        built.append(pose_templates(here, template_form(60)))
    for manifest in built:
        print(manifest.flow, manifest.digest[:12], {name: len(refs) for name, refs in manifest.outputs.items()})


def looks_of(files: Path, real: Path | None) -> dict[str, Any]:
    """Coloured photos and their network; the real weights lie beside it."""
    said = files / "looks.json"
    if not said.exists():
        said.write_text(json.dumps(write_looks(files / "looks", street=30, runway=12)))
        for path in sorted((real / "models").iterdir()) if real else ():
            (files / "looks" / "models" / path.name).symlink_to(path)
    form: dict[str, Any] = json.loads(said.read_text())
    return form


def web_form(files: Path, real: Path, server: UrlServer) -> dict[str, Any]:
    """A list of some real photos behind a server; embeddings are kept."""
    server.files = web_photos(real)
    listed = files / "web.lst"
    lines = [f"{n} {name.split('/')[0]} {server.url(f'/file/{name}')}" for n, name in enumerate(server.files)]
    listed.write_text("\n".join(lines) + "\n")
    return {
        "sources": [{"name": "web", "location": str(listed)}],
        "purpose": PURPOSE,
        "bodies": {"model": "yolov8n-pose-dequantised"},
        "faces": {"model": "retinaface-mobilenet0.25"},
        "recognition": {"model": "mobilefacenet-128", "keep_embeddings": True},
        "part_rows": 16,
    }


def web_photos(real: Path) -> dict[str, bytes]:
    """Name -> bytes: three photos each of four people, and one of nobody."""
    people = ("Ariel_Sharon", "Colin_Powell", "Hugo_Chavez", "George_W_Bush")
    paths = [path for name in people for path in sorted((real / "identities" / "lfw" / name).iterdir())[:3]]
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes() for path in (*paths, real / "people/faces/no_face.jpg")
    }


def dance_form(files: Path, real: Path, *names: str) -> dict[str, Any]:
    """Short real dance videos."""
    listed = files / "dances.csv"
    listed.write_text("\n".join(["video", *(f"{real}/dance/{name}.mp4" for name in names)]) + "\n")
    return {
        "sources": [{"name": "dance", "location": str(listed)}],
        "video": {"min_fps": 8.0},
        "clips": {"pose_model": "yolov8n-pose-dequantised", "pieces": {"shortest_s": 1.0}},
        "poses": {"pose_model": "yolov8n-pose-dequantised"},
        "reference": {"detector": "retinaface-mobilenet0.25", "recogniser": "mobilefacenet-128"},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
