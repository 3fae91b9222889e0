"""The stage that compares the runway with the street: shares of garments and categories, intervals, differences.

Uncorrected shares count the classifier's words: a photo shows a garment from a calibrated probability on (0.5), and
has the category the classifier gives it, as in the table that people count themselves. Both sides are counted by the
same words, also where the street is annotated: so both carry the classifier's errors, which an annotated share would
not. For the same reason photos that the classifier learned from are left out: it errs less on them than on any other.
What remains is that it may err more on the runway, which looks unlike what it learned from.

Powered shares mend that by what people said about a random sample (`tasks.fashion.powered`). There the probabilities
are used, not the words: they say more, and their errors are corrected.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.fashion.intervals import benjamini_hochberg
from tasks.fashion.photos import GROUPED, LABELS, PREDICTED, Reading, SidePhotos, read_photos
from tasks.fashion.powered import powered_shares
from tasks.fashion.shares import Difference, Shares, clustered_shares, difference, without_interval
from tasks.schema.fashion import RUNWAY, STREET, TREND_SCHEMA
from tasks.schema.records import Frozen
from tasks.shards.stage import StageOfWhole, StageOutput, Whole

UNCORRECTED: Final = "uncorrected"
POWERED: Final = "powered"
NOT_LEARNED: Final = "the classifier did not learn this label"

_DIGITS: Final = 9
"""Significant digits that are kept: what all machines agree on."""


class TrendConfig(Frozen):
    """How the sides are compared."""

    garment_threshold: float = Field(
        0.5,
        title="Probability of a garment",
        gt=0,
        lt=1,
        description="From this calibrated probability on, a photo counts as showing a garment.",
    )
    min_photos: int = Field(
        30,
        title="Fewest photos",
        ge=2,
        description="Of a side; of fewer no share is given. At 30 it is exact to 17 points.",
    )
    min_clusters: int = Field(
        6,
        title="Fewest shows",
        ge=2,
        description="Shows (runway) or groups of photos (both) that an interval needs; with fewer it would not hold.",
    )
    min_labelled: int = Field(
        50, title="Fewest labelled photos", ge=10, description="Of a side, that a correction needs."
    )
    leave_out_learned: bool = Field(
        True,
        title="Leave out what was learned from",
        description="The classifier errs less on photos it learned from than on the others they are compared with.",
    )
    by_designer: bool = Field(True, title="By designer", description="Each against the whole street.")
    by_season: bool = Field(True, title="By season", description="Each against the whole street.")


@dataclass(frozen=True)
class Trends(StageOfWhole):
    """Every label's share on the runway and on the street, over all, by designer and by season.

    A source. Whole inputs, in order: the groups, the verdicts on looks (also none), and all predictions. Intervals
    respect that photos of one show or group are alike. Rows of `powered` are given where people labelled runway photos
    (of a designer or season: enough of them). Of a side with too few verdicts, annotated photos which the classifier
    did not learn from are the labelled sample.

    Facts: `photos`, `compared`, `learned_from` (left out, where so configured), `not_predicted` (left out: an earlier
    stage says why), `abstained` (counted all the same), `verdicts`, `verdicts_on_no_photo`; `classifier`; of each side
    `photos`, `clusters`, `labelled` and `labelled_by`.
    """

    config: TrendConfig

    name: ClassVar[str] = "trends"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return TREND_SCHEMA

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        """One output.

        Raises:
            ConfigError: the predictions are of several classifiers.
        """
        del batches
        groups, verdicts, *predicted = whole
        config = self.config
        build = read_photos(
            groups.table(GROUPED),
            verdicts.table(("sample_id", "garments")),
            [each.table((*PREDICTED, "classifier")) for each in predicted],
            Reading(config.garment_threshold, config.leave_out_learned, config.min_labelled),
        )
        sides = {RUNWAY: build.runway, STREET: build.street}
        facts: dict[str, JsonValue] = {
            **build.counts,
            "classifier": build.classifier,
            **{f"{side}_{name}": said for side, photos in sides.items() for name, said in _facts(photos).items()},
        }
        rows = trend_rows(build.runway, build.street, config)
        yield StageOutput(pa.Table.from_pylist(rows, schema=TREND_SCHEMA), facts=facts)


def _facts(photos: SidePhotos) -> dict[str, JsonValue]:
    return {
        "photos": len(photos),
        "clusters": len(np.unique(photos.clusters)),
        "labelled": int(photos.labelled.sum()),
        "labelled_by": photos.seen_by,
    }


def trend_rows(runway: SidePhotos, street: SidePhotos, config: TrendConfig) -> list[dict[str, Any]]:
    """Rows of `TREND_SCHEMA`: over all, each designer, each season, in that order; uncorrected before powered."""
    rows: list[dict[str, Any]] = []
    counted, corrected = _counted(street, config), _corrected(street, config)
    for scope, index in _scopes(runway, config):
        photos = runway.at(index)
        rows += _rows(scope, UNCORRECTED, _counted(photos, config), counted)
        if photos.labelled.sum() >= (1 if scope == "all" else config.min_labelled):
            rows += _rows(scope, POWERED, _corrected(photos, config), corrected)
    return rows


@dataclass(frozen=True, eq=False)
class _Estimate:
    """Shares of one side; `missing`: why there are none, a sentence for each label, empty where there is no reason."""

    n: int
    shares: Shares | None
    missing: Sequence[str]
    remark: str = ""


def _counted(photos: SidePhotos, config: TrendConfig) -> _Estimate:
    if len(photos) < config.min_photos:
        return _nothing(photos, f"{_photos(len(photos))}, {config.min_photos} are needed")
    shares = clustered_shares(photos.words, photos.clusters)
    return _Estimate(
        len(photos),
        _exact_enough(shares, config),
        ["" if learned else NOT_LEARNED for learned in photos.learned],
        _few_clusters(shares, config),
    )


def _corrected(photos: SidePhotos, config: TrendConfig) -> _Estimate:
    labelled = int(photos.labelled.sum())
    if labelled < config.min_labelled:
        return _nothing(photos, f"{_photos(labelled)} labelled, {config.min_labelled} are needed")
    shares = powered_shares(np.nan_to_num(photos.probabilities), photos.seen, photos.clusters)
    remark = f"{_photos(labelled)} labelled by {photos.seen_by}"
    few = _few_clusters(shares, config)
    return _Estimate(
        len(photos), _exact_enough(shares, config), [""] * len(LABELS), f"{remark}, {few}" if few else remark
    )


def _nothing(photos: SidePhotos, why: str) -> _Estimate:
    return _Estimate(len(photos), None, [why] * len(LABELS))


def _exact_enough(shares: Shares, config: TrendConfig) -> Shares:
    if shares.clusters >= config.min_clusters:
        return shares
    return without_interval(shares.share, shares.n, shares.clusters)


def _few_clusters(shares: Shares, config: TrendConfig) -> str:
    if shares.clusters >= config.min_clusters:
        return ""
    return f"an interval needs photos of {config.min_clusters} shows or groups, these are of {shares.clusters}"


def _photos(count: int) -> str:
    return f"{count} photo" if count == 1 else f"{count} photos"


def _scopes(runway: SidePhotos, config: TrendConfig) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Name of a scope, and the runway photos in it."""
    yield "all", np.arange(len(runway))
    for name, values, wanted in (
        ("designer", runway.designer, config.by_designer),
        ("season", runway.season, config.by_season),
    ):
        if wanted:
            places: dict[str, list[int]] = {}
            for place, value in enumerate(values.tolist()):
                if value is not None:
                    places.setdefault(value, []).append(place)
            yield from ((f"{name}={value}", np.array(places[value])) for value in sorted(places))


