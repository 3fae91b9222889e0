from typing import Any

import pytest

from tasks.poses.normalise import normalise
from tasks.poses.pose_class import PoseClass, pose_class
from tasks.poses.tags import tags
from tests.poses.figures import figure, mirrored, pose, without

FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")


def found(**directions: Any) -> set[str]:
    normal = pose(**directions)
    return set(tags(normal, pose_class(normal), 1, "general", ()))


def test_order_and_all_kinds() -> None:
    normal = pose(upper_arms=(-170, 170), forearms=(-175, 175))
    assert tags(normal, PoseClass.STANDING, 3, "urban", ("dress", "hat")) == (
        "standing",
        "arms-raised",
        "facing-front",
        "full-body",
        "group",
        "urban",
        "dress",
        "hat",
    )


@pytest.mark.parametrize(
    ("tag", "directions"),
    [
        ("arms-raised", {"upper_arms": (-170, 170), "forearms": (-175, 175)}),
        ("arm-raised", {"upper_arms": (-170, 10), "forearms": (-175, 5)}),
        (
            "arms-crossed",
            {"upper_arms": (-15, 15), "forearms": (100, -105), "lengths": {"right_forearm": 0.5, "left_forearm": 0.5}},
        ),
        ("arms-out", {"upper_arms": (-90, 90), "forearms": (-88, 88)}),
        ("arm-out", {"upper_arms": (-90, 10), "forearms": (-88, 5)}),
        ("hands-on-hips", {"upper_arms": (-38, 38), "forearms": (40, -40)}),
        ("hand-on-hip", {"upper_arms": (-38, 10), "forearms": (40, 5)}),
        ("leg-raised", {"thighs": (-80, 3), "shins": (-80, 0)}),
        ("legs-apart", {"thighs": (-25, 25), "shins": (-25, 25)}),
        ("legs-crossed", {"thighs": (15, -15), "shins": (10, -10)}),
        ("facing-front", {}),
        ("facing-side", {"turned": 0.2}),
        ("facing-back", {"turned": -1}),
        ("full-body", {}),
        ("single", {}),
    ],
)
def test_each_tag_by_an_example(tag: str, directions: dict[str, Any]) -> None:
    assert tag in found(**directions)


def test_hanging_arms_have_no_tag() -> None:
    assert found() == {"standing", "facing-front", "full-body", "single"}
    assert found(turned=-1) == {"standing", "facing-back", "full-body", "single"}


def test_the_mirror_image_has_the_same_tags() -> None:
    directions = {"upper_arms": (-170, 38), "forearms": (-175, -40), "thighs": (-25, 25)}
    flipped = normalise(mirrored(figure(**directions)), without(figure())[1])
    assert set(tags(flipped, pose_class(flipped), 1, "general", ())) == found(**directions)


def test_a_hand_before_the_belly_is_not_on_the_hip() -> None:
    assert not {"hand-on-hip", "hands-on-hips"} & found(upper_arms=(-20, 20), forearms=(70, -70))


@pytest.mark.parametrize(
    ("framing", "missing"),
    [
        ("full-body", ("right_ankle",)),
        ("three-quarter", ("right_ankle", "left_ankle")),
        ("upper-body", ("right_ankle", "left_ankle", "right_knee", "left_knee")),
        (
            "portrait",
            tuple(f"{s}_{j}" for s in ("right", "left") for j in ("ankle", "knee", "hip", "elbow", "wrist")),
        ),
        ("lower-body", (*FACE, "neck", "right_shoulder", "left_shoulder")),
    ],
)
def test_framing(framing: str, missing: tuple[str, ...]) -> None:
    normal = normalise(*without(figure(), *missing))
    framings = {"full-body", "three-quarter", "upper-body", "portrait", "lower-body"}
    assert framings & set(tags(normal, pose_class(normal), 1, "general", ())) == {framing}


def test_profile_is_a_face_with_one_side() -> None:
    normal = normalise(*without(figure(turned=0.2), "left_eye", "left_ear"))
    assert {"profile", "facing-side"} <= set(tags(normal, PoseClass.UNKNOWN, 1, "general", ()))


def test_without_a_pose_the_rest_is_told() -> None:
    assert tags(None, PoseClass.UNKNOWN, 1, "indoor", ("hat",)) == ("single", "indoor", "hat")
