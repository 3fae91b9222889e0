"""Groups of shards: even, in order, and kept apart."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.machine.groups import each_of, grouped
from tasks.schema.errors import ConfigError, DatabaseUnreachableError


@given(st.integers(0, 300), st.integers(1, 50))
def test_groups_are_even_in_order_and_few(members: int, most: int) -> None:
    groups = grouped(range(members), most)
    assert [member for group in groups for member in group] == list(range(members))
    assert len(groups) == min(members, most)
    assert {len(group) for group in groups} <= {members // most, -(-members // most), 1}


def test_one_that_fails_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    errors: dict[int, Exception] = {1: ConfigError("is wrong"), 3: OSError("went away")}
    done = []

    def work(number: int) -> tuple[int, bool]:
        if number in errors:
            raise errors[number]
        done.append(number)
        return number, True

    with caplog.at_level(logging.WARNING), pytest.raises(OSError, match="went away"):
        each_of(range(5), work, lambda number: f"part {number}")
    assert done == [0, 2, 4]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["part 1", "part 3"]
    del errors[3]
    with pytest.raises(ConfigError):
        each_of(range(5), work, str)
    errors[1] = DatabaseUnreachableError("restarts")
    with pytest.raises(DatabaseUnreachableError):
        each_of(range(5), work, str)


@pytest.mark.parametrize(("made", "found"), [((), True), ((2,), False)])
def test_a_group_was_found_when_all_of_it_was(made: tuple[int, ...], found: bool) -> None:
    assert each_of(range(4), lambda number: (-number, number not in made), str) == ((0, -1, -2, -3), found)
