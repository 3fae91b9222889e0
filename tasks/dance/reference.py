"""The stage that picks the picture that says who dances in a clip, and the embedding of the face in it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.dance.clip_frames import ClipError, decoder
from tasks.dance.poses import poses_of_row
from tasks.dance.reference_faces import Face, face_at
from tasks.dance.reference_frames import Looked, looked_at
from tasks.face.align import recognition_input
from tasks.face.belonging import NoFace
from tasks.face.face_detector import FaceDetector
from tasks.face.looking import detected, shown
from tasks.face.recognise import aligned_landmarks
from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.face.retinaface import RetinaFace
from tasks.images.ahead import one_ahead
from tasks.images.decode import decoder_build
from tasks.images.sheet import encode_jpeg
from tasks.models.card import ModelCard
from tasks.models.cards import card_named
from tasks.models.device import Device, cpu_threads
from tasks.models.embedding import GateFloors
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.clips import EMBEDDING_WIDTH, REFERENCE_SCHEMA
from tasks.schema.errors import ConfigError, ShapeError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Side, Stage, StageOutput

JPEG_QUALITY: Final = 95
"""Of the reference, without chroma subsampling: it is the second generation, after the clip's own."""

Row = dict[str, Any]
Picture = NDArray[np.uint8]


class ReferenceConfig(Frozen):
    """How the reference is picked.

    `score_floor`: None: the detector's own. `region_side_px` and `min_inside` are those of `tasks.face.faces`. The
    floors decide whether the face is embedded; one that is None is the recognition model's own, 0 switches it off.
    """

    detector: str = Field("retinaface-resnet50", title="Face detector", description="The name of its card.")
    recogniser: str | ModelCard = Field("auraface-v1", title="Face recognition", description="The name of its card.")
    remote_code: bool = Field(False, title="Run the model's code", description="Yes to code of a model's repository.")
    candidates: int = Field(
        12,
        title="Frames looked at",
        ge=1,
        le=64,
        description="Frames of a clip, spread over it, that faces are sought in.",
    )
    joint_floor: float = Field(
        0.5, title="Sure joints", gt=0, lt=1, description="Joints that are less sure do not say where the head is."
    )
    score_floor: float | None = Field(
        None, title="Sure faces", gt=0, lt=1, description="Faces that the detector scores lower are none."
    )
    min_inside: float = Field(
        0.55, title="Face inside", ge=0, le=1, description="Share of the face that lies inside the picture."
    )
    region_side_px: int = Field(
        256, title="Size of a head", ge=64, le=960, description="Pixels that the detector sees a head at."
    )
    face_side_px: float | None = Field(
        None,
        title="Smallest face",
        ge=0,
        description="Pixels of the clip, of the longer side of a face worth embedding.",
    )
    sharpness: float | None = Field(None, title="Least sharpness", ge=0, lt=1, description="Of a face worth embedding.")
    frontality: float | None = Field(
        None, title="Least frontality", ge=0, lt=1, description="Of a face worth embedding."
    )


