"""Which frames become clips."""

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.dance.plan import Piece, PieceRules, covered, cut_run, pieces_of, runs_of, without


@pytest.mark.parametrize(
    ("length", "pieces"),
    [(71, []), (72, [72]), (240, [240]), (241, [120, 121]), (500, [167, 166, 167]), (2400, [240] * 10)],
)
def test_pieces_are_equal_and_few(length: int, pieces: list[int]) -> None:
    cut = cut_run(1000, 1000 + length, 72, 240)
    assert [end - first for first, end in cut] == pieces
    assert all(a[1] == b[0] for a, b in pairwise(cut))
    assert not cut or (cut[0][0] == 1000 and cut[-1][1] == 1000 + length)


@pytest.mark.parametrize("seed", range(20))
def test_every_piece_keeps_to_the_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shortest = int(rng.integers(24, 300))
    longest = shortest + int(rng.integers(0, 200))
    length = int(rng.integers(1, 3000))
    cut = cut_run(0, length, shortest, longest)
    assert all(shortest <= end - first <= longest for first, end in cut)
    assert bool(cut) == (length >= shortest)


def test_a_video_shorter_than_a_clip_gives_one() -> None:
    rules = PieceRules()
    assert rules.longest == 240
    assert rules.shortest(72) == 72
    assert rules.shortest(71) == 24
    assert cut_run(0, 48, rules.shortest(48), rules.longest) == [(0, 48)]
    assert PieceRules(shortest_s=1, longest_s=1).shortest(1000) == 24


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="longer"):
        PieceRules(shortest_s=5, longest_s=4)
    with pytest.raises(ValidationError):
        PieceRules(shortest_s=0.5)


def test_the_main_dancer_comes_first_and_others_fill_what_he_leaves() -> None:
    runs = [[(0, 100)], [(50, 200)], [(0, 200)]]
    assert pieces_of(runs, 72, 240, everybody=False) == [Piece(0, 100, 0, 0), Piece(100, 200, 0, 1)]
    everybody = pieces_of(runs, 72, 240, everybody=True)
    assert everybody == [Piece(0, 100, 0, 0), Piece(0, 200, 2, 2), Piece(50, 200, 1, 1)]


def test_spans() -> None:
    assert without((0, 10), [(8, 20), (2, 4)]) == [(0, 2), (4, 8)]
    assert without((0, 10), [(0, 10)]) == []
    assert without((5, 10), [(0, 5), (10, 12)]) == [(5, 10)]
    marks = covered(10, 20, [(8, 12), (15, 16), (19, 30)])
    assert runs_of(marks, 10) == [(10, 12), (15, 16), (19, 20)]
    assert runs_of(~marks, 10) == [(12, 15), (16, 19)]
