"""Small fixed inputs for the stages of WebBody; models are tiny ones that tests make."""

from pathlib import Path

import numpy as np

from tasks.body.people import FindPeople, PeopleConfig
from tasks.body.rtmo import RtmoPose
from tasks.face.faces import FacesConfig
from tasks.face.gate import Gate, GateConfig
from tasks.face.recognise import Recognise, RecogniseConfig
from tasks.identity.clean import Clean, Validation, ValidationConfig
from tasks.identity.clean_thresholds import Cosines
from tasks.identity.clean_work import CleanConfig
from tasks.identity.identities import Identities, IdentitiesConfig
from tasks.identity.members import Members, MembersConfig
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.identity.review_ledger import Verdict, Verdicts
from tasks.images.sheet import encode_png
from tasks.ingest.hub import HubAccess
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.models.zoo import Zoo
from tasks.schema.url_sources import UrlSource
from tasks.schema.webbody import PERSON_SCHEMA, WEB_PHOTO_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.body.blocks_model import paint, write_blocks_model
from tests.download.golden_case import download_case, retry_case
from tests.face import drawn_faces
from tests.face.tiny_recognisers import card_of, write_onnx
from tests.identity.clean_cases import WIDTH, Face, embeddings, identities, people, person
from tests.poses.sample_shards import given

URLS = Path(__file__).parents[1] / "data" / "urls" / "url.lst"
HEAD = (300.0, 200.0)


def webbody_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    models = store.root / "made_models"
    models.mkdir(parents=True, exist_ok=True)
    source = UrlSource(name="web", location=str(URLS))
    listing = list_urls(source, HubAccess(), store, 10)
    faces = Derivation(
        drawn_faces.FindDrawnFaces(FacesConfig(), Zoo(models), "cpu"), (_one_person(),), (_drawn_photo(),)
    )
    tiny = card_of(write_onnx(models / "tiny.onnx"), "onnx-recognition")
    recognised = Derivation(Recognise(RecogniseConfig(model=tiny), Zoo(models), "cpu"), (faces,))
    crowd = _crowd()
    neighbours = Derivation(FindNeighbours(NeighboursConfig(k=4), "cpu"), (embeddings(crowd),))
    linked = IdentitiesConfig(model="made", default_cosine=0.5)
    verdicts = Derivation(Verdicts.of((Verdict.of("different", "a-0", "a-1"),)))
    validation = Derivation(
        Validation(ValidationConfig(), WIDTH), (identities(crowd[:4]),), whole=(embeddings(crowd[:4]),)
    )
    cleaned = Clean(CleanConfig(thresholds=Cosines()))
    clean = Derivation(cleaned, (identities(crowd),), whole=(embeddings(crowd), people(crowd), verdicts))
    return {
        "urls": Derivation(IngestUrls.of(source, listing, listing.parts[0])),
        "download": download_case(),
        "retry_urls": retry_case(store),
        "people": _blocks(models),
        "faces": faces,
        "recognise": recognised,
        "gate": Derivation(Gate(GateConfig(model=tiny, frontality=0.5)), (recognised,)),
        "neighbours": neighbours,
        "identities": Derivation(Identities(linked), (embeddings(crowd),), whole=(neighbours,)),
        "verdicts": verdicts,
        "validation": validation,
        "clean": clean,
        "members": Derivation(Members(MembersConfig()), (clean,), whole=(people(crowd),)),
    }


def _crowd() -> list[Face]:
    """Three people, and a face that is nobody else's."""
    return [*person("a", 4, 0), *person("b", 3, 5), *person("c", 2, 9), *person("d", 1, 12)]


def _photo_row(name: str, pixels: np.ndarray, content: tuple[int, int, int, int]) -> dict[str, object]:
    return {
        "sample_id": f"web/{name}",
        "source_uri": f"https://example.org/{name}",
        "licence": "CC0-1.0",
        "idx": "1",
        "label": "7",
        "url": f"https://example.org/{name}",
        "image": {"bytes": encode_png(pixels), "path": f"{name}.png"},
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "content_xyxy": list(map(float, content)),
        "original_width": 1280,
        "original_height": 854,
        "sha256": "ab",
        "attempt": 0,
        "fetched_at": 0,
        "http_status": 200,
        "final_url": f"https://example.org/{name}",
        "headers": "{}",
    }


def _blocks(models: Path) -> Derivation:
    """A person, and one that is not sure enough."""
    pixels = np.full((640, 640, 3), 255, np.uint8)
    pixels[106:533] = np.linspace(30, 90, 640, dtype=np.uint8)[None, :, None]
    paint(pixels, (100, 150, 220, 480), 20, 0.9)
    paint(pixels, (400, 150, 500, 400), 50, 0.5)
    photos = given("blocks", WEB_PHOTO_SCHEMA, [_photo_row("blocks", pixels, (0, 106, 640, 533))])
    model = RtmoPose(write_blocks_model(models), Zoo(models), "cpu")
    return Derivation(FindPeople(PeopleConfig(pose_model="blocks"), model), (Derivation(photos),))


def _drawn_photo() -> Derivation:
    pixels = np.full((640, 640, 3), (90, 120, 90), np.uint8)
    left, top = int(HEAD[0]), int(HEAD[1])
    drawn_faces.draw_face(pixels, (left - 30, top - 30, left + 30, top + 50))
    return Derivation(given("drawn", WEB_PHOTO_SCHEMA, [_photo_row("drawn", pixels, (0, 0, 640, 640))]))


def _one_person() -> Derivation:
    """Eyes at `HEAD`, ears 40 px apart, shoulders 70 px below."""
    seen = {0: (0, 8), 1: (8, 0), 2: (-8, 0), 3: (20, 2), 4: (-20, 2), 5: (45, 70), 6: (-45, 70)}
    xy: list[float | None] = [None] * 34
    for joint, (dx, dy) in seen.items():
        xy[2 * joint : 2 * joint + 2] = [HEAD[0] + dx, HEAD[1] + dy]
    box = [240.0, 150.0, 360.0, 500.0]
    row = {
        "sample_id": "web/drawn/p0",
        "parent_id": "web/drawn",
        "source_uri": "https://example.org/drawn",
        "licence": "CC0-1.0",
        "idx": "1",
        "label": "7",
        "sha256": "ab",
        "phash": 1,
        "photo_width": 640,
        "photo_height": 640,
        "person_score": 0.9,
        "person_xyxy": box,
        "crop_xyxy": box,
        "keypoints_xy": xy,
        "keypoints_confidence": [0.9 if joint in seen else 0.0 for joint in range(17)],
        "crop_keypoints_xy": [None if v is None else v - box[n % 2] for n, v in enumerate(xy)],
    }
    return Derivation(given("one person", PERSON_SCHEMA, [row]))
