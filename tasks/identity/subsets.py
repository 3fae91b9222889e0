"""The subsets wb4m, wb12m and wb_testing, by declared rules.

The rules are the reference's; who is chosen follows from a hash of the identity's lasting id instead of a seeded
shuffle, so that a set that grows keeps its members. wb4m lies within wb12m.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.split import share_of
from tasks.schema.keypoints import COCO_17
from tasks.schema.records import Frozen

WB_TESTING: Final = "wb_testing"
WB4M: Final = "wb4m"
WB12M: Final = "wb12m"

_FACE: Final = tuple(COCO_17.index(j) for j in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"))


class SubsetConfig(Frozen):
    """Who is in which subset; the defaults are the reference's. All bounds are exclusive.

    A *covered* image shows a joint of `lower_body` and hides one of the five of the face; a joint shows if its
    confidence is at least `visible_confidence`. wb_testing: `testing_identities` of those with `covered_images` covered
    and `testing_images` images in all. The pool: the `pool_share` of the other identities with the most images. wb12m
    and wb4m: that share of the pool. `within_splits`: wb_testing is taken from test and the pool from train; otherwise
    both from all, and the pool leaves out the groups of wb_testing.
    """

    testing_identities: int = Field(4000, ge=0)
    covered_images: tuple[int, int] = (30, 70)
    testing_images: tuple[int, int] = (30, 150)
    pool_share: float = Field(0.48, ge=0, le=1)
    wb12m_share: float = Field(0.70, ge=0, le=1)
    wb4m_share: float = Field(0.25, ge=0, le=1)
    lower_body: tuple[str, ...] = ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
    visible_confidence: float = Field(0.5, ge=0, le=1)
    within_splits: bool = True
    salt: str = "42"


@dataclass(frozen=True, eq=False)
class People:
    """I identities.

    Args:
        names: their lasting ids.
        images, covered: how many images, and covered ones, (I,).
        group: one number a group, (I,).
        split: train, validation or test, I of them.
    """

    names: list[str]
    images: NDArray[np.int64]
    covered: NDArray[np.int64]
    group: NDArray[np.int64]
    split: list[str]


def covered(confidence: NDArray[np.float32], config: SubsetConfig) -> NDArray[np.bool_]:
    """Which bodies show a joint of the lower body and hide one of the face, (N,).

    Args:
        confidence: of COCO-17 joints, (N, 17).
    """
    shows = confidence >= config.visible_confidence
    lower = [COCO_17.index(joint) for joint in config.lower_body]
    found: NDArray[np.bool_] = np.logical_and(shows[:, lower].any(axis=1), ~shows[:, _FACE].all(axis=1))
    return found


def choose_subsets(people: People, config: SubsetConfig) -> list[tuple[str, ...]]:
    """The subsets of each identity, I of them, names in order."""
    luck = np.array([share_of(name, config.salt) for name in people.names])
    split = np.array(people.split, dtype=np.str_)
    low, high = config.covered_images
    least, most = config.testing_images
    fits: NDArray[np.bool_] = (
        (people.covered > low) & (people.covered < high) & (people.images > least) & (people.images < most)
    )
    test, train = (split == "test", split == "train") if config.within_splits else (True, True)
    eligible = np.flatnonzero(fits & test)
    testing = eligible[np.argsort(luck[eligible], kind="stable")[: config.testing_identities]]
    rest = ~np.isin(people.group, people.group[testing])
    others = np.flatnonzero(rest & train)
    ranked = others[np.lexsort((luck[others], -people.images[others]))]
    pool = ranked[: int(len(ranked) * config.pool_share)]
    chosen: list[list[str]] = [[] for _ in people.names]
    for name, members in (
        (WB12M, pool[luck[pool] < config.wb12m_share]),
        (WB4M, pool[luck[pool] < config.wb4m_share]),
        (WB_TESTING, testing),
    ):
        for each in members.tolist():
            chosen[each].append(name)
    return [tuple(each) for each in chosen]
