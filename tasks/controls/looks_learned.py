"""Embeddings that say what is worn, and what is learned, predicted and compared from them."""

from functools import cached_property
from hashlib import sha256
from typing import Final

import numpy as np

from tasks.controls.finding import Finding
from tasks.controls.passage import Came, Row
from tasks.fashion.trends import TrendConfig
from tasks.runway_street.config import RunwayStreetForm
from tasks.schema.fashion import CATEGORIES, GARMENTS, RUNWAY, STREET

EMBEDDER: Final = "planted@controls"

CLASSES: Final = (("dress", "dress"), ("outer", "outerwear"), ("bag", "bag"))
"""A garment, and the category of a photo with it alone."""

SPREAD: Final = 0.25
"""Of the embeddings around their class, whose centres lie 2.8 apart: nobody is between two of them."""

RIGHT: Final = 0.95
"""Share of photos that have to be taken for what they show."""

SHARE: Final = 1e-6

RUNWAY_OF: Final = (0.5, 0.3, 0.2)
"""Shares of the classes on the runway; on the street each is a third."""


class PlantedEmbeddings:
    """Photos of three classes, as many on the street as a classifier asks for, and some of the runway."""

    width: Final = 8

    def __init__(self, config: RunwayStreetForm) -> None:
        # folds are drawn by a hash: of three times the groups that are asked for, enough are in the train fold
        self.per_class = max(40, 3 * config.classifier.min_groups, config.trends.min_photos)
        self.on_runway = max(60, 2 * config.trends.min_photos)

    @cached_property
    def _kinds(self) -> list[tuple[str, int]]:
        """Side and class of each photo; classes take turns."""
        street = [(STREET, n % len(CLASSES)) for n in range(self.per_class * len(CLASSES))]
        edges = np.cumsum(RUNWAY_OF) * self.on_runway
        runway = [(RUNWAY, int(np.searchsorted(edges, n, side="right"))) for n in range(self.on_runway)]
        return [*street, *runway]

    @cached_property
    def truth(self) -> dict[str, int]:
        """Sample -> place of its class."""
        return {f"control/worn-{side}-{n}": kind for n, (side, kind) in enumerate(self._kinds)}

    @property
    def ids(self) -> set[str]:
        return {*self.truth}

    def label_rows(self) -> list[Row]:
        """Rows of `LABELLED_SCHEMA`; the street is annotated."""
        hashes = np.random.default_rng(7).integers(0, 1 << 62, len(self._kinds))
        return [
            {
                "sample_id": name,
                "source": side,
                "original_dataset": "controls",
                "image_path": f"{name}.jpg",
                "designer": f"designer {n % 7}" if side == RUNWAY else None,
                "garments": [CLASSES[kind][0]] if side == STREET else None,
                "category": CLASSES[kind][1] if side == STREET else None,
                "width": 60,
                "height": 80,
                "sha256": sha256(name.encode()).hexdigest(),
                "phash": int(hashes[n]),
            }
            for n, (name, (side, kind)) in enumerate(zip(self.truth, self._kinds, strict=True))
        ]

    def embedding_rows(self) -> list[Row]:
        """Rows of `embedded_schema`: two in the direction of the class, and a little noise."""
        draw = np.random.default_rng(8)
        centres = 2 * np.eye(self.width)[list(self.truth.values())]
        vectors = np.round(centres + SPREAD * draw.normal(size=centres.shape), 4)
        return [
            {"sample_id": name, "embedding": vector.tolist(), "embedder": EMBEDDER}
            for name, vector in zip(self.truth, vectors, strict=True)
        ]


def predict_findings(said: Came, known: PlantedEmbeddings) -> list[Finding]:
    """Whether photos are taken for what their embeddings say, and the numbers fit each other."""
    stage = "predict"
    rows = said.kept
    right = [row["pred_category"] == CLASSES[known.truth[name]][1] for name, row in rows.items()]
    fits: dict[str, bool] = {}
    garments: list[bool] = []
    for name, row in rows.items():
        each = np.array([np.nan if p is None else p for p in row["category_probabilities"]])
        best = row["category_probabilities"][CATEGORIES.index(row["pred_category"])]
        fits[name] = bool(
            abs(np.nansum(each) - 1) < 1e-3
            and best is not None
            and abs(np.nanmax(each) - row["confidence"]) < 1e-6
            and abs(best - row["confidence"]) < 1e-6
        )
        worn = row["garment_probabilities"][GARMENTS.index(CLASSES[known.truth[name]][0])]
        others = [
            row["garment_probabilities"][GARMENTS.index(g)]
            for n, (g, _) in enumerate(CLASSES)
            if n != known.truth[name]
        ]
        garments += [worn is not None and all(p is None or worn > p for p in others)]
    return [
        Finding.at_least(stage, "categories of planted embeddings", float(np.mean(right)), RIGHT, "share"),
        Finding.at_least(stage, "garments of planted embeddings", float(np.mean(garments)), RIGHT, "share"),
        Finding.none_wrong(stage, "probabilities", fits, "They add up, and the category is the most probable one."),
    ]


def trend_findings(shares: Came, grouped: Came, said: Came, config: TrendConfig) -> list[Finding]:
    """Whether the shares of categories are those of the photos that are compared, and differences of the right sign."""
    stage = "trends"
    compared = {
        name: row
        for name, row in grouped.kept.items()
        if not (config.leave_out_learned and row["garments"] is not None and row["fold"] == "train")
    }
    taken = {
        side: [said.kept[n]["pred_category"] for n, row in compared.items() if row["source"] == side]
        for side in (RUNWAY, STREET)
    }
    counts: dict[str, bool] = {}
    off: list[float] = []
    signs: dict[str, bool] = {}
    for row in shares.kept.values():
        if (row["kind"], row["scope"], row["estimate"]) != ("category", "all", "uncorrected"):
            continue
        label = row["label"]
        counts[label] = (row["runway_n"], row["street_n"]) == (len(taken[RUNWAY]), len(taken[STREET]))
        for side in (RUNWAY, STREET):
            share = row[f"{side}_share"]
            if share is not None and len(taken[side]):
                off.append(abs(share - taken[side].count(label) / len(taken[side])))
        if row["difference"] is not None:
            signs[label] = abs(row["difference"] - (row["runway_share"] - row["street_share"])) < SHARE
    return [
        Finding.none_wrong(stage, "photos that are compared", counts, "Those that nothing was learned from."),
        Finding.at_most(stage, "shares of categories", max(off, default=0.0), SHARE, "share", "Counted one by one."),
        Finding.none_wrong(stage, "differences", signs, "Of the runway less the street."),
    ]
