"""The stage that turns aligned faces into embeddings; what linkage needs goes on, the pixels stay behind."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.face.align import ARCFACE_112, ARCFACE_SIDE, recognition_input, similarity_transform
from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.images.decode import DecodeError, decode_rgb, decoder_build
from tasks.models.card import ModelCard
from tasks.models.device import Device, cpu_threads
from tasks.models.zoo import Zoo
from tasks.schema.errors import ShapeError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import LANDMARKS, embedding_schema
from tasks.shards.stage import Stage, StageOutput

MAX_ALIGNED_PIXELS: Final = 4096 * 4096
"""Aligned faces are 320 px at most; what claims far more is not one."""


class RecogniseConfig(Frozen):
    """Which model recognises.

    `model` names a card, or is one: any file that a wrapper of ours reads can be told of that way. `remote_code` is the
    yes that a model whose network is code of its repository needs.
    """

    model: str | ModelCard = "auraface-v1"
    remote_code: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """A face as a model wants it: RGB uint8, (side, side, 3), and its landmarks, (5, 2), in [0, 1] of that square."""

    face: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


@dataclass(frozen=True)
class Recognise(Stage):
    """Aligned faces to unit embeddings in fp16, with the norm of the raw ones.

    A face that does not decode, or whose embedding is not finite, costs itself alone. The next batch is decoded while
    the model looks at one. `zoo` and `device` say where weights are and where they run.

    Raises:
        ModelError: no recognition model has that name, or it runs code that nobody said yes to; while running also:
            its weights cannot be had.
    """

    config: RecogniseConfig
    zoo: Zoo = field(default_factory=Zoo.from_environment)
    device: Device = "auto"

    name: ClassVar[str] = "recognise"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 256

    def __post_init__(self) -> None:
        _ = self.recogniser

    @cached_property
    def recogniser(self) -> Recogniser:
        """The model, not loaded yet."""
        return open_recogniser(self.config.model, self.zoo, self.device, remote_code=self.config.remote_code)

    @property
    def schema(self) -> pa.Schema:
        return embedding_schema(self.recogniser.spec.width)

    def models(self) -> dict[str, str]:
        return {self.recogniser.name: self.recogniser.sha256}

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__, **self.recogniser.execution()}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        with ThreadPoolExecutor(cpu_threads(), "recognise") as pool:
            waiting: tuple[pa.RecordBatch, list[Future[Prepared | DecodeError]]] | None = None
            for batch in batches:
                submitted = (batch, [pool.submit(self._prepare, *row) for row in _pictures(batch)])
                if waiting:
                    yield self._output(waiting[0], [future.result() for future in waiting[1]])
                waiting = submitted
            if waiting:
                yield self._output(waiting[0], [future.result() for future in waiting[1]])

    def _prepare(self, image: bytes, landmarks: NDArray[np.float32]) -> Prepared | DecodeError:
        try:
            aligned = decode_rgb(image, MAX_ALIGNED_PIXELS)
            face = recognition_input(aligned, self.recogniser.spec.side)
            return Prepared(face, aligned_landmarks(landmarks))
        except DecodeError as error:
            return error
        except ShapeError as error:
            return DecodeError(Reason.IMAGE_UNREADABLE, f"it is no aligned face: {error}")

    def _output(self, batch: pa.RecordBatch, prepared: list[Prepared | DecodeError]) -> StageOutput:
        seen = [p for p in prepared if isinstance(p, Prepared)]
        points = np.stack([p.landmarks for p in seen]) if seen else np.empty((0, LANDMARKS, 2), np.float32)
        raw = iter(self.recogniser.embed([p.face for p in seen], points))
        ids, uris = batch["sample_id"].to_pylist(), batch["source_uri"].to_pylist()
        kept: list[int] = []
        units: list[NDArray[np.float16]] = []
        norms: list[float] = []
        rejected: list[Rejection] = []
        for row, outcome in enumerate(prepared):
            if isinstance(outcome, DecodeError):
                rejected.append(Rejection(ids[row], outcome.reason, outcome.detail, None, uris[row]))
                continue
            embedding = next(raw).astype(np.float64)
            norm = float(np.linalg.norm(embedding))
            if not np.isfinite(norm) or norm == 0:
                detail = f"{self.recogniser.name} gives it an embedding of norm {norm:g}"
                rejected.append(Rejection(ids[row], Reason.EMBEDDING_NOT_FINITE, detail, None, uris[row]))
                continue
            kept.append(row)
            units.append((embedding / norm).astype(np.float16))
            norms.append(norm)
        return StageOutput(_table(batch, kept, units, norms, self.schema), tuple(rejected))


def aligned_landmarks(landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """Where a face's own landmarks lie in the square that models see, once it is aligned.

    Args:
        landmarks: (5, 2), pixels of any frame.
    Returns:
        float32, (5, 2), in [0, 1] of the square where they lie in it.
    Raises:
        ShapeError: they are not finite, or lie in one place.
    """
    matrix = similarity_transform(landmarks, ARCFACE_112)
    inside = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return ((inside + 0.5) / ARCFACE_SIDE).astype(np.float32)


def _pictures(batch: pa.RecordBatch) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    landmarks = np.asarray(batch["landmarks_xy"].flatten().to_numpy(zero_copy_only=False), np.float32)
    points = landmarks.reshape(batch.num_rows, LANDMARKS, 2)
    for row, image in enumerate(batch["aligned"]):
        picture: Any = image["bytes"].as_py() if image.is_valid else None
        yield picture or b"", points[row]


def _table(
    batch: pa.RecordBatch, kept: list[int], units: list[NDArray[np.float16]], norms: list[float], schema: pa.Schema
) -> pa.Table:
    taken = batch.take(pa.array(kept, pa.int64()))
    width = schema.field("embedding").type.list_size
    flat = np.concatenate(units) if units else np.empty(0, np.float16)
    columns = {
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float16()), width),
        "norm": pa.array(norms, pa.float32()),
    }
    return pa.table([columns[name] if name in columns else taken[name] for name in schema.names], schema=schema)