@dataclass(frozen=True)
class PickReference(Stage):
    """Clips that have poses, and beside them their pictures, to one frame each: the one with the clearest face.

    Faces are looked for at the dancer's head in the most promising frames of the clip (see `looked_at`). The frame
    with the clearest one (see `Face.clearness`) becomes the reference, and its face is embedded, unless it is too
    small, too blurred or turned too far away for the recognition model, or the model's embeddings are not
    `EMBEDDING_WIDTH` wide: then `embedding_missing` says so. Without any face the reference is the frame in which the
    dancer shows most detail, `sharpness` is that of the dancer (see `detail`), and `embedding_missing` says it.

    `zoo` and `device` say where weights are and where they run; a model's weights are fetched and loaded when the
    first row needs them.

    Raises:
        ModelError: no card has the name of a model; while running also: its weights cannot be had.
        ConfigError: the detector tells of no face as unsure as `score_floor`.
    """

    config: ReferenceConfig
    zoo: Zoo = field(default_factory=Zoo.from_environment)
    device: Device = "auto"
    runtime: Runtime | None = None

    name: ClassVar[str] = "reference"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("clip",)),)
    batch_rows: ClassVar[int] = 8

    @classmethod
    def of(
        cls, config: ReferenceConfig, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None
    ) -> "PickReference":
        """The stage with the models that the configuration names, not loaded yet; `runtime` is of the detector."""
        return cls(config, zoo, device, runtime)

    def __post_init__(self) -> None:
        lowest = self.detector.card.thresholds["candidate"]
        if self.score_floor < lowest:
            raise ConfigError(
                f"score_floor: {self.detector.name} tells of no face under {lowest}; choose that or more."
            )
        _ = self.recogniser

    @cached_property
    def detector(self) -> FaceDetector:
        return RetinaFace(card_named(self.config.detector, "retinaface"), self.zoo, self.device, self.runtime)

    @cached_property
    def recogniser(self) -> Recogniser:
        return open_recogniser(self.config.recogniser, self.zoo, self.device, remote_code=self.config.remote_code)

    @property
    def score_floor(self) -> float:
        floor = self.config.score_floor
        return self.detector.card.thresholds["face"] if floor is None else floor

    @property
    def floors(self) -> GateFloors:
        """Those of the configuration, and where it leaves one open, the recognition model's."""
        names = {"face_side_px", "sharpness", "frontality"}
        chosen = self.config.model_dump(include=names, exclude_none=True)
        return self.recogniser.spec.floors.model_copy(update=chosen)

    @property
    def embeds(self) -> bool:
        """Whether embeddings of the model are as wide as wanted; if not it is never asked."""
        return self.recogniser.spec.width == EMBEDDING_WIDTH

    @property
    def schema(self) -> pa.Schema:
        return REFERENCE_SCHEMA

    def models(self) -> dict[str, str]:
        recognition = {self.recogniser.name: self.recogniser.sha256} if self.embeds else {}
        return {self.detector.name: self.detector.sha256, **recognition}

    def execution(self) -> dict[str, str]:
        recognition = self.recogniser.execution() if self.embeds else {}
        return {
            **decoder(),
            **decoder_build(),
            "opencv": cv2.__version__,
            **{f"detector {name}": value for name, value in self.detector.execution().items()},
            **{f"recogniser {name}": value for name, value in recognition.items()},
        }

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the models' cards where the configuration leaves them open."""
        thresholds: dict[str, JsonValue] = dict(self.detector.card.thresholds)
        floors: dict[str, JsonValue] = self.floors.model_dump()
        return {**super().params(), "score_floor": self.score_floor, "thresholds": thresholds, "floors": floors}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        with ThreadPoolExecutor(cpu_threads(), "reference") as pool:
            for rows, looked in one_ahead(pool, self._looked, (batch.to_pylist() for batch in batches)):
                yield self._output(rows, looked)

    def _looked(self, row: Row) -> Looked | Rejection:
        try:
            poses = poses_of_row(row).keypoints
            looked = looked_at(row["clip"]["bytes"] or b"", poses, self.config.candidates, self.config.joint_floor)
        except ClipError as error:
            return _rejection(row, Reason.FRAMES_UNREADABLE, str(error))
        except (ShapeError, ValueError) as error:
            return _rejection(row, Reason.LENGTHS_DIFFER, str(error))
        return looked or _rejection(row, Reason.DANCER_LOST, "the poses show the dancer in no frame", 0.0)

    def _output(self, offered: Sequence[Row], outcomes: Sequence[Looked | Rejection]) -> StageOutput:
        seen = [(row, looked) for row, looked in zip(offered, outcomes, strict=True) if isinstance(looked, Looked)]
        faces = self._faces([looked for _, looked in seen])
        embedded = iter(self._embedded([face for face in faces if isinstance(face, Face)]))
        rows = [
            self._row(row, looked, face, next(embedded) if isinstance(face, Face) else face)
            for (row, looked), face in zip(seen, faces, strict=True)
        ]
        rejected = tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection))
        return StageOutput(pa.Table.from_pylist(rows, schema=REFERENCE_SCHEMA), rejected)

    def _faces(self, clips: Sequence[Looked]) -> list[Face | str]:
        """The clearest face of each clip, or a sentence why there is none."""
        heads = [head for clip in clips for head in clip.heads]
        pictures = [shown(head.picture, head.region, self.config.region_side_px) for head in heads]
        found = iter(zip(heads, pictures, detected(self.detector, pictures) if pictures else [], strict=True))
        best: list[Face | str] = []
        for clip in clips:
            judged = [face_at(*next(found), self.score_floor, self.config.min_inside) for _ in clip.heads]
            faces = [face for face in judged if isinstance(face, Face)]
            surest = max((why for why in judged if isinstance(why, NoFace)), key=_surest, default=None)
            if faces:
                best.append(max(faces, key=lambda face: face.clearness))
            elif surest is not None:
                best.append(f"no face in {len(judged)} of {clip.frames} frames; in the most likely one {surest.detail}")
            else:
                best.append(
                    f"no joint of the head reaches {self.config.joint_floor:.2f} in any of {clip.frames} frames"
                )
        return best

    def _embedded(self, faces: Sequence[Face]) -> list[NDArray[np.float32] | str]:
        """The unit embedding of each face, or a sentence why it has none."""
        reasons = [self._unfit(face) for face in faces]
        fit = [face for face, why in zip(faces, reasons, strict=True) if why is None]
        raw = iter(
            self.recogniser.embed(
                [recognition_input(face.aligned, self.recogniser.spec.side) for face in fit],
                np.stack([aligned_landmarks(face.told.landmarks) for face in fit]),
            )
            if fit
            else ()
        )
        return [self._unit(next(raw)) if why is None else why for why in reasons]

    def _unfit(self, face: Face) -> str | None:
        """Why a face is not to be embedded."""
        if self.embeds:
            return face.unfit(self.floors)
        name, width = self.recogniser.name, self.recogniser.spec.width
        return f"{name} gives embeddings of {width} numbers, {EMBEDDING_WIDTH} are wanted"

    def _unit(self, raw: NDArray[np.float32]) -> NDArray[np.float32] | str:
        norm = float(np.linalg.norm(raw.astype(np.float64)))
        if not np.isfinite(norm) or norm == 0:
            return f"{self.recogniser.name} gives the face an embedding of norm {norm:g}"
        if norm < self.floors.norm:
            return f"the embedding is faint: its norm is {norm:.1f}, at least {self.floors.norm:g} is wanted"
        return (raw.astype(np.float64) / norm).astype(np.float32)

    def _row(self, row: Row, looked: Looked, face: Face | str, embedding: NDArray[np.float32] | str) -> Row:
        missing = embedding if isinstance(embedding, str) else None
        if isinstance(face, str):
            picture, frame = looked.picture, looked.frame
            told = {"sharpness": looked.detail, "embedding_missing": f"{face}; the sharpest frame stands in"}
        else:
            picture, frame = face.head.picture, face.head.frame
            told = {
                "face_xyxy": face.told.xyxy.tolist(),
                "face_score": face.told.score,
                "sharpness": face.sharpness,
                "frontality": face.frontality,
                "embedding": None if missing else embedding,
                "embedding_missing": missing,
            }
        return {
            **{name: row[name] for name in ("sample_id", "parent_id", "source_uri", "licence")},
            "reference": {"bytes": encode_jpeg(picture, JPEG_QUALITY), "path": f"{row['sample_id']}.jpg"},
            "reference_frame": frame,
            "embedding_model": self.recogniser.name,
            **told,
        }


def _surest(why: NoFace) -> float:
    return -1.0 if why.score is None else why.score


def _rejection(row: Row, reason: Reason, detail: str, score: float | None = None) -> Rejection:
    return Rejection(row["sample_id"], reason, detail, score, row["source_uri"])
