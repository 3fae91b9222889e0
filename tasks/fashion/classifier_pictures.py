"""Pictures of what was measured of a classifier."""

from io import BytesIO
from typing import Any

import numpy as np

from tasks.fashion.classifier_report import ClassifierReport
from tasks.schema.fashion import CATEGORIES

_DPI = 120
_METADATA = {"Software": None}
"""matplotlib writes its own version otherwise."""


def confusion_picture(report: ClassifierReport) -> bytes:
    """The confusion matrix of the test fold as a PNG: photos in the fields, colours by the share of the row."""
    counts = np.array(report.confusion, np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(7.5, 6.5)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    left_out = report.categories_not_learned
    names = [f"{name}\n(not learned)" if name in left_out else name for name in CATEGORIES]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("taken for")
    axes.set_ylabel("labelled as")
    axes.set_title(f"{counts.sum():,} photos of the test fold, {_percent(report.accuracy)} right")
    figure.colorbar(image, ax=axes, label="share of the labelled category", fraction=0.046)
    return _png(figure)


def reliability_picture(report: ClassifierReport) -> bytes:
    """Confidence against accuracy on the test fold as a PNG, with the photos of each bin below."""
    bins = report.reliability
    figure, (axes, below) = _figure(6, 6.5, rows=(3, 1))
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="confidence holds what it says")
    confidence, accuracy = [each.confidence for each in bins], [each.accuracy for each in bins]
    axes.plot(confidence, accuracy, marker="o", color="tab:blue", label="categories")
    if report.abstain_below is not None:
        axes.axvline(report.abstain_below, color="tab:red", linewidth=1, label="abstains below")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    error = "not measured" if report.calibration_error is None else f"{report.calibration_error:.3f}"
    axes.set_title(f"Expected calibration error: {error}")
    low, width = [each.low for each in bins], [each.high - each.low for each in bins]
    below.bar(low, [each.photos for each in bins], width=width, align="edge", color="tab:blue", edgecolor="white")
    below.set_xlim(0, 1)
    below.set_xlabel("confidence")
    below.set_ylabel("photos")
    return _png(figure)


def _figure(width: float, height: float, rows: tuple[int, ...] = (1,)) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(len(rows), 1, sharex=True, height_ratios=rows)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"


def _png(figure: Any) -> bytes:
    made = BytesIO()
    figure.savefig(made, format="png", metadata=_METADATA)
    return made.getvalue()
