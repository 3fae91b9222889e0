"""Films to plan and what is wanted of them."""

from typing import Any

from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.plan import FilmToPlan, Wanted

WEIGHTS = {"general": 0.5, "space": 0.3, "toon": 0.2}


def film_row(**other: Any) -> dict[str, Any]:
    """What planning reads of a row of `FILM_SCHEMA`: two hours of UHD at 24 frames a second, 16:9."""
    row = {
        "sample_id": "avatar",
        "source_uri": "avatar.mkv",
        "licence": "bought",
        "width": 3840,
        "height": 2160,
        "content": None,
        "fps": [24, 1],
        "duration_s": 7200.0,
    } | other
    return row | {"content": row["content"] or [0, 0, row["width"], row["height"]]}


def film(**other: Any) -> FilmToPlan:
    return FilmToPlan.of_row(film_row(**other))


def form(weights: dict[str, float] | None = None, windows: int = 3000, **other: Any) -> VideoPatchesForm:
    source = FilmSource(name="Avatar", path="/films/avatar.mkv", categories=weights or WEIGHTS)
    return VideoPatchesForm.model_validate({"films": [source], "windows_per_film": windows, **other})


def wanted(weights: dict[str, float] | None = None, windows: int = 3000, **planning: Any) -> Wanted:
    """`ground_truth` is a parameter of the form, all others are of its `planning`."""
    ground_truth = planning.pop("ground_truth", "1080p")
    config = form(weights, windows, planning=planning, ground_truth=ground_truth)
    return config.wanted(config.films[0])
