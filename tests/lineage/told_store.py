"""One store with small builds of all five flows, made by their real stages."""

import atexit
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tasks.dance.videos import DanceVideo
from tasks.identity.clean import Clean
from tasks.identity.clean_thresholds import Cosines
from tasks.identity.clean_work import CleanConfig
from tasks.identity.members import Members, MembersConfig
from tasks.ingest.hub import HubAccess
from tasks.ingest.mannequins import list_mannequins
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.patches.cut import PatchesConfig
from tasks.patches.detail import DetailRules
from tasks.poses.config import KeypointRules, PoseTemplatesForm
from tasks.poses.derivations import SourceRead, templates
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.schema.url_sources import UrlSource
from tasks.shards.derive import Derivation, realise
from tasks.shards.manifest import Manifest, build_manifest, publish_manifest
from tasks.shards.store import Store
from tests.golden.dances import dance_cases
from tests.golden.films import FILM
from tests.golden.looks import look_cases
from tests.golden.webbody import URLS
from tests.identity.clean_cases import embeddings, identities, people, person
from tests.patches.film_builds import CATEGORIES, FORMATS, patches_of

STRICT = PatchesConfig(categories=CATEGORIES, formats=FORMATS, detail=DetailRules(least_sharpness=1000))
"""Nothing is as sharp: all windows are left out, after all of their tries."""


def publish(store: Store, flow: str, **outputs: Sequence[Derivation]) -> Manifest:
    """Make the outputs and publish them as a build."""
    made = {name: [realise(each, store).record for each in wanted] for name, wanted in outputs.items()}
    manifest = build_manifest(store, flow, {}, made)
    publish_manifest(store, manifest)
    return manifest


@cache
def told_store() -> Store:
    """The store; nobody changes it. Gone when the process ends."""
    store = Store(Path(mkdtemp(prefix="mannequin-told-")))
    atexit.register(shutil.rmtree, store.root, ignore_errors=True)
    publish(store, "pose_templates", templates=[_templates(store)])
    publish(store, "webbody", urls=[_urls(store)])
    films = {"general": store.root / "exports" / "patches", "strict": store.root / "exports" / "strict"}
    publish(store, "video_patches", patches=patches_of(FILM, store, films["general"], windows=4))
    publish(store, "video_patches", patches=patches_of(FILM, store, films["strict"], STRICT, windows=4))
    publish(store, "runway_street", labels=[look_cases(store)["labels"]])
    broken = store.root / "broken.mp4"
    broken.write_bytes(b"no video at all")
    publish(store, "music_to_pose", dance=[dance_cases()["dance"], Derivation(DanceVideo.of(broken, "broken"))])
    return store


def _templates(store: Store) -> Derivation:
    """A template of a rendered person, and one that is over the limit."""
    source = PhotoSource(name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=1)
    form = PoseTemplatesForm(sources=(source,), keypoints=KeypointRules(min_joints=12))
    read = SourceRead.upto(source, list_mannequins(source, rows=2, part_rows=2), 1)
    return templates((read,), form, Machine(store, HubAccess(), Zoo(store.root / "models")))


def _urls(store: Store) -> Derivation:
    source = UrlSource(name="web", location=str(URLS))
    listing = list_urls(source, HubAccess(), store, 10)
    return Derivation(IngestUrls.of(source, listing, listing.parts[0]))


def members() -> Derivation:
    """Two people, and a face that is nobody else's."""
    crowd = [*person("a", 4, 0), *person("b", 3, 5), *person("d", 1, 12)]
    cleaned = Clean(CleanConfig(thresholds=Cosines()))
    clean = Derivation(cleaned, (identities(crowd),), whole=(embeddings(crowd), people(crowd)))
    return Derivation(Members(MembersConfig()), (clean,), whole=(people(crowd),))
