"""Every window of the real films whose cuts are known, of joined films and of generated ones, SDR and PQ."""

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.rejections import Reason
from tasks.video.convert import Converter
from tasks.video.probe import probe
from tasks.video.stability import Stable, Unstable, judge_window
from tests.video.make_film import Scene, Transfer, make_film

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

Thumbnails = list[NDArray[np.uint8]]
Spans = tuple[tuple[int, int], ...]

SINTEL, BIKES = "sintel_480p_30s_cuts.mp4", "bikes_640x272_10s_cuts.mp4"
HIDDEN_CUTS = {SINTEL: [176], BIKES: []}
"""First frame of a title that follows near-black; not in the list of cuts. Seen by eye."""
FADES: dict[str, Spans] = {
    SINTEL: (
        *((0, 61), (69, 102), (143, 175), (236, 256), (306, 340), (386, 427), (443, 470), (476, 503)),
        *((631, 652), (706, 719)),
    ),
    BIKES: (),
}
"""First and last frame of each fade, by eye and by brightness."""
BLACK: dict[str, Spans] = {SINTEL: ((171, 240), (333, 347), (372, 391), (466, 481), (624, 632)), BIKES: ()}
"""Frames that are black, or black with a title."""
SPLICED = (
    *("film/bigbuckbunny_720p_5s.mp4", "film/hdr10_pq_av1_1080p_mdcv_clli.mp4", "film/hdr10_pq_av1_720x1280_4s.mp4"),
    *("film/hdr10_pq_hevc10_1080p_no-colr-box.mp4", "film/hlg_hevc10_1080p_colorchart.mp4"),
    *("dance/aist_gt_music_5s.mp4", "dance/musepose_dance_1080x1920_with_music.mp4"),
    *("dance/openpose_street_video_50fps.avi", "dance/mmhuman3d_multi_person.mp4"),
)


@cache
def thumbnails(path: Path, most: int | None = None) -> Thumbnails:
    converter = Converter(probe(path))
    with av.open(str(path)) as container:
        frames = (f for _, f in zip(range(most or 10**9), container.decode(video=0), strict=False))
        return [converter.thumbnail(f) for f in frames]


def verdicts(pictures: Thumbnails) -> list[Stable | Unstable]:
    return [judge_window(pictures[i : i + WINDOW_FRAMES]) for i in range(len(pictures) - WINDOW_FRAMES + 1)]


def crosses(start: int, cuts: list[int]) -> bool:
    return any(start < cut < start + WINDOW_FRAMES for cut in cuts)


def touches(start: int, spans: Spans) -> bool:
    return any(start <= last and first < start + WINDOW_FRAMES for first, last in spans)


@pytest.mark.parametrize("name", [SINTEL, BIKES])
def test_no_window_across_a_cut_and_nine_of_ten_clean_ones(real_data: Path, name: str) -> None:
    with (real_data / "film/scene_cuts.csv").open() as file:
        listed = [int(r["first_frame_of_new_shot"]) for r in csv.DictReader(file) if r["file"] == name]
    cuts = sorted([*listed, *HIDDEN_CUTS[name]])
    judged = verdicts(thumbnails(real_data / "film" / name))
    across = [i for i in range(len(judged)) if crosses(i, cuts)]
    assert len(across) == {SINTEL: 54, BIKES: 30}[name]
    assert [i for i in across if isinstance(judged[i], Stable)] == []

    clean = [i for i in range(len(judged)) if not crosses(i, cuts) and not touches(i, (*FADES[name], *BLACK[name]))]
    kept = sum(isinstance(judged[i], Stable) for i in clean)
    print(f"\n{name}: 0 of {len(across)} windows across a cut kept, {kept} of {len(clean)} clean ones")
    assert kept >= 0.9 * len(clean)

    black = [i for i in range(len(judged)) if any(a <= i and i + 6 <= b for a, b in BLACK[name])]
    assert [i for i in black if isinstance(judged[i], Stable)] == []


def test_films_without_a_cut_are_kept_and_joined_ones_are_not(real_data: Path) -> None:
    films = [thumbnails(real_data / name, 40) for name in SPLICED]
    counts: Counter[bool] = Counter()
    for pictures in films:
        for verdict in verdicts(pictures):
            still = isinstance(verdict, Unstable) and verdict.reason is Reason.SCENE_STATIC
            if not still:
                counts[isinstance(verdict, Stable)] += 1
    print(f"\n{counts[True]} of {counts.total()} windows of films without a cut kept, repeated frames left out")
    assert counts[True] >= 0.95 * counts.total()

    rng = np.random.default_rng(0)
    passed = 0
    for number in range(150):
        one, other = rng.choice(len(films), 2, replace=False)
        at, gain = int(rng.integers(1, WINDOW_FRAMES)), (1.0, 0.5, 0.25)[number % 3]
        before, after = (int(rng.integers(len(films[i]) - WINDOW_FRAMES + 1)) for i in (one, other))
        joined = [*films[one][before : before + at], *films[other][after + at : after + WINDOW_FRAMES]]
        even = [cv2.resize(f, (160, 90), interpolation=cv2.INTER_AREA) for f in joined]
        passed += isinstance(judge_window([(f * gain).astype(np.uint8) for f in even]), Stable)
    print(f"{passed} of 150 windows across joined films kept")
    assert passed <= 1


@pytest.mark.parametrize("transfer", ["sdr", "pq"])
def test_generated_cuts_fades_and_flashes(tmp_path: Path, transfer: Transfer) -> None:
    shots = [
        *(Scene(frames=30, seed=1), Scene(frames=30, seed=2, level=0.3), Scene(frames=30, seed=3, level=0.3, speed=8)),
        *(Scene("flash", frames=30, seed=4), Scene("black", frames=20), Scene("fade_in", frames=24, seed=5)),
        *(Scene(frames=30, seed=6), Scene("fade_out", frames=24, seed=7), Scene("static", frames=20, seed=8)),
    ]
    path = make_film(tmp_path / "film.mkv", transfer=transfer, scenes=shots, grain=2.0, width=640, height=360)
    judged = verdicts(thumbnails(path))
    starts = np.cumsum([0, *(s.frames for s in shots)])
    cuts = [int(n) for n in starts[1:-1]]
    flash = int(starts[3]) + shots[3].frames // 2
    seen = [*cuts[:4], *cuts[5:], flash, flash + 3]
    across = [i for i in range(len(judged)) if crosses(i, seen)]
    assert [i for i in across if isinstance(judged[i], Stable)] == []

    def inside(number: int) -> list[Stable | Unstable]:
        return judged[int(starts[number]) : int(starts[number + 1]) - WINDOW_FRAMES + 1]

    moving = [v for number in (0, 1, 2, 6) for v in inside(number)]
    assert sum(isinstance(v, Stable) for v in moving) >= 0.9 * len(moving)
    assert not [v for v in inside(4) if isinstance(v, Stable)]
    for fading in (5, 7):
        faded = [v for v in inside(fading) if isinstance(v, Unstable)]
        print(f"\n{transfer}: {len(faded)} of {len(inside(fading))} windows of a fade over 24 frames found")
        assert len(faded) >= 0.8 * len(inside(fading))
