"""Faces of the store that are like the one of a photo, by the models of the last build of WebBody.

An embedding of somebody is kept only where that is asked for: see `tasks.face.remembered`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.face.align import ALIGNED_SIDE, aligned_face, recognition_input
from tasks.face.face_detector import FaceDetections, open_face_detector
from tasks.face.recognise import aligned_landmarks
from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.face.remembered import RememberedFace
from tasks.images.decode import DecodeError, decode_rgb
from tasks.lineage.scan import equals, scan
from tasks.models.card import ModelCard
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError
from tasks.schema.records import ShardRecord
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.tombstones import REMEMBERED, read_salt

FLOW: Final = "webbody"

BELOW: Final = 5
"""Faces under the threshold that are shown, so that a person sees where it cuts."""

WARNING: Final = (
    "An embedding is biometric data: it is kept there, apart and unsalted, until you remove that file. Later builds of "
    "webbody with this recogniser leave faces like it out; `mannequin forget --remembered` then takes their photos out."
)

MAIN_FACE: Final = 2.0
"""A face is the one that is meant where its box is this many times as large as the next one. Our choice."""

_ROWS: Final = 8192


@dataclass(frozen=True, eq=False)
class LikeFaces:
    """Faces like that of a photo, the most alike first.

    Args:
        photo: the file.
        model: sha256 of the recogniser.
        embedding: float32, (D,), of length 1.
        least: the cosine from which on the build takes two faces for one person.
        matches: ids and cosines of the faces that reach it.
        below: the next ones, that do not.
        notes: what could not be looked at.
    """

    photo: Path
    model: str
    embedding: NDArray[np.float32]
    least: float
    matches: tuple[tuple[str, float], ...]
    below: tuple[tuple[str, float], ...]
    notes: tuple[str, ...] = ()

    @property
    def remembered(self) -> RememberedFace:
        """What is kept of it where that is asked for."""
        return RememberedFace.of(self.model, self.embedding, self.least)

    def text(self) -> list[str]:
        """What was found in lines, for a person."""
        lines = [f"{len(self.matches):,} faces are as {self.photo.name}, from a cosine of {self.least:.2f} on:"]
        lines += [f"  {sample_id}   {cosine:.2f}" for sample_id, cosine in self.matches]
        lines += [f"  {sample_id}   {cosine:.2f}   not taken" for sample_id, cosine in self.below]
        return [*lines, *self.notes]


def faces_like(store: Store, zoo: Zoo, photo: Path) -> LikeFaces:
    """Look for the face of a photo in the last build of WebBody, and in all that its recogniser saw.

    Raises:
        ConfigError: there is no picture, or no face on it that is much larger than all others.
        StoreError: there is no build of WebBody.
        ModelError: the weights of that build cannot be had.
    """
    if not photo.is_file():
        raise ConfigError(f"There is no picture at {photo}: name the file of a photo.")
    manifest = read_manifest(store, FLOW)
    made = [record for each in manifest.shards if (record := store.read_record(each.stage, each.key)) is not None]
    detector, recogniser = _models(made, zoo)
    embedding = _embedding(photo, detector, recogniser)
    same = [record for record in store.records() if record.models.get(recogniser.name) == recogniser.sha256]
    recognised = [record for record in same if record.stage == "recognise"]
    cosines = dict(_cosines(store, recognised, embedding))
    ordered = sorted(cosines.items(), key=lambda each: (-each[1], each[0]))
    least = _least(made, recogniser)
    count = sum(cosine >= least for _, cosine in ordered)
    erased = sum(record.erased for record in recognised)
    notes = (
        (f"The embeddings of {erased} outputs were erased on purpose: faces there are not found.",) if erased else ()
    )
    return LikeFaces(
        photo,
        recogniser.sha256,
        embedding,
        least,
        tuple(ordered[:count]),
        tuple(ordered[count : count + BELOW]),
        notes,
    )


def known_again(store: Store, records: Sequence[ShardRecord]) -> set[str]:
    """Faces that later builds left out because they show a remembered one; only their salted names were kept."""
    gates = [record for record in records if record.stage == "gate"]
    look = equals("detail", REMEMBERED, "sample_id")
    names = {each for found in scan(store, gates, look, data=False) for each in found.column("sample_id")}
    if not names:
        return set()
    salt = read_salt(store)
    ids = {
        each
        for record in records
        if record.stage == "faces" and not record.erased
        for each in pq.read_table(store.data_path(record), columns=["sample_id"])["sample_id"].to_pylist()
    }
    return {each for each in ids if salt.name(each) in names}


def _models(made: Sequence[ShardRecord], zoo: Zoo) -> tuple[Any, Recogniser]:
    params: dict[str, dict[str, Any]] = {record.stage: dict(record.params) for record in made}
    if "faces" not in params or "recognise" not in params:
        raise ConfigError("The last build of webbody found no faces: name what is to be forgotten by id or address.")
    said = params["recognise"]
    model = said["model"] if isinstance(said["model"], str) else ModelCard.model_validate(said["model"])
    recogniser = open_recogniser(model, zoo, remote_code=bool(said["remote_code"]))
    return open_face_detector(params["faces"]["detector"], zoo), recogniser


def _embedding(photo: Path, detector: Any, recogniser: Recogniser) -> NDArray[np.float32]:
    try:
        pixels = decode_rgb(photo.read_bytes())
    except OSError as error:
        raise ConfigError(f"{photo} cannot be read: {error.strerror}.") from error
    except DecodeError as error:
        raise ConfigError(f"{photo} cannot be read as a picture: {error}") from error
    (found,) = detector.detect([pixels])
    landmarks = found.landmarks[_main_face(found, detector.card.thresholds["face"], photo.name)]
    aligned = aligned_face(pixels, landmarks, ALIGNED_SIDE)
    face = recognition_input(aligned, recogniser.spec.side)
    (raw,) = recogniser.embed([face], aligned_landmarks(landmarks)[None]).astype(np.float64)
    norm = float(np.linalg.norm(raw))
    if not np.isfinite(norm) or norm == 0:
        raise ConfigError(f"{recogniser.name} makes nothing of the face in {photo.name}: give a clearer picture.")
    unit: NDArray[np.float32] = (raw / norm).astype(np.float32)
    return unit


def _main_face(found: FaceDetections, floor: float, name: str) -> int:
    """The face that is much larger than all others."""
    sides = found.boxes.xyxy[:, 2:] - found.boxes.xyxy[:, :2]
    areas = np.where(found.boxes.score >= floor, sides.prod(axis=1), 0)
    largest = np.argsort(-areas)
    if not len(areas) or not areas[largest[0]]:
        raise ConfigError(f"{name} shows no face: give a picture that shows one, large and clear.")
    if len(areas) > 1 and areas[largest[1]] * MAIN_FACE > areas[largest[0]]:
        raise ConfigError(f"{name} shows several faces: cut it to the one that is meant.")
    return int(largest[0])


def _cosines(
    store: Store, records: Sequence[ShardRecord], embedding: NDArray[np.float32]
) -> Iterator[tuple[str, float]]:
    for record in records:
        if record.erased or not record.data.rows:
            continue
        with pq.ParquetFile(store.data_path(record), pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS, columns=["sample_id", "embedding"]):
                vectors = np.asarray(batch["embedding"].flatten().to_numpy(zero_copy_only=False), np.float32)
                cosines = vectors.reshape(batch.num_rows, -1) @ embedding
                yield from zip(batch["sample_id"].to_pylist(), cosines.tolist(), strict=True)


def _least(made: Sequence[ShardRecord], recogniser: Recogniser) -> float:
    """The lowest cosine at which the build linked two faces; where it says none, that of the model's card."""
    for record in made:
        said = record.facts.get("cosines")
        if record.stage == "identities" and isinstance(said, list) and said:
            return min(float(each) for each in said if isinstance(each, int | float))
    return float(recogniser.card.thresholds["match"])
