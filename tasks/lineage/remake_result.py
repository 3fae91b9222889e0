"""What came of making a row again."""

from dataclasses import dataclass
from enum import StrEnum

from tasks.lineage.remake_compare import Difference
from tasks.lineage.remake_rules import Way


class Outcome(StrEnum):
    """How the rows of a stage, made again, compare with those of the store."""

    EQUAL = "equal"
    WITHIN = "equal within the tolerance"
    DIFFERENT = "different"
    TAKEN_OVER = "taken over"
    ERASED = "erased, nothing to compare with"


@dataclass(frozen=True)
class StageCompared:
    """The rows of one stage that a sample is made of or from, made again and compared.

    `detail`: why they are missing now, or what of the stage is not as it was when the build was made.
    """

    stage: str
    key: str
    sample_ids: tuple[str, ...]
    way: Way
    outcome: Outcome
    differences: tuple[Difference, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Remade:
    """A sample made again: its stages from the source on; `equal`: none of them differs, `build` is a short name."""

    sample_id: str
    build: str
    stages: tuple[StageCompared, ...]

    @property
    def equal(self) -> bool:
        return all(each.outcome is not Outcome.DIFFERENT for each in self.stages)
