"""The stage that turns photos into embeddings; what the classifier needs goes on, the pixels stay behind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from tasks.fashion.embedder import Embedder, embedder_card, open_embedder, picture_for, spec_of
from tasks.images.ahead import one_ahead
from tasks.images.decode import decode_rgb, decoder_build
from tasks.models.card import ModelCard
from tasks.models.device import Device, cpu_threads
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.fashion import embedded_schema
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, RefusedError, Rejection
from tasks.shards.stage import Side, Stage, StageOutput


class EmbedConfig(Frozen):
    """Which model says what a photo looks like."""

    model: str = Field(
        "resnet50-tv-in1k",
        title="Embedding model",
        min_length=1,
        description="resnet50-tv-in1k, or an architecture with weights of your own: timm:resnet18.tv_in1k, "
        "open_clip:ViT-B-32. Its tag says how photos are prepared.",
    )
    weights: str = Field(
        "",
        title="File of weights",
        pattern=r"^[^/\\\x00]*$",
        description="Its name in the folder of models; empty: that of the model.",
    )


@dataclass(frozen=True)
class Embed(Stage):
    """Labelled photos to embeddings, as the model gives them; the pixels are looked up in the looks.

    A photo that does not decode, or whose embedding is not finite, costs itself alone. The next photos are decoded
    while the model looks at some. `zoo`, `device` and `runtime` say where weights are and what runs them; None: the
    fastest runtime.

    Raises:
        ModelError: no embedder has that name; while running also: its weights cannot be had.
    """

    config: EmbedConfig
    zoo: Zoo = field(default_factory=Zoo.from_environment)
    device: Device = "auto"
    runtime: Runtime | None = None

    name: ClassVar[str] = "embed"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("image",)),)

    def __post_init__(self) -> None:
        _ = self.embedder

    @cached_property
    def card(self) -> ModelCard:
        return embedder_card(self.config.model, self.config.weights)

    @cached_property
    def embedder(self) -> Embedder:
        """The model, not loaded yet."""
        return open_embedder(self.card, self.zoo, self.device, self.runtime)

    @property
    def schema(self) -> pa.Schema:
        return embedded_schema(spec_of(self.card).width)

    def models(self) -> dict[str, str]:
        return {self.embedder.name: self.embedder.sha256}

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), **self.embedder.execution()}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        embedder = embedder_name(self.embedder)
        rows = ([(batch, row) for row in range(batch.num_rows)] for batch in batches if batch.num_rows)
        with ThreadPoolExecutor(cpu_threads(), "embed") as pool:
            for photos, pictures in one_ahead(pool, self._picture, rows):
                yield self._output(photos[0][0], pictures, embedder)

    def _picture(self, photo: tuple[pa.RecordBatch, int]) -> NDArray[np.uint8] | RefusedError:
        batch, row = photo
        image = batch["image"][row]
        try:
            return picture_for(
                decode_rgb((image["bytes"].as_py() if image.is_valid else None) or b""), self.embedder.spec
            )
        except RefusedError as refusal:
            return refusal

    def _output(
        self, batch: pa.RecordBatch, pictures: list[NDArray[np.uint8] | RefusedError], embedder: str
    ) -> StageOutput:
        refusals = {row: each for row, each in enumerate(pictures) if isinstance(each, RefusedError)}
        decoded = [row for row in range(batch.num_rows) if row not in refusals]
        embeddings = self.embedder.embed([each for each in pictures if not isinstance(each, RefusedError)])
        finite = [bool(np.isfinite(each).all()) for each in embeddings]
        detail = f"{self.embedder.name} gives it an embedding that is not finite"
        for row, fine in zip(decoded, finite, strict=True):
            if not fine:
                refusals[row] = RefusedError(Reason.EMBEDDING_NOT_FINITE, detail)
        ids, uris = batch["sample_id"].to_pylist(), batch["source_uri"].to_pylist()
        rejected = tuple(
            Rejection(ids[row], refusal.reason, refusal.detail, None, uris[row])
            for row, refusal in sorted(refusals.items())
        )
        kept = batch.take(pa.array([row for row in range(batch.num_rows) if row not in refusals], pa.int64()))
        return StageOutput(_table(kept, embeddings[finite], embedder), rejected)


def embedder_name(embedder: Embedder) -> str:
    """How a row names its model: the name and the sha256 of its weights. Equal names: embeddings may be compared."""
    return f"{embedder.name}@{embedder.sha256}"


def _table(rows: pa.RecordBatch, embeddings: NDArray[np.float32], embedder: str) -> pa.Table:
    schema = embedded_schema(embeddings.shape[1])
    columns = {
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1]),
        "embedder": pa.array([embedder] * rows.num_rows, pa.string()),
    }
    return pa.table([columns[name] if name in columns else rows[name] for name in schema.names], schema=schema)
