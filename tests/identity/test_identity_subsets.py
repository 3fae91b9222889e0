"""wb4m, wb12m and wb_testing."""

import numpy as np
import pytest

from tasks.identity.subsets import WB4M, WB12M, WB_TESTING, People, SubsetConfig, choose_subsets, covered
from tasks.schema.keypoints import COCO_17


def crowd(count: int, seed: int = 0, splits: tuple[str, ...] = ("test", "train")) -> People:
    rng = np.random.default_rng(seed)
    images = rng.integers(2, 200, count)
    return People(
        [f"id{i:05d}" for i in range(count)],
        images,
        np.minimum(images, rng.integers(0, 100, count)),
        np.arange(count),
        [splits[i % len(splits)] for i in range(count)],
    )


def chosen(people: People, config: SubsetConfig, name: str) -> set[str]:
    return {who for who, names in zip(people.names, choose_subsets(people, config), strict=True) if name in names}


def test_a_covered_image_shows_legs_and_hides_a_part_of_the_face() -> None:
    confidence = np.full((4, 17), 0.9, np.float32)
    confidence[1, COCO_17.index("left_ear")] = 0.3
    confidence[2, COCO_17.index("left_hip") :] = 0.1
    confidence[2, COCO_17.index("nose")] = 0.0
    confidence[3, 0] = 0.49
    assert covered(confidence, SubsetConfig()).tolist() == [False, True, False, True]


def test_bounds_are_exclusive() -> None:
    counts = [(30, 60), (31, 60), (69, 90), (70, 90), (31, 149), (31, 150), (31, 31)]
    people = People(
        [f"id{i}" for i in range(7)],
        np.array([images for _, images in counts]),
        np.array([few for few, _ in counts]),
        np.arange(7),
        ["test"] * 7,
    )
    assert chosen(people, SubsetConfig(), WB_TESTING) == {"id1", "id2", "id4", "id6"}
    assert len(chosen(people, SubsetConfig(testing_identities=3), WB_TESTING)) == 3


def test_shares_of_the_pool() -> None:
    people = crowd(8000, splits=("train",))
    large, small = (chosen(people, SubsetConfig(), name) for name in (WB12M, WB4M))
    assert small < large
    assert len(large) == pytest.approx(8000 * 0.48 * 0.7, rel=0.05)
    assert len(small) == pytest.approx(8000 * 0.48 * 0.25, rel=0.08)
    least = min(people.images[people.names.index(who)] for who in large)
    assert least >= np.quantile(people.images, 0.52) - 1
    assert not chosen(people, SubsetConfig(), WB_TESTING)


@pytest.mark.parametrize("within", [True, False])
def test_testing_shares_no_group_with_the_others(within: bool) -> None:
    people = crowd(4000)
    people.group[:] = np.arange(4000) // 4 * 2 + np.arange(4000) % 2
    config = SubsetConfig(within_splits=within, testing_identities=300)
    group_of = dict(zip(people.names, people.group.tolist(), strict=True))
    testing, large = chosen(people, config, WB_TESTING), chosen(people, config, WB12M)
    assert len(testing) == 300
    assert large
    assert not {group_of[who] for who in testing} & {group_of[who] for who in large}


def test_bounds_scale_down() -> None:
    people = People(["a", "b"], np.array([4, 3]), np.array([2, 0]), np.arange(2), ["test", "train"])
    config = SubsetConfig(covered_images=(1, 5), testing_images=(1, 9), pool_share=1.0, wb12m_share=1.0, wb4m_share=1.0)
    assert choose_subsets(people, config) == [(WB_TESTING,), (WB12M, WB4M)]


def test_a_set_that_grows_keeps_its_members() -> None:
    """A tenth more identities, and a tenth more images for those that were there."""
    config = SubsetConfig(testing_identities=200)
    before, grown = crowd(5000), crowd(5500)
    rng = np.random.default_rng(5)
    grown.images[:5000] = before.images + rng.binomial(before.images, 0.1)
    grown.covered[:5000] = before.covered + rng.binomial(before.covered, 0.1)
    for name, least in ((WB12M, 0.93), (WB4M, 0.93), (WB_TESTING, 0.6)):
        first, then = chosen(before, config, name), chosen(grown, config, name)
        assert len(first & then) / len(first) > least