def _rows(scope: str, estimate: str, runway: _Estimate, street: _Estimate) -> list[dict[str, Any]]:
    """A row for every label; q values over the labels of a kind."""
    gap = difference(runway.shares, street.shares) if runway.shares and street.shares else None
    usable = np.array([not (a or b) for a, b in zip(runway.missing, street.missing, strict=True)])
    p_values = np.where(usable, gap.p_value, np.nan) if gap else np.full(len(LABELS), np.nan)
    kinds = np.array([kind for kind, _ in LABELS])
    q_values = np.full(len(LABELS), np.nan)
    for kind in ("garment", "category"):
        q_values[kinds == kind] = benjamini_hochberg(p_values[kinds == kind])
    rows = []
    for at, (kind, label) in enumerate(LABELS):
        sides = {RUNWAY: runway, STREET: street}
        whole = gap if usable[at] else None
        rows.append(
            {
                "sample_id": f"{kind}/{label}/{estimate}/{scope}",
                "parent_id": None,
                "source_uri": f"trend://{scope}",
                "licence": "",
                "kind": kind,
                "scope": scope,
                "label": label,
                "estimate": estimate,
                **{name: value for side, said in sides.items() for name, value in _side(side, said, at).items()},
                **_gap(whole, at),
                "p_value": _number(p_values[at]),
                "q_value": _number(q_values[at]),
                "note": _note(sides, at),
            }
        )
    return rows


def _side(side: str, said: _Estimate, at: int) -> dict[str, Any]:
    shares = None if said.missing[at] else said.shares
    numbers = (None, None, None) if shares is None else (shares.share[at], shares.low[at], shares.high[at])
    names = ("share", "low", "high")
    return {f"{side}_n": said.n} | {f"{side}_{n}": _number(v) for n, v in zip(names, numbers, strict=True)}


def _gap(gap: Difference | None, at: int) -> dict[str, Any]:
    numbers = (None, None, None) if gap is None else (gap.difference[at], gap.low[at], gap.high[at])
    names = ("difference", "difference_low", "difference_high")
    return {name: _number(value) for name, value in zip(names, numbers, strict=True)}


def _note(sides: Mapping[str, _Estimate], at: int) -> str | None:
    said = [(side, each.missing[at] or each.remark) for side, each in sides.items()]
    if any(why == NOT_LEARNED for _, why in said):
        return NOT_LEARNED
    return "; ".join(f"{side}: {what}" for side, what in said if what) or None


def _number(value: float | None) -> float | None:
    """NaN as None, and the digits that all machines agree on."""
    return None if value is None or math.isnan(value) else float(f"{value:.{_DIGITS}g}")
