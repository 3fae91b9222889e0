"""How the heads of the classifier are learned: folds, the strength of the penalty, fits and their calibration."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.fashion.calibration import Calibration, fit_calibration, log_softmax
from tasks.schema.errors import ConfigError
from tasks.schema.fashion import CATEGORIES, GARMENTS
from tasks.schema.records import Frozen

STRENGTHS: Final = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the L2 penalty (scikit-learn's C) that may be tried, decades from strong to weak."""

FOLDS: Final = 4
"""Of the cross-validation."""

_MOST_STEPS = 1000


class ClassifierConfig(Frozen):
    """How the classifier is learned."""

    min_groups: int = Field(
        10,
        title="Fewest groups of a class",
        ge=FOLDS,
        description="Groups of training photos, of unrelated authors and pictures; a class with fewer is not learned.",
    )
    max_photos: int = Field(
        60_000,
        title="Most labelled photos used",
        ge=100,
        description="Train and test together; of more, whole groups are drawn. A photo takes about 50 kB of memory.",
    )
    wanted_accuracy: float = Field(
        0.8,
        title="Wanted accuracy",
        ge=0,
        le=1,
        description="Photos that are taken for a category with less confidence than this asks for count as not known.",
    )
    seed: int = Field(0, title="Seed", ge=0, description="Of the draw of groups and of the folds.")


@dataclass(frozen=True, eq=False)
class Labelled:
    """N labelled photos.

    `embeddings` float32 (N, D); `category`: places in `CATEGORIES`, (N,); `garments` bool (N, 13); `group`: one number
    a group, (N,); `test`: of the test fold, bool (N,).
    """

    embeddings: NDArray[np.float32]
    category: NDArray[np.int64]
    garments: NDArray[np.bool_]
    group: NDArray[np.int64]
    test: NDArray[np.bool_]

    def of(self, rows: NDArray[np.bool_]) -> "Labelled":
        """Those of the photos, bool (N,)."""
        return Labelled(
            self.embeddings[rows], self.category[rows], self.garments[rows], self.group[rows], self.test[rows]
        )


@dataclass(frozen=True)
class Tried:
    """What cross-validation says of a strength: log loss and accuracy of the calibrated categories."""

    strength: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Head:
    """A linear model of K classes, `model.classes_`, not calibrated, and how it was calibrated on scores out of fold.

    `scores` (N, K) and `truth` (N,): out of fold, each photo by a model that did not learn from its group.
    """

    model: Any
    scores: NDArray[np.float64]
    truth: NDArray[np.int64]
    calibration: Calibration

    @classmethod
    def of(cls, model: Any, scores: NDArray[np.float64], truth: NDArray[np.int64]) -> "Head":
        return cls(model, scores, truth, fit_calibration(scores, truth))

    @property
    def converged(self) -> bool:
        return bool(self.model.n_iter_.max() < _MOST_STEPS)


@dataclass(frozen=True, eq=False)
class Learned:
    """All heads, over one standardisation; `few_categories`, `few_garments`: those not learned -> a sentence."""

    scaler: Any
    category: Head
    garments: dict[str, Head]
    tried: tuple[Tried, ...]
    strength: float
    few_categories: dict[str, str]
    few_garments: dict[str, str]


