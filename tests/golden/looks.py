"""Small fixed inputs for the first stages of photos of the runway and the street: an export of three photos."""

from pathlib import Path

from tasks.fashion.labels import Labels
from tasks.fashion.looks import Looks, list_looks
from tasks.fashion.sources import LookColumns, LookSource
from tasks.images.inspect import Inspect, InspectConfig
from tasks.ingest.hub import HubAccess
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.fashion.make_coco import Photo, write_export

PHOTOS = Path(__file__).parents[1] / "data" / "photos"


def look_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    names = ("photo_0", "photo_1", "photo_2", "broken")
    zero, one, two, broken = ((PHOTOS / f"{name}.jpg").read_bytes() for name in names)
    photos = [
        Photo("gucci-a.jpg", zero, ("Top", "skirt", "scarf & tie"), fields={"extra": {"author": "somebody"}}),
        Photo("prada-b.jpg", one),
        Photo("prada-c.jpg", two, ("hat-band",), split="valid"),
        Photo("gucci-a.jpg", zero, ("dress",), split="valid"),
        Photo("gucci-d.jpg", broken, ("dress",), split="valid"),
    ]
    categories = ("Top", "skirt", "scarf & tie", "hat-band", "dress")
    folder = write_export(store.root / "made_looks", photos, categories)
    (folder / "train" / "prada-b.jpg").rename(folder / "train" / "moved.jpg")
    source = LookSource(
        name="looks",
        side="street",
        original_dataset="Looks",
        location=str(folder),
        columns=LookColumns(author="author"),
        path_pattern=r"/(?P<designer>\w+)-",
    )
    listing = list_looks(source, HubAccess(), part_rows=16)
    looks = Derivation(Looks.of(source, listing, listing.parts[0]))
    inspected = Derivation(Inspect(InspectConfig(min_side_px=64)), (looks,))
    return {"looks": looks, "labels": Derivation(Labels(), (inspected,), (looks,))}
