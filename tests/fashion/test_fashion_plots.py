"""Pictures of trends: the same bytes each time, and none that breaks over missing numbers."""

import io
from typing import Any

import numpy as np
from PIL import Image

from tasks.fashion.plots import ranked, trend_plot

NUMBERS = ("share", "low", "high")


def row(
    label: str, runway: float | None, street: float | None, *, exact: bool = True, q: float | None = 0.01
) -> dict[str, Any]:
    def side(name: str, share: float | None) -> dict[str, Any]:
        low, high = (None, None) if share is None or not exact else (max(0, share - 0.05), min(1, share + 0.05))
        return {f"{name}_n": 100, f"{name}_share": share, f"{name}_low": low, f"{name}_high": high}

    gap = None if runway is None or street is None else runway - street
    ends = (None, None) if gap is None or not exact else (gap - 0.07, gap + 0.07)
    return {
        "sample_id": label, "label": label, "kind": "garment", "scope": "all", "estimate": "uncorrected",
        **side("runway", runway), **side("street", street),
        "difference": gap, "difference_low": ends[0], "difference_high": ends[1],
        "p_value": q, "q_value": q if gap is not None and exact else None, "note": None,
    }  # fmt: skip


ROWS = [
    row("top", 0.2, 0.6),
    row("dress", 0.5, 0.3),
    row("bag", 0.31, 0.3, q=0.7),
    row("belt", 0.0, 0.0, exact=False),
    row("boots", 0.4, None),
    row("scarf/tie", None, None),
]


def test_equal_rows_give_equal_bytes() -> None:
    picture = trend_plot(ROWS, "Garments <$x$>")
    assert picture == trend_plot(ROWS[::-1], "Garments <$x$>")
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    assert pixels.shape[1] > 1200
    for colour in ((0xB3, 0x23, 0x5A), (0x1F, 0x6F, 0x8B)):
        assert (pixels == colour).all(axis=-1).sum() > 100


def test_nothing_to_show_is_an_empty_frame() -> None:
    assert Image.open(io.BytesIO(trend_plot([], "Nothing"))).size[0] > 1200


def test_the_largest_lead_of_the_runway_comes_first() -> None:
    assert [each["label"] for each in ranked(ROWS)] == ["dress", "bag", "belt", "top", "boots", "scarf/tie"]