def learn(train: Labelled, config: ClassifierConfig) -> Learned:
    """Heads for the categories and garments that have enough photos.

    The strength is the one with which the calibrated categories have the least log loss on folds of groups; the heads
    of garments use it too. Everything runs on one thread, so that the bytes do not depend on how many there are.

    Args:
        train: photos of the train fold alone.
    Raises:
        ConfigError: fewer than two categories can be learned.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the report says so
        warnings.filterwarnings("ignore", "The least populated class")  # small classes are looked at below
        folds = tuple(_folds(train, config))
        few_categories, few_garments = _too_few(train, folds, config)
        classes = [place for place, name in enumerate(CATEGORIES) if name not in few_categories]
        if len(classes) < 2:
            raise ConfigError(_nothing_to_learn(few_categories, config))
        rows = np.isin(train.category, classes)
        truth = np.searchsorted(classes, np.where(rows, train.category, classes[0]))
        tried, scores = _try_strengths(train.embeddings, truth, rows, folds)
        strength = min(tried, key=lambda each: each.log_loss).strength
        scaler = _scaler(train.embeddings)
        scaled = scaler.transform(train.embeddings.astype(np.float64))
        model = _logistic(strength).fit(scaled[rows], truth[rows])
        model.classes_ = np.array(CATEGORIES)[classes]
        category = Head.of(model, scores[rows], truth[rows])
        wanted = [place for place, name in enumerate(GARMENTS) if name not in few_garments]
        seen = _garment_scores(train, wanted, strength, folds)
        garments = {}
        for place, column in zip(wanted, seen.T, strict=True):
            there = train.garments[:, place]
            both = np.stack([np.zeros_like(column), column], axis=1)
            garments[GARMENTS[place]] = Head.of(_logistic(strength).fit(scaled, there), both, there.astype(np.int64))
    return Learned(scaler, category, garments, tuple(tried), strength, few_categories, few_garments)


def _folds(train: Labelled, config: ClassifierConfig) -> Iterator[NDArray[np.bool_]]:
    """Photos to look at in each fold, bool (N,); whole groups, with about equal shares of the categories."""
    from sklearn.model_selection import StratifiedGroupKFold

    if len(np.unique(train.group)) < FOLDS:
        raise ConfigError(
            f"The labelled street photos of the train fold are {len(np.unique(train.group))} groups, and the "
            f"cross-validation wants {FOLDS}: add photos of other authors, or lower the share of the test fold."
        )
    _, category, counts = np.unique(train.category, return_inverse=True, return_counts=True)
    common = np.where(counts[category] >= FOLDS, category, -1)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=config.seed)
    for _, held_out in splitter.split(np.zeros(len(common)), common, train.group):
        rows = np.zeros(len(common), np.bool_)
        rows[held_out] = True
        yield rows


def _too_few(
    train: Labelled, folds: Sequence[NDArray[np.bool_]], config: ClassifierConfig
) -> tuple[dict[str, str], dict[str, str]]:
    """Categories and garments that cannot be learned, and why."""
    wanted = f"{config.min_groups} unrelated groups are wanted."
    categories, garments = {}, {}
    for place, name in enumerate(CATEGORIES):
        lacking = _short(train.category == place, train, folds, config)
        if lacking:
            categories[name] = f"{lacking} with {name}: {wanted}"
    for place, name in enumerate(GARMENTS):
        there = train.garments[:, place]
        for rows, word in ((there, "with"), (~there, "without")):
            lacking = _short(rows, train, folds, config)
            if lacking:
                garments[name] = f"{lacking} {word} {name}: {wanted}"
    return categories, garments


def _short(
    there: NDArray[np.bool_], train: Labelled, folds: Sequence[NDArray[np.bool_]], config: ClassifierConfig
) -> str:
    groups = len(np.unique(train.group[there]))
    everywhere = all((there & ~held_out).any() for held_out in folds)
    return "" if groups >= config.min_groups and everywhere else f"{int(there.sum())} photos of {groups} groups"


def _nothing_to_learn(not_learned: dict[str, str], config: ClassifierConfig) -> str:
    lacking = "; ".join(not_learned[name] for name in CATEGORIES if name in not_learned)
    return (
        "Fewer than two categories have enough labelled street photos in the train fold, so there is nothing to tell "
        f"apart ({lacking}). Add annotated street photos of at least two categories, of {config.min_groups} "
        "unrelated authors or scenes each, or lower the fewest groups of a class."
    )


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight="balanced", solver="lbfgs", max_iter=_MOST_STEPS)


def _scaler(embeddings: NDArray[np.float32]) -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(embeddings.astype(np.float64))


def scores_of(model: Any, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of a model's classes, (N, K); of two classes the first has 0."""
    scores: NDArray[np.float64] = scaled @ model.coef_.T + model.intercept_
    return scores if scores.shape[1] > 1 else np.concatenate([np.zeros_like(scores), scores], axis=1)


def _standardised(
    embeddings: NDArray[np.float32], rows: NDArray[np.bool_], folds: Sequence[NDArray[np.bool_]]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]]:
    """Of each fold: the photos to fit and to look at, (N,), and their embeddings as the former standardise them."""
    for held_out in folds:
        fitted, seen = rows & ~held_out, rows & held_out
        if seen.any():
            scaler = _scaler(embeddings[fitted])
            yield fitted, seen, *(scaler.transform(embeddings[part].astype(np.float64)) for part in (fitted, seen))


def _try_strengths(
    embeddings: NDArray[np.float32],
    truth: NDArray[np.int64],
    rows: NDArray[np.bool_],
    folds: Sequence[NDArray[np.bool_]],
) -> tuple[list[Tried], NDArray[np.float64]]:
    """Penalties from strong to weak until a weaker one is worse; each fit goes on from that of the stronger one.

    Args:
        rows: those that are learned and scored, (N,).
    Returns:
        what was tried, and the out-of-fold scores of the best, (N, K).
    """
    models = [_logistic(STRENGTHS[0]).set_params(warm_start=True) for _ in folds]
    tried: list[Tried] = []
    best = np.zeros((len(truth), int(truth[rows].max()) + 1))
    for strength in STRENGTHS:
        scores, parts = np.zeros_like(best), _standardised(embeddings, rows, folds)
        for model, (fitted, seen, scaled, looked_at) in zip(models, parts, strict=False):
            model.set_params(C=strength).fit(scaled, truth[fitted])
            scores[seen] = scores_of(model, looked_at)
        tried.append(_tried(strength, scores[rows], truth[rows]))
        if len(tried) > 1 and tried[-1].log_loss > tried[-2].log_loss:
            break
        best = scores
    return tried, best


def _garment_scores(
    train: Labelled, wanted: Sequence[int], strength: float, folds: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Out-of-fold scores of the garments at places `wanted`, (N, G)."""
    scores = np.zeros((len(train.group), len(wanted)))
    everything = np.ones(len(train.group), np.bool_)
    for fitted, seen, scaled, looked_at in _standardised(train.embeddings, everything, folds):
        for column, place in enumerate(wanted):
            model = _logistic(strength).fit(scaled, train.garments[fitted, place])
            scores[seen, column] = scores_of(model, looked_at)[:, 1]
    return scores


def _tried(strength: float, scores: NDArray[np.float64], truth: NDArray[np.int64]) -> Tried:
    logs = log_softmax(fit_calibration(scores, truth)(scores))
    right = logs.argmax(axis=1) == truth
    return Tried(strength, -float(logs[np.arange(len(truth)), truth].mean()), float(right.mean()))
