"""A small fixed input for every stage of the project, by the name of the stage."""

from pathlib import Path

from tasks.images.inspect import Inspect
from tasks.ingest.hub import HubAccess
from tasks.ingest.mannequins import list_mannequins
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.poses.config import KeypointRules, PoseTemplatesForm
from tasks.poses.derivations import SourceRead, part_chain, selection, templates
from tasks.schema.sources import ColumnMapping, PhotoSource, SourceKind
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.golden.classified import classified_cases
from tests.golden.consent import consent_cases
from tests.golden.controls import control_cases
from tests.golden.dance_judgement import judgement_cases
from tests.golden.dance_people import dance_people_cases
from tests.golden.dances import dance_cases
from tests.golden.embeddings import embedding_cases
from tests.golden.films import film_cases
from tests.golden.looks import look_cases
from tests.golden.trends import trend_cases
from tests.golden.webbody import webbody_cases

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
"""Three rendered photos and a broken one, with captions in metadata.csv."""


def cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    machine = Machine(store, HubAccess(), Zoo(store.root / "models"))
    mannequins = PhotoSource(
        name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=5, near_duplicates=False
    )
    form = PoseTemplatesForm(sources=(mannequins,), keypoints=KeypointRules(min_joints=12))
    listing = list_mannequins(mannequins, rows=8, part_rows=8)
    read = SourceRead.upto(mannequins, listing, 1)
    chain = part_chain(read, listing.parts[0], form, machine)
    folder = PhotoSource(
        name="photos", kind=SourceKind.FOLDER, location=str(PHOTOS), columns=ColumnMapping(caption="text")
    )
    photos = list_source(folder, HubAccess(), part_rows=10)
    ingest = Derivation(IngestPhotos.of(folder, photos, photos.parts[0]))
    return {
        "ingest_mannequins": chain.photos,
        "ingest": ingest,
        "inspect": Derivation(Inspect(chain.inspected.stage.config), (ingest,)),
        "keypoints": chain.keypoints,
        "describe": chain.described,
        "preview": chain.preview,
        "select": selection(read, form, machine),
        "combine": templates((read,), form, machine),
        **control_cases(),
        **consent_cases(store),
        **webbody_cases(store),
        **film_cases(store),
        **dance_cases(),
        **dance_people_cases(store),
        **judgement_cases(store),
        **look_cases(store),
        **embedding_cases(store),
        **classified_cases(store),
        **trend_cases(store),
    }
