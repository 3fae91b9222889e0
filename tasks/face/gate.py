"""The stage that keeps faces out of linkage that no model can tell apart: small, doubtful, blurred, turned away, faint.

Small blurry faces of unrelated people are more alike than two good photos of one person, so they glue identities
together whatever the linkage is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue

from tasks.face.recogniser import recognition_card, spec_of
from tasks.face.remembered import RememberedFaces
from tasks.models.card import ModelCard
from tasks.models.embedding import GateFloors
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import embedding_schema
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.tombstones import REMEMBERED

RULES: Final = (
    ("face_side_px", Reason.FACE_TOO_SMALL, "its box is {value:.0f} px long, at least {floor:g} px are wanted"),
    ("face_score", Reason.FACE_SCORE_LOW, "the detector gives it {value:.2f}, at least {floor:g} is wanted"),
    ("sharpness", Reason.FACE_BLURRED, "its sharpness is {value:.2f}, at least {floor:g} is wanted"),
    ("frontality", Reason.FACE_TURNED_AWAY, "its frontality is {value:.2f}, at least {floor:g} is wanted"),
    ("norm", Reason.FACE_FAINT, "its embedding has the norm {value:.1f}, at least {floor:g} is wanted"),
)
"""Column, reason and sentence of each floor; the first that a face does not reach is the one it is left out for."""


class GateConfig(Frozen):
    """Which faces may be linked.

    `model` is the model that recognised them, by the name of its card or as a card; each floor that is None is that
    model's own, 0 switches a floor off. `face_side_px` in pixels of the stored photo; `face_score`, `sharpness` and
    `frontality` 0 to 1; `norm` in the units of the model.
    """

    model: str | ModelCard = "auraface-v1"
    face_side_px: float | None = Field(None, ge=0)
    face_score: float | None = Field(None, ge=0, lt=1)
    sharpness: float | None = Field(None, ge=0, lt=1)
    frontality: float | None = Field(None, ge=0, lt=1)
    norm: float | None = Field(None, ge=0)


@dataclass(frozen=True)
class Gate(Stage):
    """Recognised faces to those that are good enough to be linked, and that nobody asked to have left out.

    `remembered` are faces of the same model that are known again; the key follows them.

    Raises:
        ModelError: no recognition model has that name.
    """

    config: GateConfig
    remembered: RememberedFaces | None = None

    name: ClassVar[str] = "gate"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 4096

    def __post_init__(self) -> None:
        _ = self.floors

    @property
    def floors(self) -> GateFloors:
        """The floors that hold: those of the configuration, and where it leaves one open, the model's."""
        own = spec_of(recognition_card(self.config.model)).floors
        chosen = self.config.model_dump(exclude={"model"}, exclude_none=True)
        return own.model_copy(update=chosen)

    @property
    def schema(self) -> pa.Schema:
        return embedding_schema(spec_of(recognition_card(self.config.model)).width)

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the floors that hold, and the digest of the faces that are known again, if there are."""
        known = {"remembered": self.remembered.digest} if self.remembered else {}
        return {**super().params(), **self.floors.model_dump(), **known}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        floors = self.floors.model_dump()
        for batch in batches:
            yield _output(batch, floors, self._known_again(batch))

    def _known_again(self, batch: pa.RecordBatch) -> dict[int, Rejection]:
        """Rows that show a remembered face, each with its rejection."""
        if self.remembered is None:
            return {}
        vectors = np.asarray(batch["embedding"].flatten().to_numpy(zero_copy_only=False), np.float32)
        cosines = self.remembered.likeness(vectors.reshape(batch.num_rows, -1))
        rows = np.flatnonzero(np.isfinite(cosines)).tolist()
        return {
            row: Rejection(batch["sample_id"][row].as_py(), Reason.FORGOTTEN, REMEMBERED, float(cosines[row]))
            for row in rows
        }


def _output(batch: pa.RecordBatch, floors: dict[str, float], known_again: dict[int, Rejection]) -> StageOutput:
    rejected = dict(known_again)
    for column, reason, sentence in RULES:
        values = batch[column].to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(
            ~(values >= np.float32(floors[column]))
        ):  # a value that is no number reaches no floor
            value = float(values[row])
            detail = sentence.format(value=value, floor=floors[column])
            rejected.setdefault(
                int(row),
                Rejection(
                    batch["sample_id"][int(row)].as_py(), reason, detail, value, batch["source_uri"][int(row)].as_py()
                ),
            )
    kept = np.array([row for row in range(batch.num_rows) if row not in rejected], np.int64)
    return StageOutput(batch.take(pa.array(kept)), tuple(rejected[row] for row in sorted(rejected)))
