"""Groups, their lasting ids and splits; and that nobody moves."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.identity.split import (
    GIVES_WAY,
    Former,
    SplitConfig,
    crossing,
    groups,
    name_groups,
    near_pairs,
    scenes,
    split_of,
    split_overlaps,
)
from tasks.schema.errors import ConfigError

NOBODY = Former({}, {})


@pytest.mark.parametrize("bits", [0, 3, 6, 10])
def test_near_pairs_are_all_of_them(bits: int) -> None:
    rng = np.random.default_rng(bits)
    seeds = rng.integers(0, 2**63, 40, np.uint64)
    hashes = np.unique(np.concatenate([seeds ^ (np.uint64(1) << np.uint64(rng.integers(0, 64))) for _ in range(8)]))
    exact = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= bits
    assert np.array_equal(near_pairs(hashes, bits), np.argwhere(np.triu(exact, 1)))


def test_scenes_join_photos_by_bytes_and_by_chains_of_likeness() -> None:
    photo = np.array([0, 0, 1, 2, 3, 4, 5])
    picture = np.array([0, 0, 1, 1, 3, 4, 5])
    phash = np.array([0, 0, 1 << 40, (1 << 60) - 1, 0b111111, 0b111111111111, 1 << 63 | (1 << 50) - 1], np.uint64)
    assert scenes(photo, picture, phash, 6).tolist() == [0, 0, 0, 0, 0, 0, 1]
    exact = scenes(photo, picture, phash, -1)
    assert (exact[0], exact[2]) == (exact[1], exact[3])
    assert len(set(exact.tolist())) == 5


def test_who_shares_a_scene_is_one_group() -> None:
    identity, scene = np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 2])
    assert groups(identity, scene, np.full(4, -1), 10).tolist() == [0, 0, 0, 3]


def test_a_group_stops_growing_and_keeps_its_strongest_links() -> None:
    identity = np.array([0, 1, 1, 2, 1, 2, 2, 3])
    scene = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert groups(identity, scene, np.full(4, -1), 2).tolist() == [0, 1, 1, 3]
    assert groups(identity, scene, np.array([7, 7, -1, -1]), 2).tolist() == [0, 0, 2, 2]


def test_shares_are_those_declared() -> None:
    config = SplitConfig(test=0.2, validation=0.1)
    found = Counter(split_of(f"g{i}", config) for i in range(20_000))
    assert found["test"] == pytest.approx(4000, abs=250)
    assert found["validation"] == pytest.approx(2000, abs=200)


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than 1"):
        SplitConfig(test=0.6, validation=0.6)


def test_ids_are_kept_by_the_majority() -> None:
    first, split = name_groups({"a": ["1", "2", "3"], "b": ["4"]}, NOBODY, SplitConfig())
    former = Former(
        dict.fromkeys("123", first["a"]) | {"4": first["b"]},
        dict.fromkeys("123", split[first["a"]]) | {"4": split[first["b"]]},
    )
    again, _ = name_groups({"a": ["1", "2", "5"], "b": ["4", "6"], "c": ["7"]}, former, SplitConfig())
    assert (again["a"], again["b"]) == (first["a"], first["b"])
    renamed, _ = name_groups({"0": ["0", "1", "2"], "b": ["4"]}, former, SplitConfig())
    assert renamed["0"] == first["a"]


def make_former(config: SplitConfig, **splits: str) -> tuple[dict[str, str], Former]:
    """Groups of three faces each that lie in the splits wanted."""
    ids: dict[str, str] = {}
    for name, wanted in splits.items():
        ids[name] = next(f"g{name}{i}" for i in range(10_000) if split_of(f"g{name}{i}", config) == wanted)
    faces = {f"{name}{i}": name for name in splits for i in range(3)}
    return ids, Former({f: ids[n] for f, n in faces.items()}, {f: splits[n] for f, n in faces.items()})  # type: ignore[misc]


def test_merged_groups_go_where_test_is() -> None:
    config = SplitConfig()
    ids, former = make_former(config, a="train", b="test", c="validation")
    named, split = name_groups({"x": ["a0", "a1", "a2", "b0", "c0"], "y": ["c1", "a0"]}, former, config)
    assert named["x"] == ids["b"]
    assert split[named["x"]] == "test"
    assert named["y"] == ids["c"]


def test_both_parts_of_a_divided_group_stay_in_its_split() -> None:
    config = SplitConfig()
    ids, former = make_former(config, a="test")
    named, split = name_groups({"x": ["a0", "a1"], "y": ["a2"]}, former, config)
    assert named["x"] == ids["a"]
    assert named["y"] != ids["a"]
    assert split[named["y"]] == "test"


def test_other_shares_move_nobody() -> None:
    _, former = make_former(SplitConfig(test=0.5, validation=0.2), a="test", b="train", c="validation")
    config = SplitConfig(test=0.05, validation=0.05)
    named, split = name_groups({n: [f"{n}{i}" for i in range(3)] for n in "abc"}, former, config)
    assert [split[named[n]] for n in "abc"] == ["test", "train", "validation"]


def test_a_split_without_a_share_cannot_hold_anybody() -> None:
    _, former = make_former(SplitConfig(), a="test")
    with pytest.raises(ConfigError, match="nobody may move"):
        name_groups({"a": ["a0"]}, former, SplitConfig(test=0.0))


def test_photos_across_splits_leave_the_one_that_gives_way() -> None:
    rank = np.array([GIVES_WAY.index(s) for s in ("train", "test", "validation", "train", "train")])
    assert crossing(np.array([0, 0, 1, 1, 2]), rank).tolist() == [True, False, False, True, False]


def test_overlaps_are_told() -> None:
    phash = np.array([0, 1, 1 << 20, (1 << 40) - 1], np.uint64)
    clean = split_overlaps(
        ["train", "train", "test", "test"],
        list("aabb"),
        list("wxyz"),
        phash ^ np.array([0, 0, 255 << 30, 0], np.uint64),
        6,
    )
    assert clean == []
    told = split_overlaps(["train", "test", "test", "train"], list("aacd"), list("wxyw"), phash, 6)
    assert told == ["test and train share 1 identities", "test and train share 2 near-duplicate photos"]
    told = split_overlaps(["train", "test"], ["a", "b"], ["w", "w"], np.zeros(2, np.uint64), 6)
    assert told == ["test and train share 1 photos with the same bytes", "test and train share 1 near-duplicate photos"]
    assert len(split_overlaps(["train", "test"], ["a", "b"], ["w", "w"], np.zeros(2, np.uint64), -1)) == 1


class World:
    """Identities with photos that grow, merge and lose faces from build to build."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.faces: dict[str, tuple[int, int]] = {}
        self.made = 0

    def grow(self, faces: int, people: int, photos: int) -> None:
        for _ in range(faces):
            self.faces[f"f{self.made:05d}"] = (int(self.rng.integers(people)), int(self.rng.integers(photos)))
            self.made += 1

    def shrink(self, share: float) -> None:
        self.faces = {f: v for f, v in self.faces.items() if self.rng.random() > share}

    def merge(self, a: int, b: int) -> None:
        self.faces = {f: (a if who == b else who, photo) for f, (who, photo) in self.faces.items()}


