"""A small source for each dataset that needs no weights but those made here, and what is new in it a day later."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.images.sheet import encode_jpeg, encode_png
from tasks.ingest.mannequins import render_mannequin
from tasks.schema.columns import IMAGE
from tests.download.url_server import UrlServer, jpeg
from tests.fashion.coloured_looks import coloured, write_looks
from tests.golden.dances import SOUND, VIDEO
from tests.golden.films import FILM
from tests.ingest.hub_server import HubServer
from tests.patches.film_builds import CATEGORIES, FORMATS

DATASET = "somebody/drawn"


@dataclass
class GrowingSources:
    """Sources below a folder, and servers of a hub and of photos that are served elsewhere."""

    folder: Path
    hub: HubServer
    web: UrlServer

    def __post_init__(self) -> None:
        self._looks: dict[str, Any] = write_looks(self.folder, street=1, runway=1)["sources"][1]
        for name in ("films", "dances"):
            (self.folder / name).mkdir()
        self.hub.publish(DATASET, {"data/train-00000-of-00001.parquet": drawn(0, 4)})
        self.list_urls("/ok/0", "/file/late", "/status/404")
        shutil.copy(FILM, self.folder / "films" / "one.mp4")
        self._add_dance("one")

    def grow(self) -> None:
        """A new revision with two more rows, a new URL and one that answers at last, a film, a dance, two looks."""
        files = self.hub.trees[DATASET, self.hub.refs[DATASET, "main"]]
        self.hub.publish(DATASET, files | {"data/train-00001-of-00002.parquet": drawn(4, 2)})
        self.web.files["late"] = jpeg(9)
        self.list_urls("/ok/0", "/file/late", "/status/404", "/ok/1")
        shutil.copy(FILM, self.folder / "films" / "two.mp4")
        self._add_dance("two")
        (self.folder / "dances" / "broken.mp4").write_bytes(VIDEO.read_bytes()[:5000])
        show = self.folder / "runway" / "maison_9" / "ss25"
        show.mkdir(parents=True)
        (show / "dress.png").write_bytes(coloured("dress", 2000))
        (show / "torn.png").write_bytes(b"no picture")

    def list_urls(self, *paths: str) -> None:
        """The list holds these addresses from now on."""
        (self.folder / "web.csv").write_text("url\n" + "".join(f"{self.web.url(path)}\n" for path in paths))

    def _add_dance(self, name: str) -> None:
        shutil.copy(VIDEO, self.folder / "dances" / f"{name}.mp4")
        shutil.copy(SOUND, self.folder / "dances" / f"{name}.flac")

    def configs(self) -> dict[str, dict[str, Any]]:
        """Flow -> its configuration, which stays the same."""
        source = {"name": "drawn", "category": "lifestyle", "location": DATASET, "near_duplicates": False}
        purpose = {"purpose": "testing", "legal_basis": "consent", "jurisdiction": "EU"}
        found: dict[str, dict[str, Any]] = {
            "pose_templates": {
                "sources": [source | {"columns": {"conditioning": "conditioning_image"}}],
                "keypoints": {"pose_model": ""},
                "seeding": {"enabled": False},
            },
            "webbody": {
                "sources": [{"name": "web", "location": str(self.folder / "web.csv")}],
                "purpose": purpose,
                "download": {"first_pause_h": 0.0005},
                "part_rows": 3,
                "until": "download",
            },
            "video_patches": {
                "folders": [{"path": str(self.folder / "films"), "categories": {"general": 1.0}}],
                "windows_per_film": 2,
                "categories": [CATEGORIES[0].model_dump()],
                "formats": [each.model_dump() for each in FORMATS],
                "machine": {"min_free_gb": 0.1},
            },
            "music_to_pose": {
                "sources": [{"name": "dance", "location": str(self.folder / "dances")}],
                "until": "dance",
            },
            "runway_street": {
                "sources": [self._looks | {"name": "runway", "side": "runway"}],
                "embedding": {"model": "timm:test_resnet", "weights": "coloured.pth"},
                "part_rows": 3,
                "until": "embed",
            },
        }
        return {flow: config | {"controls": False} for flow, config in found.items()}


def drawn(first: int, count: int) -> bytes:
    """A Parquet file of mannequins with their drawings."""
    made = [render_mannequin(12, index) for index in range(first, first + count)]
    rows = [
        {
            "image": {"bytes": encode_jpeg(each.photo, 90), "path": None},
            "conditioning_image": {"bytes": encode_png(each.drawing), "path": None},
        }
        for each in made
    ]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(dict.fromkeys(rows[0], IMAGE))), stream)
    return stream.getvalue()
