"""Small shards of members, faces, people and photos with real encoded pictures."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.exports.webbody_card import WebBodyCard
from tasks.exports.webbody_join import WebBodyShards
from tasks.schema.webbody import FACE_SCHEMA, MEMBER_SCHEMA, PERSON_SCHEMA, WEB_PHOTO_SCHEMA
from tests.exports.pose_shards import write_shard

WIDTH, HEIGHT = 80, 60
CARD = WebBodyCard(
    title="Bodies",
    purpose="research on | re-identification",
    legal_basis="consent",
    jurisdiction="EU",
    contact="privacy@example.org",
    thresholds={"face": {"score": 0.95}, "link": [0.4, 0.5]},
)

Row = dict[str, object]


def photo_bytes(seed: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A smooth picture in a white border of 4 px, JPEG."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([(x * 3 + seed * 40) % 256, (y * 2 + seed * 17) % 256, (x + y + seed) % 256], -1)
    pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:] = 255, 255, 255, 255
    stream = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def face_bytes(seed: int) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.full((32, 32, 3), (seed * 37 % 256, 90, 120), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def photo_row(index: int, **changes: object) -> Row:
    return {
        **_sample(f"list/{index:04d}", None),
        "idx": str(index),
        "label": f"q{index % 3}",
        "url": f"https://example.org/{index}.jpg",
        "image": {"bytes": photo_bytes(index), "path": f"{index}.jpg"},
        "width": WIDTH,
        "height": HEIGHT,
        "content_xyxy": [4.0, 4.0, WIDTH - 4.0, HEIGHT - 4.0],
        "original_width": 800,
        "original_height": 600,
        "exif": None,
        "sha256": f"{index:064x}",
        "attempt": 0,
        "fetched_at": 0,
        "http_status": 200,
        "final_url": f"https://example.org/{index}.jpg",
        "headers": "{}",
    } | changes


def person_row(photo: Row, number: int = 0, **changes: object) -> Row:
    xy = [8.0 + 2 * (i // 2) if i % 2 == 0 else 6.0 + 3 * (i // 2) for i in range(34)]
    confidence = [0.9] * 15 + [0.3, 0.1]
    crop = [6.0, 5.0, 6.0 + 40, 5.0 + 50]
    return {
        **_sample(f"{photo['sample_id']}/p{number}", photo),
        "idx": photo["idx"],
        "label": photo["label"],
        "sha256": photo["sha256"],
        "phash": 2**64 - 1 - int(str(photo["idx"])),
        "photo_width": photo["width"],
        "photo_height": photo["height"],
        "person_score": 0.9,
        "person_xyxy": [8.0, 7.0, 44.0, 53.0],
        "crop_xyxy": crop,
        "keypoints_xy": xy,
        "keypoints_confidence": confidence,
        "crop_keypoints_xy": [v - crop[i % 2] for i, v in enumerate(xy)],
    } | changes


def face_row(person: Row, **changes: object) -> Row:
    seed = int(str(person["idx"])) + int(str(person["sample_id"])[-1])
    return {
        **_sample(f"{person['sample_id']}/f0", person),
        "idx": person["idx"],
        "label": person["label"],
        "photo_id": person["parent_id"],
        "face_score": 0.99,
        "face_side_px": 20.0,
        "face_xyxy": [10.0, 10.0, 30.0, 30.0],
        "landmarks_xy": [15.0, 15.0, 25.0, 15.0, 20.0, 20.0, 16.0, 25.0, 24.0, 25.0],
        "crop_face_xyxy": [4.0, 5.0, 24.0, 25.0],
        "crop_landmarks_xy": [9.0, 10.0, 19.0, 10.0, 14.0, 15.0, 10.0, 20.0, 18.0, 20.0],
        "sharpness": 0.8,
        "frontality": 0.9,
        "aligned": {"bytes": face_bytes(seed), "path": "f.jpg"},
        "aligned_side_px": 32,
    } | changes


def member_row(face: Row, identity: str, **changes: object) -> Row:
    return {
        **_sample(str(face["sample_id"]), None),
        "parent_id": face["parent_id"],
        "idx": face["idx"],
        "label": face["label"],
        "photo_id": face["photo_id"],
        "identity": identity,
        "similarity": 0.5 + int(str(face["idx"])) % 5 / 10,
        "group_id": f"g-{identity}",
        "split": "train",
        "subsets": ["wb12m"],
    } | changes


class Build:
    """Rows of a build: photos, each with one person or (every third) two, all with faces.

    Photo i shows identity `id-(i % identities)`, a second person the next; identity `id-0` is in the test split.
    """

    def __init__(self, photos: int = 12, identities: int = 4) -> None:
        self.photos = [photo_row(i) for i in range(photos)]
        self.people = [person_row(p, n) for i, p in enumerate(self.photos) for n in range(2 if i % 3 == 0 else 1)]
        self.faces = [face_row(person) for person in self.people]
        self.members = [self._member(face, identities) for face in self.faces]

    @staticmethod
    def _member(face: Row, identities: int) -> Row:
        number = (int(str(face["idx"])) + int(str(face["parent_id"])[-1])) % identities
        if number == 0:
            return member_row(face, "id-0", split="test", subsets=["wb_testing"])
        subsets = ["wb4m", "wb12m"] if number == 1 else ["wb12m"]
        return member_row(face, f"id-{number}", subsets=subsets)

    def write(self, folder: Path, per_shard: int = 5) -> WebBodyShards:
        return WebBodyShards(
            members=_cut(folder / "members", self.members[::-1], MEMBER_SCHEMA, per_shard),
            faces=_cut(folder / "faces", self.faces, FACE_SCHEMA, per_shard),
            people=_cut(folder / "people", self.people, PERSON_SCHEMA, per_shard + 1),
            photos=_cut(folder / "photos", self.photos, WEB_PHOTO_SCHEMA, per_shard),
        )


def _cut(folder: Path, rows: Sequence[Row], schema: pa.Schema, per_shard: int) -> tuple[Path, ...]:
    starts = range(0, max(1, len(rows)), per_shard)
    return tuple(write_shard(folder / f"{s:05d}.parquet", rows[s : s + per_shard], schema) for s in starts)


def _sample(sample_id: str, parent: Mapping[str, object] | None) -> Row:
    return {
        "sample_id": sample_id,
        "parent_id": parent["sample_id"] if parent else None,
        "source_uri": f"https://example.org/{sample_id.split('/')[1]}.jpg",
        "licence": "unknown",
    }
