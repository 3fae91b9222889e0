"""Small sets of faces whose likeness is known, as arrays and as shards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.identity.clean_faces import Faces
from tasks.schema.webbody import IDENTITY_SCHEMA, PERSON_SCHEMA, embedding_schema
from tasks.shards.derive import Derivation
from tests.poses.sample_shards import given

WIDTH = 64


def axis(index: int, cosine: float = 1.0, side: int = 0) -> NDArray[np.float64]:
    """A unit vector with `cosine` to axis `index`, leaning towards axis `side`."""
    vector = np.zeros(WIDTH)
    vector[index] = cosine
    vector[side] += math.sqrt(1 - cosine**2)
    return vector


@dataclass(frozen=True)
class Face:
    """One face; the photo is its own unless it is named, and the hash of the photo likewise."""

    name: str
    identity: str
    vector: NDArray[np.float64]
    photo: str = ""
    score: float = 0.99
    side: float = 100.0
    norm: float = 20.0
    photo_bytes: str = ""
    phash: int | None = None
    former: tuple[str, ...] = ()
    confidence: tuple[float, ...] = (1.0,) * 17

    @property
    def photo_id(self) -> str:
        return self.photo or f"photo-{self.name}"


def person(identity: str, count: int, index: int, *, cosine: float = 0.85, **columns: Any) -> list[Face]:
    """Faces around axis `index`, any two of them with a cosine of `cosine` squared."""
    return [
        Face(f"{identity}-{i}", identity, axis(index, cosine, 20 + (7 * index + i) % (WIDTH - 20)), **columns)
        for i in range(count)
    ]


def hash_of(face: Face) -> int:
    """Hashes of different photos differ in about 32 bits."""
    if face.phash is not None:
        return face.phash
    return int.from_bytes(sha256(face.photo_id.encode()).digest()[:8], "big")


def as_faces(rows: Sequence[Face], *, pictures: bool = True) -> Faces:
    rows = sorted(rows, key=lambda face: face.name)
    names = sorted({face.identity for face in rows})
    photos = sorted({face.photo_id for face in rows})
    bytes_ = sorted({face.photo_bytes or face.photo_id for face in rows})
    return Faces(
        ids=[face.name for face in rows],
        names=names,
        identity=np.array([names.index(face.identity) for face in rows], np.int64),
        photo=np.array([photos.index(face.photo_id) for face in rows], np.int64),
        score=np.array([face.score for face in rows], np.float32),
        side_px=np.array([face.side for face in rows], np.float32),
        norm=np.array([face.norm for face in rows], np.float32),
        embedding=np.array([face.vector for face in rows], np.float16).reshape(-1, WIDTH),
        picture=np.array([bytes_.index(face.photo_bytes or face.photo_id) for face in rows]) if pictures else None,
        phash=np.array([hash_of(face) for face in rows], np.uint64) if pictures else None,
    )


def identity_rows(rows: Sequence[Face]) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": face.name,
            "parent_id": f"{face.photo_id}/p-{face.name}",
            "source_uri": f"https://example.org/{face.photo_id}",
            "licence": "",
            "idx": face.name,
            "label": "label",
            "photo_id": face.photo_id,
            "identity": face.identity,
            "former_identities": list(face.former),
            "similarity": 0.0,
            "face_score": face.score,
            "face_side_px": face.side,
            "norm": face.norm,
        }
        for face in rows
    ]


def embedding_rows(rows: Sequence[Face]) -> list[dict[str, Any]]:
    return [
        {
            **base,
            "face_xyxy": [0.0, 0.0, 1.0, 1.0],
            "sharpness": 1.0,
            "frontality": 1.0,
            "embedding": face.vector.astype(np.float16).tolist(),
        }
        for face, base in zip(rows, identity_rows(rows), strict=True)
    ]


def person_rows(rows: Sequence[Face]) -> list[dict[str, Any]]:
    return [
        {
            "sample_id": f"{face.photo_id}/p-{face.name}",
            "parent_id": face.photo_id,
            "source_uri": "",
            "licence": "",
            "idx": face.name,
            "label": "label",
            "sha256": face.photo_bytes or face.photo_id,
            "phash": hash_of(face),
            "photo_width": 640,
            "photo_height": 640,
            "person_score": 1.0,
            "person_xyxy": [0.0] * 4,
            "crop_xyxy": [0.0] * 4,
            "keypoints_xy": [0.0] * 34,
            "keypoints_confidence": list(face.confidence),
            "crop_keypoints_xy": [0.0] * 34,
        }
        for face in rows
    ]


def identities(rows: Sequence[Face], name: str = "identities") -> Derivation:
    return Derivation(given(name, IDENTITY_SCHEMA, identity_rows(rows)))


def embeddings(rows: Sequence[Face], name: str = "embeddings") -> Derivation:
    return Derivation(given(name, embedding_schema(WIDTH), embedding_rows(rows)))


def people(rows: Sequence[Face], name: str = "people") -> Derivation:
    return Derivation(given(name, PERSON_SCHEMA, person_rows(rows)))


def read(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in table.to_pylist()}
