"""Windows are tried in the order of time, and each of them as if it were alone."""

import numpy as np

from tasks.patches.tries import Tries


def visits(times: list[list[float]], good: set[tuple[int, int]]) -> list[tuple[float, list[tuple[int, int]]]]:
    tries, seen = Tries(times), []
    for time, rows in tries:
        seen.append((time, rows))
        for row, number in rows:
            if (row, number) not in good:
                tries.next_of(row)
    return seen


def test_rows_of_one_time_come_together() -> None:
    assert visits([[1.0], [0.5], [1.0]], {(0, 0), (1, 0), (2, 0)}) == [(0.5, [(1, 0)]), (1.0, [(0, 0), (2, 0)])]


def test_a_next_try_ahead_is_reached_on_the_way() -> None:
    found = visits([[1.0, 1.5], [2.0]], {(0, 1), (1, 0)})
    assert found == [(1.0, [(0, 0)]), (1.5, [(0, 1)]), (2.0, [(1, 0)])]


def test_a_next_try_behind_waits_for_a_further_pass() -> None:
    found = visits([[1.0, 0.2], [2.0, 0.1]], {(0, 1), (1, 1)})
    assert [time for time, _ in found] == [1.0, 2.0, 0.1, 0.2]


def test_each_row_tries_its_times_in_its_own_order_until_one_is_good() -> None:
    draw = np.random.default_rng(0)
    times = [draw.uniform(0, 9, draw.integers(0, 5)).round(1).tolist() for _ in range(40)]
    good = {(row, int(draw.integers(0, 4))) for row in range(40)}
    tried: dict[int, list[int]] = {row: [] for row in range(40)}
    for time, rows in visits(times, good):
        for row, number in rows:
            assert times[row][number] == time
            tried[row].append(number)
    for row, numbers in tried.items():
        last = next((n for n in range(len(times[row])) if (row, n) in good), len(times[row]) - 1)
        assert numbers == list(range(last + 1))


def test_the_last_try_has_no_next() -> None:
    tries = Tries([[3.0]])
    assert next(iter(tries)) == (3.0, [(0, 0)])
    assert not tries.next_of(0)
