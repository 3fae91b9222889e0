"""Pictures of trends: shares of both sides with their intervals, and their differences, largest first."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tasks.fashion.trends import POWERED, UNCORRECTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

FALSE_DISCOVERY_RATE: Final = 0.05
"""Differences whose q value is smaller are marked."""

RUNWAY_COLOUR, STREET_COLOUR = "#b3235a", "#1f6f8b"
_INK, _FAINT, _GRID = "#222222", "#9a9a9a", "#e6e6e6"
_ESTIMATES: Final = {
    UNCORRECTED: ("UNCORRECTED: the classifier's words as they are", "#b06c00"),
    POWERED: ("Powered: corrected by labelled photos", "#666666"),
}
_ROW_IN, _FRAME_IN, _WIDTH_IN, _DPI = 0.34, 1.5, 10.5, 130


def trend_plot(rows: Sequence[Row], title: str) -> bytes:
    """Shares (left) and differences (right) of one kind, scope and estimate, as a PNG; equal rows give equal bytes.

    Args:
        rows: of `TREND_SCHEMA`, a label each; those without numbers are left out.
        title: over the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = ranked([row for row in rows if row["runway_share"] is not None or row["street_share"] is not None])
    figure = Figure(figsize=(_WIDTH_IN, _FRAME_IN + _ROW_IN * max(1, len(shown))), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    shares, differences = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
    for axes in (shares, differences):
        _frame(axes, len(shown))
    for at, row in enumerate(shown):
        _draw_shares(shares, row, at)
        _draw_difference(differences, row, at)
    shares.set_yticks(range(len(shown)), [row["label"] for row in shown], color=_INK)
    largest = max((100 * (row[name] or 0) for row in shown for name in _SHARES), default=100)
    shares.set_xlim(-0.015 * max(5, largest), 1.03 * max(5, largest))
    shares.set_xlabel("% of photos, with 95 % intervals", color=_INK)
    differences.set_xlabel("runway minus street, percentage points", color=_INK)
    differences.axvline(0, color=_FAINT, linewidth=1, zorder=1)
    _titles(figure, title, {row["estimate"] for row in shown})
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows by their difference, the runway's largest lead first; those without one last."""
    return sorted(rows, key=lambda row: (row["difference"] is None, -(row["difference"] or 0), row["label"]))


def is_marked(row: Row) -> bool:
    """Whether the difference is more than chance would give."""
    return row["q_value"] is not None and row["q_value"] < FALSE_DISCOVERY_RATE


_SHARES: Final = ("runway_share", "runway_high", "street_share", "street_high")


def _frame(axes: "Axes", rows: int) -> None:
    axes.set_ylim(max(1, rows) - 0.5, -0.5)
    axes.grid(axis="x", color=_GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, colors=_INK)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_FAINT)


def _draw_shares(axes: "Axes", row: Row, at: int) -> None:
    if row["runway_share"] is not None and row["street_share"] is not None:
        ends = [100 * row["runway_share"], 100 * row["street_share"]]
        axes.plot(ends, [at, at], color=_GRID, linewidth=5, solid_capstyle="round", zorder=1)
    for side, colour, lift in (("runway", RUNWAY_COLOUR, -0.13), ("street", STREET_COLOUR, 0.13)):
        share, low, high = (row[f"{side}_{name}"] for name in ("share", "low", "high"))
        if share is not None:
            if low is not None:
                axes.plot([100 * low, 100 * high], [at + lift] * 2, color=colour, linewidth=1.6, alpha=0.75, zorder=2)
            axes.plot([100 * share], [at + lift], "o", color=colour, markersize=5.5, zorder=3)


def _draw_difference(axes: "Axes", row: Row, at: int) -> None:
    if row["difference"] is None:
        axes.text(0, at, "  no comparison", color=_FAINT, fontsize=8, va="center")
        return
    marked = is_marked(row)
    colour = _FAINT if not marked else RUNWAY_COLOUR if row["difference"] > 0 else STREET_COLOUR
    if row["difference_low"] is not None:
        ends = [100 * row["difference_low"], 100 * row["difference_high"]]
        axes.plot(ends, [at, at], color=colour, linewidth=1.8, zorder=2)
    fill = colour if marked else "white"
    axes.plot([100 * row["difference"]], [at], "o", color=colour, markerfacecolor=fill, markersize=6, zorder=3)


def _titles(figure: "Figure", title: str, estimates: set[str]) -> None:
    from matplotlib.lines import Line2D

    height = figure.get_figheight()
    figure.subplots_adjust(left=0.12, right=0.985, wspace=0.06, bottom=0.55 / height, top=1 - 0.82 / height)
    figure.text(0.012, 1 - 0.1 / height, title, fontsize=13, fontweight="bold", color=_INK, va="top", parse_math=False)
    for estimate in sorted(estimates):
        said, colour = _ESTIMATES[estimate]
        figure.text(0.012, 1 - 0.42 / height, said, fontsize=9, color=colour, va="top")
    marks = [
        Line2D([], [], marker="o", linestyle="", color=RUNWAY_COLOUR, label="runway"),
        Line2D([], [], marker="o", linestyle="", color=STREET_COLOUR, label="street"),
        Line2D([], [], marker="o", linestyle="", color=_INK, label=f"differs (q < {FALSE_DISCOVERY_RATE})"),
        Line2D([], [], marker="o", linestyle="", color=_FAINT, markerfacecolor="white", label="may be chance"),
    ]
    figure.legend(
        handles=marks,
        loc="upper right",
        ncols=4,
        frameon=False,
        fontsize=9,
        bbox_to_anchor=(0.99, 1 - 0.3 / height),
        handletextpad=0.1,
        columnspacing=1.2,
    )
