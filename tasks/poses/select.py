"""Which templates stay: no duplicates, and no more than wanted."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from tasks.images.hashing import MAX_DISTANCE, hamming
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.stage import Stage, StageOutput

ANY: Final = "any"
"""The quota that counts all categories together."""


class SelectConfig(Frozen):
    """What to keep of one source.

    `quotas`: category, or `any` for all together -> how many; a category without a quota is not limited.
    `near_duplicate_distance`: bits of 64 in which two perceptual hashes may differ and still be one picture; -1: off.
    """

    quotas: dict[str, int] = Field(default_factory=dict)
    near_duplicate_distance: int = Field(6, ge=-1, le=MAX_DISTANCE)


@dataclass(frozen=True)
class Select(Stage):
    """The templates of all shards of one source, in order -> those that stay; the first of equal ones does."""

    config: SelectConfig

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 4096

    @property
    def schema(self) -> pa.Schema:
        return TEMPLATE_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        return choose(batches, self.config.quotas, self.config.near_duplicate_distance)


class CombineConfig(Frozen):
    """Nothing to choose."""


@dataclass(frozen=True)
class Combine(Stage):
    """The selections of all sources, one after the other, without what an earlier source gave already."""

    config: CombineConfig

    name: ClassVar[str] = "combine"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 4096

    @property
    def schema(self) -> pa.Schema:
        return TEMPLATE_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        return choose(batches, {}, -1)


def choose(
    batches: Iterator[pa.RecordBatch], quotas: Mapping[str, int], near_duplicate_distance: int
) -> Iterator[StageOutput]:
    """Keep the first of what is equal or looks alike, up to the quotas.

    Row by row; a row goes as an exact duplicate if a kept row has its bytes or its id, else over the limit if its quota
    is full, else as a near duplicate if a kept row is within the distance (the earliest is named). Holds digests and
    hashes of what was kept, no rows.

    Args:
        batches: rows of `TEMPLATE_SCHEMA`, in the order that decides.
        quotas: see `SelectConfig`.
        near_duplicate_distance: see `SelectConfig`.
    """
    kept = _Kept(quotas, near_duplicate_distance)
    for batch in batches:
        columns = (batch[name].to_pylist() for name in ("sample_id", "source_uri", "category", "sha256", "phash"))
        verdicts = [kept.judge(*row) for row in zip(*columns, strict=True)]
        stays = pa.array([verdict is None for verdict in verdicts], pa.bool_())
        yield StageOutput(batch.filter(stays), tuple(v for v in verdicts if v is not None))


@dataclass
class _Kept:
    """What has been kept so far."""

    quotas: Mapping[str, int]
    distance: int
    ids: list[str] = field(default_factory=list)
    by_digest: dict[str, str] = field(default_factory=dict)
    known_ids: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(64, np.uint64))

    def judge(self, sample_id: str, source_uri: str, category: str, digest: str, phash: int) -> Rejection | None:
        """Why the next row goes; None if it is kept, and remembered."""
        same = sample_id if sample_id in self.known_ids else self.by_digest.get(digest)
        if same is not None:
            return Rejection(sample_id, Reason.DUPLICATE_EXACT, f"the same bytes as {same}", source_uri=source_uri)
        for quota in (category, ANY):
            limit = self.quotas.get(quota)
            if limit is not None and self.counts[quota] >= limit:
                detail = f"{limit} templates of {quota} category are kept already"
                return Rejection(sample_id, Reason.OVER_LIMIT, detail, float(limit), source_uri)
        if self.distance >= 0 and self.ids:
            bits = hamming(self.hashes[: len(self.ids)], np.array(phash, np.uint64))
            first = int(np.argmax(bits <= self.distance))
            if bits[first] <= self.distance:
                detail = f"looks like {self.ids[first]}"
                return Rejection(sample_id, Reason.DUPLICATE_NEAR, detail, float(bits[first]), source_uri)
        self._remember(sample_id, category, digest, phash)
        return None

    def _remember(self, sample_id: str, category: str, digest: str, phash: int) -> None:
        if len(self.ids) == len(self.hashes):
            self.hashes = np.concatenate([self.hashes, np.zeros_like(self.hashes)])
        self.hashes[len(self.ids)] = phash
        self.ids.append(sample_id)
        self.known_ids.add(sample_id)
        self.by_digest[digest] = sample_id
        self.counts.update((category, ANY))
