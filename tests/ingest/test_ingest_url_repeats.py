"""Repeated rows are found, all of them and no others, in memory and in files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ingest import url_repeats
from tasks.ingest.url_repeats import Repeats, decode_repeats, encode_repeats, row_hashes


def found(said: list[tuple[str, str]], folder: Path, step: int) -> dict[int, int]:
    frame = pl.DataFrame(said, schema={"label": pl.String, "url": pl.String}, orient="row")
    with Repeats(folder) as repeats:
        for first in range(0, len(said), step):
            block = frame[first : first + step]
            repeats.add(np.arange(first, first + len(block)), row_hashes(block))
        chunks = list(repeats.found(len(said)))
        assert repeats.count == sum(len(rows) for rows, _ in chunks)
    rows = [row for rows, _ in chunks for row in rows.tolist()]
    assert rows == sorted(rows)
    return dict(zip(rows, [first for _, firsts in chunks for first in firsts.tolist()], strict=True))


def truly(said: list[tuple[str, str]]) -> dict[int, int]:
    first: dict[tuple[str, str], int] = {}
    return {row: first[each] for row, each in enumerate(said) if first.setdefault(each, row) != row}


@pytest.mark.parametrize("held", [1 << 20, 100])
def test_repeats_of_a_long_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(url_repeats, "HELD_ROWS", held)
    drawn = np.random.default_rng(3).integers(0, 700, (1000, 2))
    said = [(f"label {label % 3}", f"http://h/{url}") for label, url in drawn.tolist()] + [("a", "b"), ("ab", "")] * 2
    assert found(said, tmp_path / "lists", 64) == truly(said)
    assert not list(tmp_path.rglob("*.*"))
    assert (tmp_path / "lists").exists() == (held == 100)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(("", "a", "b", "é"))), min_size=1, max_size=30))
def test_repeats_of_any_rows(tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]]) -> None:
    assert found(said, tmp_path_factory.getbasetemp(), 7) == truly(said)


def test_two_hashes_are_two() -> None:
    """Rows that share the first half of their hash (16 bits, so that some do) share the second by chance only."""
    frame = pl.DataFrame(
        {"label": [f"l{i % 10}" for i in range(20_000)], "url": [f"http://h/{i}" for i in range(20_000)]}
    )
    first, second = (row_hashes(frame) >> np.uint64(48)).T
    assert len(np.unique(row_hashes(frame), axis=0)) == len(frame)
    order = np.argsort(first, kind="stable")
    same = np.flatnonzero(np.diff(first[order]) == 0)
    assert 2000 < len(same) < 4000  # 20,000 ** 2 / 2 / 2 ** 16 pairs, each expected as 3,052 +- 55
    assert (second[order][same] == second[order][same + 1]).sum() <= 3


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 0, 1, 2]), st.integers(0, 10**12)),
        max_size=20,
    )
)
def test_repeats_as_text(runs: list[tuple[int, int, int, int]]) -> None:
    repeats: dict[int, tuple[int, int]] = {}
    row = 0
    for gap, length, file, first in runs:
        row += gap
        for step in range(length):
            repeats[row] = (file, first + step)
            row += 1
    columns = [[row, first, file] for row, (file, first) in repeats.items()]
    told = encode_repeats(*np.array(columns or np.empty((0, 3)), np.int64).T)
    assert decode_repeats(told) == repeats


def test_runs_are_one_word() -> None:
    rows = np.array([17, *range(20, 30), 31])
    told = encode_repeats(rows, np.array([3, *range(100, 110), 7]), np.array([0] * 11 + [2]))
    assert told == "17=3 20..29=100 31=2:7"
