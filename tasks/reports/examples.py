"""Samples of a build to look at: some that were kept, and some of each reason that others were left out for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import pyarrow as pa

from tasks.reports.build_facts import BuildFacts, damage_explained
from tasks.reports.distributions import final_ids
from tasks.reports.drawn import Sheet, drawn_sheets
from tasks.reports.pictures import NEVER_SHOWN, Wanted, pictures_of
from tasks.reports.rejected import RejectedFor, rejected_by_reason

KEPT: Final = 24
REJECTED: Final = 6


@dataclass(frozen=True, eq=False)
class Examples:
    """What pages and artifacts show of a build's samples.

    Args:
        ids: of all rows of the dataset.
        kept: some of them, evenly spread.
        pictures: data URIs of small JPEGs, of those of `kept` and `rejected` that have a picture.
        sheets: kept samples as the flow draws them.
    """

    ids: pa.ChunkedArray
    kept: tuple[Wanted, ...]
    rejected: tuple[RejectedFor, ...]
    pictures: Mapping[Wanted, str]
    sheets: tuple[Sheet, ...]

    @classmethod
    def of(cls, build: BuildFacts, kept: int = KEPT, rejected: int = REJECTED) -> Self:
        """Choose and read them: at most `kept` samples, and `rejected` of each stage and reason.

        Raises:
            StoreError: a shard does not read.
            IsolationError: the process that decodes pictures does not start.
        """
        with damage_explained(build):
            ids = final_ids(build)
            number = min(kept, len(ids))
            chosen = tuple(Wanted(ids[n * len(ids) // number].as_py()) for n in range(number))
            groups = rejected_by_reason(build, rejected)
            lost = [
                Wanted(each.sample_id, group.stage)
                for group in groups
                if group.reason not in NEVER_SHOWN
                for each in group.examples
            ]
            return cls(ids, chosen, groups, pictures_of(build, [*chosen, *lost]), drawn_sheets(build))
