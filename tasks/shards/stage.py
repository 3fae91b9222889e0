"""What a stage is: one named, versioned step that turns shards into a shard and its rejects."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from tasks.schema.records import Frozen, ShardRecord
from tasks.schema.rejections import Rejection
from tasks.shards.parquet import read_batches


@dataclass(frozen=True)
class StageOutput:
    """What a stage made of some rows: those it keeps (any columns of its schema, in order) and those it leaves out.

    `facts` is what it measured on its way (thresholds, counts), for the record and the manifest; each name once.
    """

    kept: pa.RecordBatch | pa.Table
    rejected: tuple[Rejection, ...] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """Columns that a stage wants beside its rows, looked up in a further input.

    `on` is the column of the primary rows that holds the `sample_id` of the row looked up. Both inputs must hold the
    rows in the same relative order.
    """

    columns: tuple[str, ...]
    on: str = "sample_id"


@dataclass(frozen=True)
class Whole:
    """A further input that a stage reads by itself, as often as it likes: its rows need not match the primary ones."""

    path: Path

    @property
    def rows(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    def batches(self, columns: tuple[str, ...] | None = None, batch_rows: int = 4096) -> Iterator[pa.RecordBatch]:
        """Its rows in order, in bounded memory."""
        return read_batches(self.path, batch_rows, columns)

    def table(self, columns: tuple[str, ...] | None = None) -> pa.Table:
        """All of its rows."""
        return pq.read_table(self.path, columns=list(columns) if columns else None)


@dataclass(frozen=True)
class Stage(ABC):
    """A step of a flow. A subclass is a frozen dataclass whose `config` holds exactly the parameters that matter.

    Class attributes: `name`; `version`, raised when the output for equal input changes; `sides`, the columns wanted
    from each side input; `fan_out`, true where a row becomes children (`parent_id`) instead of living on; `batch_rows`,
    the most rows of a batch: it closes there, or with the row that takes its payload, side columns included, to
    `tasks.shards.parquet.BATCH_BYTES`, so that equal inputs come in equal batches.
    """

    config: Frozen

    name: ClassVar[str]
    version: ClassVar[int]
    sides: ClassVar[tuple[Side, ...]] = ()
    fan_out: ClassVar[bool] = False
    batch_rows: ClassVar[int] = 64

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of the output, made with `shard_schema`."""

    @abstractmethod
    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        """Account for every row of `batches` (primary columns, then side columns) by keeping or rejecting it.

        A source stage (no inputs) gets no batches and says what it offers.
        """

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        """As `process`, with the whole inputs of the derivation at hand (see `StageOfWhole`).

        Raises:
            TypeError: there are whole inputs, and the stage takes none.
        """
        if whole:
            raise TypeError(f"{self.name} takes no whole inputs, got {len(whole)}")
        return self.process(batches)

    def cautious(self) -> "Stage | None":
        """The same stage for after a process died in the middle of it; None: there is nothing to be cautious about.

        Stages that run native decoders on bytes of strangers in their own process give one that lets a child process go
        first, and rejects what the child does not survive. What it survives gives the same output.
        """
        return None

    def holds(self, record: ShardRecord) -> bool:  # noqa: ARG002 - see the docstring
        """Whether what the stage wrote beside a committed output is here; else it runs again, and the output stays."""
        return True

    def models(self) -> dict[str, str]:
        """Name -> sha256 of every model whose weights decide the output."""
        return {}

    def execution(self) -> dict[str, str]:
        """What else decides the bytes: decoder builds, execution provider, precision."""
        return {}

    def params(self) -> dict[str, JsonValue]:
        """The parameters as they enter the key."""
        return self.config.model_dump(mode="json")


class StageOfWhole(Stage):
    """A stage that takes whole inputs: it defines `process_with` in place of `process`."""

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        return self.process_with(batches, ())

    @abstractmethod
    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]: ...


def stage_key(stage: Stage, inputs: tuple[str, ...], sides: tuple[str, ...]) -> str:
    """The name of a stage's output: sha256 over all that decides it, in hex.

    Args:
        inputs: content digests of the primary inputs, in order.
        sides: content digests of the side inputs, then of the whole ones, in order.
    """
    return output_key(stage.name, stage.version, inputs, sides, stage.params(), stage.models(), stage.execution())


def output_key(
    stage: str,
    version: int,
    inputs: tuple[str, ...],
    sides: tuple[str, ...],
    params: Mapping[str, JsonValue],
    models: Mapping[str, str],
    execution: Mapping[str, str],
) -> str:
    """`stage_key` of a stage that is known by what its record says alone."""
    decides = {
        "stage": stage,
        "version": version,
        "inputs": inputs,
        "sides": sides,
        "params": params,
        "models": models,
        "execution": execution,
    }
    return sha256(dumps(decides, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
