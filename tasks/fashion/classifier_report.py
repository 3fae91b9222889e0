"""What was measured of a classifier, on photos of groups that it never saw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.calibration import (
    ReliabilityBin,
    abstain_below,
    calibration_error,
    log_softmax,
    reliability,
    softmax,
)
from tasks.fashion.training import STRENGTHS, ClassifierConfig, Head, Labelled, Learned, Tried, scores_of
from tasks.schema.fashion import CATEGORIES, GARMENTS
from tasks.schema.records import Frozen

_DIGITS = 4


class Counts(Frozen):
    """Labelled street photos: all of them, those left out, and those used."""

    labelled: int
    over_limit: int
    without_embedding: int
    train: int
    train_groups: int
    test: int
    test_groups: int


class LabelMeasured(Frozen):
    """A category or garment on the test fold; numbers that it leaves open are null.

    `support`: photos that have it; `train`: those in the train fold; a garment is taken as there from a probability of
    one half.
    """

    label: str
    learned: bool
    train: int
    support: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    calibration_error: float | None


class StrengthTried(Frozen):
    """One row of the cross-validation: of the calibrated categories, out of fold."""

    strength: float
    log_loss: float
    accuracy: float


class ClassifierReport(Frozen):
    """What was measured of a classifier. All of it on the test fold, unless it says otherwise.

    `confusion`: photos, true categories (rows) by those they were taken for, in the order of `CATEGORIES`; a category
    that was not learned counts, and is never right. `majority_accuracy`: of always saying the most frequent category of
    the train fold. `calibration_error_uncalibrated`: before calibration. `reliability`: of the calibrated categories.
    `slope`: what calibration multiplies scores by. `abstain_below`: chosen out of fold on the train fold, null where no
    confidence reaches the wanted accuracy; `coverage` and `kept_accuracy`: what it leaves. `notes`: sentences.
    """

    embedder: str
    width: int
    config: ClassifierConfig
    counts: Counts
    tried: tuple[StrengthTried, ...]
    strength: float
    slope: float
    accuracy: float | None
    macro_f1: float | None
    log_loss: float | None
    majority: str
    majority_accuracy: float | None
    categories: tuple[LabelMeasured, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error_uncalibrated: float | None
    calibration_error: float | None
    reliability: tuple[ReliabilityBin, ...]
    abstain_below: float | None
    coverage: float | None
    kept_accuracy: float | None
    garments: tuple[LabelMeasured, ...]
    categories_not_learned: dict[str, str]
    garments_not_learned: dict[str, str]
    notes: tuple[str, ...]


def threshold_of(head: Head, wanted: float) -> float | None:
    """The confidence below which a head abstains, from its photos out of fold; see `abstain_below`."""
    probabilities = softmax(head.calibration(head.scores))
    return abstain_below(probabilities.max(axis=1), probabilities.argmax(axis=1) == head.truth, wanted)


def measured(
    labelled: Labelled,
    learned: Learned,
    threshold: float | None,
    embedder: str,
    counts: Counts,
    config: ClassifierConfig,
) -> ClassifierReport:
    """The report.

    Args:
        labelled: photos of both folds.
        learned: from those of the train fold.
        threshold: below which it abstains.
    """
    train, test = labelled.of(~labelled.test), labelled.of(labelled.test)
    scaled = learned.scaler.transform(test.embeddings.astype(np.float64)) if len(test.group) else None
    raw = _scores(learned.category, scaled)
    scores = learned.category.calibration(raw)
    places = np.array([CATEGORIES.index(name) for name in learned.category.model.classes_])
    probabilities = softmax(scores)
    taken = places[probabilities.argmax(axis=1)] if len(scores) else np.zeros(0, np.int64)
    confidence, right = probabilities.max(axis=1, initial=0.0), taken == test.category
    uncalibrated = softmax(raw)
    raw_right = places[uncalibrated.argmax(axis=1)] == test.category if len(raw) else right
    bins = reliability(confidence, right)
    majority = int(np.bincount(train.category).argmax())
    kept = confidence >= threshold if threshold is not None else np.zeros(len(right), np.bool_)
    categories = tuple(
        _label(
            name,
            name not in learned.few_categories,
            int((train.category == place).sum()),
            test.category == place,
            taken == place,
            _column(probabilities, learned.category.model.classes_.tolist(), name),
        )
        for place, name in enumerate(CATEGORIES)
    )
    garments = tuple(_garment(place, train, test, learned, scaled) for place in range(len(GARMENTS)))
    confusion = np.zeros((len(CATEGORIES), len(CATEGORIES)), np.int64)
    np.add.at(confusion, (test.category, taken), 1)
    known = np.isin(test.category, places)
    logs = log_softmax(scores)[known, np.searchsorted(places, test.category[known])] if len(scores) else np.zeros(0)
    return ClassifierReport(
        embedder=embedder,
        width=labelled.embeddings.shape[1],
        config=config,
        counts=counts,
        tried=tuple(_rounded(each) for each in learned.tried),
        strength=learned.strength,
        slope=round(learned.category.calibration.slope, _DIGITS),
        accuracy=_mean(right),
        macro_f1=_mean([each.f1 for each in categories if each.support and each.f1 is not None]),
        log_loss=_mean(-logs),
        majority=CATEGORIES[majority],
        majority_accuracy=_mean(test.category == majority),
        categories=categories,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration_error_uncalibrated=calibration_error(reliability(uncalibrated.max(axis=1, initial=0.0), raw_right)),
        calibration_error=calibration_error(bins),
        reliability=bins,
        abstain_below=threshold,
        coverage=_mean(kept),
        kept_accuracy=_mean(right[kept]),
        garments=garments,
        categories_not_learned=learned.few_categories,
        garments_not_learned=learned.few_garments,
        notes=tuple(_notes(learned, threshold, counts, config)),
    )


def _notes(learned: Learned, threshold: float | None, counts: Counts, config: ClassifierConfig) -> Sequence[str]:
    notes = [
        "The penalty was chosen on the categories, from strong to weak until it got worse; garments use it too.",
    ]
    if not counts.test:
        notes.append("No labelled photo is in the test fold, so nothing was measured: add photos, or another salt.")
    if counts.over_limit:
        notes.append(
            f"{counts.over_limit} labelled photos were left out: at most {config.max_photos} are used, whole groups."
        )
    if counts.without_embedding:
        notes.append(f"{counts.without_embedding} labelled photos have no embedding.")
    if learned.strength in (STRENGTHS[0], STRENGTHS[-1]):
        edge = "strongest" if learned.strength == STRENGTHS[0] else "weakest"
        notes.append(f"The {edge} penalty that was tried is the best.")
    heads = {"categories": learned.category, **learned.garments}
    unfinished = [name for name, head in heads.items() if not head.converged]
    if unfinished:
        notes.append(f"The fit did not come to rest for: {', '.join(unfinished)}.")
    if threshold is None:
        notes.append(
            f"No confidence reaches an accuracy of {config.wanted_accuracy:g}: every photo counts as not known."
        )
    return notes


def _scores(head: Head, scaled: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return scores_of(head.model, scaled) if scaled is not None else np.zeros((0, len(head.model.classes_)))


def _column(probabilities: NDArray[np.float64], classes: Sequence[str], name: str) -> NDArray[np.float64] | None:
    return probabilities[:, classes.index(name)] if name in classes else None


def _garment(
    place: int, train: Labelled, test: Labelled, learned: Learned, scaled: NDArray[np.float64] | None
) -> LabelMeasured:
    name, truth = GARMENTS[place], test.garments[:, place]
    head = learned.garments.get(name)
    score = softmax(head.calibration(_scores(head, scaled)))[:, 1] if head is not None else None
    taken = score >= 0.5 if score is not None else np.zeros(len(truth), np.bool_)
    return _label(name, head is not None, int(train.garments[:, place].sum()), truth, taken, score)


def _label(
    name: str,
    learned: bool,
    train: int,
    truth: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    score: NDArray[np.float64] | None,
) -> LabelMeasured:
    from sklearn.metrics import average_precision_score

    hits, said, there = int((truth & taken).sum()), int(taken.sum()), int(truth.sum())
    measurable = learned and score is not None
    return LabelMeasured(
        label=name,
        learned=learned,
        train=train,
        support=there,
        precision=_share(hits, said) if measurable else None,
        recall=_share(hits, there),
        f1=_share(2 * hits, said + there),
        average_precision=_round(average_precision_score(truth, score)) if measurable and there else None,
        calibration_error=calibration_error(reliability(score, truth)) if score is not None else None,
    )


def _share(part: int, of: int) -> float | None:
    return _round(part / of) if of else None


def _mean(values: Any) -> float | None:
    return _round(np.mean(values)) if len(values) else None


def _round(value: Any) -> float:
    return round(float(value), _DIGITS)


def _rounded(tried: Tried) -> StrengthTried:
    return StrengthTried(strength=tried.strength, log_loss=_round(tried.log_loss), accuracy=_round(tried.accuracy))
