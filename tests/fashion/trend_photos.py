"""Photos of shows and streets as the trends stage gets them: groups, verdicts and predictions, as derivations."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.audit_ledger import LookVerdict, LookVerdicts
from tasks.fashion.labels import category_of
from tasks.fashion.trends import TrendConfig, Trends
from tasks.schema.fashion import CATEGORIES, GARMENTS, GROUPED_SCHEMA, PREDICTED_SCHEMA
from tasks.shards.derive import Derivation
from tests.poses.sample_shards import given

CLASSIFIER = "c" * 64


@dataclass
class Look:
    """A photo: what is in it, and what the classifier says."""

    sample_id: str
    source: str
    garments: tuple[str, ...]
    said: tuple[str, ...]
    designer: str | None = None
    season: str | None = None
    group_id: str = ""
    annotated: bool = False
    fold: str = "train"
    predicted: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def grouped(self) -> dict[str, Any]:
        return {
            **self._ids,
            "source": self.source,
            "original_dataset": "made",
            "image_path": f"{self.sample_id}.jpg",
            "designer": self.designer,
            "season": self.season,
            "garments": list(self.garments) if self.annotated else None,
            "category": category_of(self.garments) if self.annotated else None,
            "width": 8,
            "height": 8,
            "sha256": self.sample_id,
            "phash": 0,
            "group_id": self.group_id or self.sample_id,
            "fold": self.fold,
        }

    @property
    def prediction(self) -> dict[str, Any]:
        category = category_of(self.said)
        return {
            **self._ids,
            "pred_category": category,
            "confidence": 0.75,
            "abstained": False,
            "category_probabilities": [0.79 if each == category else 0.03 for each in CATEGORIES],
            "garment_probabilities": [0.75 if each in self.said else 0.125 for each in GARMENTS],
            "classifier": CLASSIFIER,
            **self.extra,
        }

    @property
    def _ids(self) -> dict[str, Any]:
        return {"sample_id": self.sample_id, "parent_id": None, "source_uri": "", "licence": ""}


def looks(
    source: str, count: int, rates: dict[str, float], draw: np.random.Generator, *, miss: float = 0.0, **more: Any
) -> list[Look]:
    """Photos that show garments at these rates, of which the classifier misses a share; shows of eight photos."""
    made = []
    for number in range(count):
        real = tuple(g for g in GARMENTS if draw.random() < rates.get(g, 0))
        said = tuple(g for g in real if draw.random() >= miss)
        show = {"designer": f"designer {number // 8 % 7}", "season": f"season {number // 56 % 2}"}
        made.append(Look(f"{source}/{number}", source, real, said, **(show if source == "runway" else {}), **more))
    return made


def verdicts_on(photos: list[Look], chosen: NDArray[np.int64]) -> tuple[LookVerdict, ...]:
    """What a person who is never wrong says of some."""
    return tuple(LookVerdict(sample_id=photos[i].sample_id, garments=photos[i].garments) for i in chosen.tolist())


def trends_of(
    photos: list[Look], verdicts: tuple[LookVerdict, ...] = (), config: TrendConfig | None = None, shards: int = 2
) -> Derivation:
    """The comparison, from predictions in several shards."""
    groups = Derivation(given("groups", GROUPED_SCHEMA, [each.grouped for each in photos]))
    said = [each.prediction for each in photos if each.predicted]
    parts = [given(f"predicted {i}", PREDICTED_SCHEMA, said[i::shards]) for i in range(shards)]
    whole = (groups, Derivation(LookVerdicts.of(verdicts)), *(Derivation(part) for part in parts))
    return Derivation(Trends(config or TrendConfig()), whole=whole)
