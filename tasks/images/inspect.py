"""The stage that looks at every photo once: does it decode, how large is it, what does it look like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.images.decode import MAX_PIXELS, DecodeError, decoder_build
from tasks.images.examine import Examined, examine, max_drawing_pixels
from tasks.images.isolate import MEMORY_BYTES, Isolated
from tasks.schema.columns import SAMPLE_FIELDS
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.templates import INSPECTED_SCHEMA
from tasks.shards.stage import Stage, StageOutput


class InspectConfig(Frozen):
    """Which photos are usable. `timeout_s` is wall clock for one picture, which may use it twice."""

    min_side_px: int = Field(256, ge=1)
    max_pixels: int = Field(MAX_PIXELS, ge=1, le=MAX_PIXELS)
    max_encoded_bytes: int = Field(64 << 20, ge=1)
    timeout_s: float = Field(60.0, gt=0)
    memory_bytes: int = Field(MEMORY_BYTES, ge=256 << 20)


@dataclass(frozen=True)
class Inspect(Stage):
    """Photos (rows with an `image` column) to `INSPECTED_SCHEMA`; what does not decode is rejected with its reason.

    Only the photo counts. Of a drawing beside it (`conditioning`), `conditioning_ok` says whether it decodes, with the
    photo's limits and no more than `max_drawing_pixels`: one that does not must not be decoded outside of the child.
    """

    config: InspectConfig

    name: ClassVar[str] = "inspect"
    version: ClassVar[int] = 2

    @property
    def schema(self) -> pa.Schema:
        return INSPECTED_SCHEMA

    def execution(self) -> dict[str, str]:
        return decoder_build()

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        options = {"max_pixels": self.config.max_pixels}
        with Isolated(examine, options, self.config.timeout_s, self.config.memory_bytes) as isolated:
            for batch in batches:
                yield self._inspect(batch, isolated)

    def _inspect(self, batch: pa.RecordBatch, isolated: Isolated) -> StageOutput:
        verdicts: list[Examined | DecodeError | None] = [self._before_decoding(image) for image in batch["image"]]
        waiting = [row for row, verdict in enumerate(verdicts) if verdict is None]
        answers = isolated.map([batch["image"][row]["bytes"].as_py() for row in waiting])
        for row, answer in zip(waiting, answers, strict=True):
            verdicts[row] = answer if isinstance(answer, DecodeError) else Examined.from_answer(answer)

        kept: list[int] = []
        examined: list[Examined] = []
        rejected: list[Rejection] = []
        for row, verdict in enumerate(verdicts):
            match verdict:
                case Examined(facts=facts) if min(facts.width, facts.height) >= self.config.min_side_px:
                    kept.append(row)
                    examined.append(verdict)
                case Examined(facts=facts):
                    detail = f"{facts.width} x {facts.height} pixels, wanted {self.config.min_side_px} a side"
                    rejected.append(
                        _rejection(batch, row, Reason.IMAGE_TOO_SMALL, detail, min(facts.width, facts.height))
                    )
                case DecodeError(reason=reason, detail=detail):
                    rejected.append(_rejection(batch, row, reason, detail))
        drawings = self._drawings_ok(batch, kept, examined, isolated)
        return StageOutput(_rows(batch, kept, examined, drawings), tuple(rejected))

    def _drawings_ok(
        self, batch: pa.RecordBatch, kept: list[int], examined: list[Examined], isolated: Isolated
    ) -> list[bool]:
        """For each kept row, whether its drawing may be decoded."""
        if "conditioning" not in batch.schema.names:
            return [False] * len(kept)
        drawings = [batch["conditioning"][row] for row in kept]
        fine = [self._before_decoding(drawing) is None for drawing in drawings]
        waiting = [n for n, encoded in enumerate(fine) if encoded]
        sizes = [(examined[n].facts.width, examined[n].facts.height) for n in waiting]
        answers = isolated.map(
            [drawings[n]["bytes"].as_py() for n in waiting],
            [{"max_pixels": min(self.config.max_pixels, max_drawing_pixels(*size))} for size in sizes],
        )
        for n, answer in zip(waiting, answers, strict=True):
            fine[n] = not isinstance(answer, DecodeError)
        return fine

    def _before_decoding(self, image: pa.StructScalar) -> DecodeError | None:
        data = image["bytes"] if image.is_valid else None
        size = len(data.as_buffer()) if data is not None and data.is_valid else 0
        if size == 0:
            return DecodeError(Reason.IMAGE_MISSING, "the row holds no picture")
        if size > self.config.max_encoded_bytes:
            return DecodeError(
                Reason.IMAGE_TOO_LARGE, f"{size} encoded bytes, more than {self.config.max_encoded_bytes}"
            )
        return None


def _rejection(batch: pa.RecordBatch, row: int, reason: Reason, detail: str, score: float | None = None) -> Rejection:
    return Rejection(batch["sample_id"][row].as_py(), reason, detail, score, batch["source_uri"][row].as_py())


def _rows(batch: pa.RecordBatch, kept: list[int], examined: list[Examined], drawings_ok: list[bool]) -> pa.Table:
    columns = {field.name: batch[field.name].take(pa.array(kept, pa.int64())) for field in SAMPLE_FIELDS}
    facts = [one.facts for one in examined]
    measured = {
        "width": [f.width for f in facts],
        "height": [f.height for f in facts],
        "format": [f.format for f in facts],
        "exif_orientation": [f.exif_orientation for f in facts],
        "encoded_bytes": [f.encoded_bytes for f in facts],
        "sha256": [f.sha256 for f in facts],
        "phash": np.array([one.phash for one in examined], np.uint64),
        "conditioning_ok": drawings_ok,
    }
    arrays = {name: pa.array(values, INSPECTED_SCHEMA.field(name).type) for name, values in measured.items()}
    return pa.table({**columns, **arrays}, schema=INSPECTED_SCHEMA)