def build(world: World, former: Former, config: SplitConfig) -> Former:
    ids = sorted(world.faces)
    people, identity = np.unique([world.faces[f][0] for f in ids], return_inverse=True)
    scene = np.unique([world.faces[f][1] for f in ids], return_inverse=True)[1]
    before = np.full(len(people), -1)
    for face, of in zip(ids, identity, strict=True):
        if face in former.group:
            before[of] = hash(former.group[face]) % 10**6
    group = groups(identity, scene, before, config.max_group_identities)
    faces: dict[str, list[str]] = {}
    for face, of in zip(ids, identity, strict=True):
        faces.setdefault(f"i{people[group[of]]:04d}", []).append(face)
    named, split = name_groups(faces, former, config)
    where = {face: named[name] for name, members in faces.items() for face in members}
    return Former(where, {face: split[group_id] for face, group_id in where.items()})


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_nobody_ever_moves_from_test_to_train(seed: int) -> None:
    world, config = World(seed), SplitConfig(test=0.3, validation=0.2, max_group_identities=5)
    former = NOBODY
    for step in range(5):
        world.grow(60, 60 + 10 * step, 90)
        if step % 2:
            world.merge(*world.rng.integers(0, 60, 2).tolist())
            world.shrink(0.1)
        now = build(world, former, config)
        for face in now.split.keys() & former.split.keys():
            assert GIVES_WAY.index(now.split[face]) >= GIVES_WAY.index(former.split[face])
        assert all(split_of(now.group[face], config) == now.split[face] for face in now.group)
        former = now


def test_a_crowd_does_not_take_everybody() -> None:
    world = World(1)
    world.grow(3000, 500, 1500)
    whole = build(world, NOBODY, SplitConfig(max_group_identities=10**6))
    parted = build(world, NOBODY, SplitConfig(max_group_identities=20))
    assert max(Counter(whole.group.values()).values()) > 2000
    shares = Counter(parted.split.values())
    assert 0.6 < shares["train"] / 3000 < 0.95
    assert all(shares[name] for name in GIVES_WAY)


def test_a_set_that_grows_keeps_its_ids() -> None:
    world, config = World(2), SplitConfig()
    world.grow(2000, 400, 20_000)
    first = build(world, NOBODY, config)
    world.grow(200, 440, 22_000)
    second = build(world, first, config)
    stayed = sum(second.group[face] == first.group[face] for face in first.group) / len(first.group)
    assert stayed > 0.9
