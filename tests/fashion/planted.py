"""Embeddings with a signal that was put in, whose best possible accuracy is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.classifier import learned_classifier
from tasks.fashion.classifier_file import Classifier
from tasks.fashion.classifier_report import ClassifierReport, Counts
from tasks.fashion.training import ClassifierConfig, Labelled
from tasks.schema.fashion import CATEGORIES, GARMENTS

SHARES = (0.3, 0.25, 0.2, 0.15, 0.1)
"""Of the first categories; the others are nobody's."""

WIDTH = len(CATEGORIES) + len(GARMENTS)
"""An axis for each category and each garment."""


@dataclass(frozen=True, eq=False)
class Planted:
    """N photos, and the posterior of each category, (N, K), which nothing can beat."""

    labelled: Labelled
    posterior: NDArray[np.float64]

    @property
    def bayes_accuracy(self) -> float:
        """Of saying the most probable category, on the same photos of the test fold."""
        right = self.posterior.argmax(axis=1) == self.labelled.category
        return float(right[self.labelled.test].mean())


def planted(
    count: int,
    *,
    shares: Sequence[float] = SHARES,
    distance: float = 2.0,
    per_group: int = 1,
    noise_labels: bool = False,
    garments: bool = True,
    seed: int = 0,
) -> Planted:
    """Normal clouds around the mean of each category, moved along an axis of its own for each garment.

    Args:
        shares: of the categories.
        distance: of a mean from the origin, in standard deviations; twice that for a garment.
        per_group: photos of a group, which are nearly one and have equal labels.
        garments: some are worn; without them there is less to learn and to wait for.
        noise_labels: labels that have nothing to do with the embeddings.
    """
    draw = np.random.default_rng(seed)
    groups = -(-count // per_group)
    share = np.array(shares) / sum(shares)
    category = draw.choice(len(share), groups, p=share)
    worn = (draw.random((groups, len(GARMENTS))) < np.linspace(0.2, 0.6, len(GARMENTS))) & garments
    means = distance * np.eye(len(CATEGORIES))[: len(share)]
    centre = draw.normal(size=(groups, WIDTH))
    if not noise_labels:
        centre += np.concatenate([means[category], 2 * distance * worn], axis=1)
    gaps = centre[:, None, : len(CATEGORIES)] - means
    logs = np.log(share) - 0.5 * (gaps**2).sum(axis=2)
    posterior = np.exp(logs - logs.max(axis=1, keepdims=True))
    group = np.repeat(np.arange(groups), per_group)[:count]
    embeddings = centre[group] + (0.01 * draw.normal(size=(count, WIDTH)) if per_group > 1 else 0.0)
    labelled = Labelled(
        embeddings.astype(np.float32),
        category[group].astype(np.int64),
        worn[group],
        group.astype(np.int64),
        (draw.random(groups) < 0.25)[group],
    )
    return Planted(labelled, (posterior / posterior.sum(axis=1, keepdims=True))[group])


@cache
def classifier_of(categories: int, *, garments: bool = True) -> Classifier:
    """A classifier of some categories, equally frequent, and of all garments or none."""
    photos = planted(300, shares=(1,) * categories, garments=garments)
    return learned(photos.labelled, wanted_accuracy=0.95)[0]


def learned(labelled: Labelled, **config: Any) -> tuple[Classifier, ClassifierReport]:
    """A classifier of photos and its report."""
    train, test = int((~labelled.test).sum()), int(labelled.test.sum())
    counts = Counts(
        labelled=train + test,
        over_limit=0,
        without_embedding=0,
        train=train,
        train_groups=train,
        test=test,
        test_groups=test,
    )
    return learned_classifier(labelled, "planted", counts, ClassifierConfig(**config))
