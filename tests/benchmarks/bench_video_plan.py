"""How long planning takes: films x windows, all pieces of all films, against a plain loop in Python.

    python -m tests.benchmarks.bench_video_plan [--films 116] [--windows 3000]

The loop draws a time, a format and a crop for each window and category with `random.Random`, as a script would, without
replacements; stage and loop take turns.
"""

import argparse
import random
import time
from collections.abc import Callable
from itertools import accumulate
from statistics import median
from typing import Any

from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.formats import FORMATS, SEED_CATEGORIES
from tasks.patches.plan import windows_of_categories
from tasks.patches.windows import WindowsConfig, pieces_of, planned_piece

WEIGHTS = ({"general": 0.5, "space": 0.5}, {"general": 1.0}, {"general": 0.3, "space": 0.4, "toon": 0.3}, {"toon": 1.0})
SIZES = ((3840, 2160, 0), (3840, 2160, 277), (1920, 1080, 0), (3840, 2160, 60))


def form(films: int, windows: int) -> VideoPatchesForm:
    sources = tuple(
        FilmSource(name=f"film {index}", path=f"/films/{index}.mkv", categories=WEIGHTS[index % len(WEIGHTS)])
        for index in range(films)
    )
    return VideoPatchesForm(films=sources, windows_per_film=windows)


def row(index: int, name: str) -> dict[str, Any]:
    width, height, bar = SIZES[index % len(SIZES)]
    return {
        "sample_id": name,
        "source_uri": f"{name}.mkv",
        "licence": "unknown",
        "width": width,
        "height": height,
        "content": [0, bar, width, height - bar],
        "fps": [24_000, 1001],
        "duration_s": 5400.0 + 60 * (index % 60),
    }


def planned(config: VideoPatchesForm) -> tuple[int, int]:
    """Rows and pieces."""
    rows = count = 0
    for index, source in enumerate(config.films):
        film, wanted = row(index, source.short_name), config.wanted(source)
        pieces = pieces_of(film, wanted)
        count += pieces
        rows += sum(planned_piece(film, WindowsConfig(piece=n, wanted=wanted)).kept.num_rows for n in range(pieces))
    return rows, count


def looped(config: VideoPatchesForm) -> tuple[int, int]:
    """Rows, planned without replacements by a plain loop."""
    shares = {each.name: each.formats for each in SEED_CATEGORIES}
    found: list[tuple[float, str, float, float]] = []
    for index, source in enumerate(config.films):
        chance, film = random.Random(index), row(index, source.short_name)  # noqa: S311 - that is what it is
        for category, count in windows_of_categories(config.windows_per_film, source.categories).items():
            names, weights = list(shares[category]), list(accumulate(shares[category].values()))
            for _ in range(count):
                size = FORMATS[chance.choices(names, cum_weights=weights)[0]]
                found.append(
                    (chance.uniform(0, film["duration_s"]), size.name, chance.uniform(0, 1), chance.uniform(0, 1))
                )
    return len(found), 0


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=116)
    parser.add_argument("--windows", type=int, default=3000, help="a film")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = form(options.films, options.windows)
    rows, pieces = planned(config)
    took: dict[str, list[float]] = {"stage": [], "plain loop": []}
    for _ in range(options.rounds):
        took["stage"].append(seconds(lambda: planned(config)))
        took["plain loop"].append(seconds(lambda: looped(config)))
    print(f"{options.films} films x {options.windows} windows: {rows:,} rows in {pieces:,} pieces")
    for name, values in took.items():
        print(f"{name:>12}: {median(values):6.2f} CPU-s ({min(values):.2f} to {max(values):.2f})")
    ratio = median(a / b for a, b in zip(took["stage"], took["plain loop"], strict=True))
    print(f"{'ratio':>12}: {ratio:6.2f} x the loop, which plans one try of 11")
    print(f"{'a row':>12}: {median(took['stage']) / rows * 1e6:6.1f} us")


if __name__ == "__main__":
    main()
