"""Ids that stay: joining, merging, splitting, and what an old id stands for."""

from hashlib import sha256

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.identity.persist import ID_HEX, Carried, Known, carry_over, resolve


def faces(count: int) -> pa.Array:
    return pa.array([f"l/{row:04}/p0/f0" for row in range(count)])


def digest(row: int, length: int = ID_HEX) -> str:
    return "id-" + sha256(f"l/{row:04}/p0/f0".encode()).hexdigest()[:length]


def known(ids: pa.Array, cluster: list[int], carried: Carried) -> Known:
    rows = pa.array([row for row, each in enumerate(cluster) if each >= 0], pa.int64())
    names = pa.array([carried.identity[each] for each in cluster if each >= 0], pa.string())
    return Known(ids.take(rows), names, carried.former.take(rows))


def step(cluster: list[int], before: Known | None = None) -> tuple[Carried, Known]:
    ids = faces(len(cluster))
    carried = carry_over(ids, np.array(cluster), before)
    return carried, known(ids, cluster, carried)


def test_new_ids_are_digests_of_the_smallest_face() -> None:
    carried, _ = step([1, 0, 1, 0, -1])
    assert carried.identity == [digest(1), digest(0)]
    assert carried.former.to_pylist() == [[]] * 5
    assert (carried.kept, carried.new) == (0, 2)


def test_new_faces_join_and_lost_faces_take_nothing_along() -> None:
    first, before = step([0, 0, 1, 1])
    carried, _ = step([-1, 0, 1, 1, 0, 2, 2], before)
    assert carried.identity == [*first.identity, digest(5)]
    assert carried.former.to_pylist() == [[]] * 7
    assert (carried.kept, carried.new, carried.merged, carried.split, carried.vanished) == (2, 1, 0, 0, 0)


def test_a_merge_takes_the_id_of_the_larger_part_and_the_other_becomes_an_alias() -> None:
    first, before = step([0, 0, 1, 1, 1])
    carried, after = step([0, 0, 0, 0, 0], before)
    small, large = first.identity
    assert carried.identity == [large]
    assert carried.former.to_pylist() == [[small], [small], [], [], []]
    assert carried.merged == 1
    assert resolve(small, after.identity, after.former) == (large,)
    assert resolve(large, after.identity, after.former) == (large,)
    assert resolve("id-nobody", after.identity, after.former) == ()


def test_of_equal_parts_the_older_one_gives_the_id() -> None:
    first, before = step([0, 0, 1, 1])
    assert step([0, 0, 0, 0], before)[0].identity == [first.identity[0]]


def test_the_largest_part_of_a_split_keeps_the_id_and_the_others_remember_it() -> None:
    first, before = step([0, 0, 0, 0, 0])
    carried, after = step([0, 0, 1, 1, 1], before)
    assert carried.identity == [digest(0, ID_HEX + 1), first.identity[0]], "the digest itself is taken"
    assert carried.former.to_pylist() == [[first.identity[0]]] * 2 + [[]] * 3
    assert carried.split == 1
    assert resolve(first.identity[0], after.identity, after.former) == (first.identity[0], carried.identity[0])


def test_a_split_and_a_merge_back_leave_the_old_id_and_one_alias() -> None:
    first, before = step([0, 0, 0, 0, 0])
    middle, between = step([0, 0, 1, 1, 1], before)
    carried, _ = step([0, 0, 0, 0, 0], between)
    assert carried.identity == first.identity
    assert carried.former.to_pylist() == [[middle.identity[0]]] * 2 + [[]] * 3


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=30), st.lists(st.integers(-1, 5), min_size=1, max_size=30))
def test_ids_are_unique_and_stable(earlier: list[int], later: list[int]) -> None:
    def dense(cluster: list[int]) -> list[int]:
        numbers = sorted({each for each in cluster if each >= 0})
        return [numbers.index(each) if each >= 0 else -1 for each in cluster]

    _, before = step(dense(earlier))
    carried, after = step(dense(later), before)
    assert len(set(carried.identity)) == len(carried.identity)
    assert all(name.startswith("id-") for name in carried.identity)
    again, _ = step(dense(later), after)
    assert again.identity == carried.identity
    for number, name in zip(dense(later), carried.former.to_pylist(), strict=True):
        assert number < 0 or carried.identity[number] not in name
