"""The source of controls: rows whose truth is known, in the columns that a stage of a flow takes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import pyarrow as pa
from pydantic import Field

from tasks.images.decode import decoder_build
from tasks.schema.records import Frozen
from tasks.shards.derive import Derivation
from tasks.shards.stage import Stage, StageOutput

LICENCE = "CC0-1.0 (made for control)"

Row = dict[str, Any]


class PlantedConfig(Frozen):
    """Which rows.

    `recipe` names the function that makes them, `revision` is raised when it makes others. `mark` names the build that
    is controlled: it stands in every row, so that other builds send their controls through anew. `sizes` are the
    numbers of the build that the rows depend on (pixels of a side, numbers of an embedding).
    """

    recipe: str
    revision: int
    mark: str
    sizes: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True)
class Planted(Stage):
    """A source that offers the rows of a recipe, each with the mark in its `source_uri`.

    `columns` and `make` are those of the recipe: `make` gives rows of `columns`; what a row lacks is null.
    """

    config: PlantedConfig
    columns: pa.Schema
    make: Callable[[], Sequence[Row]]

    name: ClassVar[str] = "controls"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return self.columns

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        del batches
        rows = [self._marked(row) for row in self.make()]
        yield StageOutput(pa.Table.from_pylist(rows, schema=self.columns))

    def _marked(self, row: Row) -> Row:
        uri = f"control://{self.config.mark}/{row['sample_id']}"
        full = {"licence": LICENCE, **row, "source_uri": uri}
        return {name: full.get(name) for name in self.columns.names}


def planted(
    recipe: str, revision: int, mark: str, columns: pa.Schema, make: Callable[[], Sequence[Row]], **sizes: int
) -> Derivation:
    """The rows of a recipe as a shard to be."""
    config = PlantedConfig(recipe=recipe, revision=revision, mark=mark, sizes=sizes)
    return Derivation(Planted(config, columns, make))
