"""The declared rule: which stages give a row again alone, and how equal it has to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Way(StrEnum):
    """How a stage's row is had again."""

    SOURCE = "read again from the source"
    ROW = "made again of its own row"
    KEPT = "taken over: what was fetched is the source"
    JOINED = "taken over: it was made of all rows together"


@dataclass(frozen=True)
class Rule:
    """How a row of a stage is had again, and compared.

    `tolerance`: by how much a number with a fraction may differ, of itself where it is larger than 1; 0: same bytes.
    `psnr_db`: what a picture needs that does not have the same bytes; 0: it must have them. `together`: rows of the
    input that have this column in common are looked at together. `why` there is a tolerance.
    """

    way: Way
    tolerance: float = 0.0
    psnr_db: float = 0.0
    together: str = ""
    why: str = ""


TOLERANCE: Final = 1e-3
PSNR_DB: Final = 45.0
"""Our choice: far above what another order of sums makes of float32, far below what a wrong input does."""

_BATCH = "the model looks at this sample's pictures alone, not in the batches of the build"

RULES: Final[Mapping[str, Rule]] = {
    # sources
    "ingest_mannequins": Rule(Way.SOURCE),
    "ingest": Rule(Way.SOURCE),
    "looks": Rule(Way.SOURCE),
    "urls": Rule(Way.SOURCE),
    "retry_urls": Rule(Way.SOURCE),
    "film": Rule(Way.SOURCE),
    "dance": Rule(Way.SOURCE),
    "controls": Rule(Way.SOURCE),
    # what a server gave once it may not give again
    "download": Rule(Way.KEPT),
    "released_urls": Rule(Way.KEPT),
    # one row to one or to its children, by code: same bytes
    "consent": Rule(Way.ROW),
    "inspect": Rule(Way.ROW),
    "describe": Rule(Way.ROW),
    "preview": Rule(Way.ROW),
    "labels": Rule(Way.ROW),
    "gate": Rule(Way.ROW),
    "windows": Rule(Way.ROW),
    "patches": Rule(Way.ROW),
    "cut_clips": Rule(Way.ROW),
    "music": Rule(Way.ROW),
    "audit": Rule(Way.ROW),
    # the same by a model whose batches begin anew with every sample: same bytes
    "clips": Rule(Way.ROW),
    "poses": Rule(Way.ROW),
    # the same by a model whose batches hold other samples too
    "keypoints": Rule(Way.ROW, tolerance=TOLERANCE, why=_BATCH),
    "people": Rule(Way.ROW, tolerance=TOLERANCE, why=_BATCH),
    "faces": Rule(Way.ROW, tolerance=TOLERANCE, psnr_db=PSNR_DB, together="parent_id", why=_BATCH),
    "recognise": Rule(Way.ROW, tolerance=TOLERANCE, why=_BATCH),
    "reference": Rule(Way.ROW, tolerance=TOLERANCE, why=_BATCH),
    "embed": Rule(Way.ROW, tolerance=TOLERANCE, why=_BATCH),
    "predict": Rule(Way.ROW),
    # of all rows together
    **dict.fromkeys(
        ("select", "combine", "neighbours", "identities", "verdicts", "validation", "clean", "members", "split"),
        Rule(Way.JOINED),
    ),
    **dict.fromkeys(("groups", "classifier", "look_verdicts", "trends"), Rule(Way.JOINED)),
}
"""By the name of the stage. Same bytes: on the same hardware class, with the same thread count and libraries."""


def rule_of(stage: str) -> Rule:
    """The rule of a stage; one that nobody declared is not made again from one row."""
    return RULES.get(stage, Rule(Way.JOINED))
