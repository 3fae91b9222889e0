"""People in real photos, by joints that people marked: what is seen in the pictures is what is said about them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.body.layouts import coco17_to_openpose18
from tasks.images.decode import decode_rgb
from tasks.poses.difficulty import difficulty
from tasks.poses.normalise import NormalPose, normalise
from tasks.poses.pose_class import pose_class
from tasks.poses.quality import sharpness
from tasks.poses.tags import tags
from tasks.schema.keypoints import COCO_17, Keypoints

pytestmark = pytest.mark.real

SEEN = [
    ("coco/coco_keypoints17.json", 442619, "standing", {"facing-front", "full-body"}, {"easy", "medium"}),
    ("coco/coco_keypoints17.json", 198196, "sitting", {"facing-side", "full-body"}, {"medium", "hard"}),
    ("coco/coco_keypoints17.json", 460541, "walking", {"facing-side", "full-body"}, {"medium", "hard"}),
    ("coco/coco_keypoints17.json", 1717641, "squatting", {"facing-back", "full-body"}, {"hard"}),
    ("coco/coco_keypoints17.json", 1724673, "standing", {"facing-front", "full-body"}, {"easy"}),
    ("ochuman/ochuman17.json", 2, "standing", {"facing-front", "full-body"}, {"easy"}),
    ("humanart/humanart17.json", 15000000092347, None, {"full-body"}, {"hard"}),
    ("humanart/humanart17.json", 15000000092348, None, {"full-body"}, {"hard"}),
]
"""A skier, a man on a chair, a batter, a catcher from behind, a player who waits, a bystander, two acrobats."""


def marked(path: Path, annotation: int) -> NormalPose | None:
    (found,) = [a for a in json.loads(path.read_text())["annotations"] if a["id"] == annotation]
    joints = np.array(found["keypoints"], float).reshape(1, 17, 3)
    person = coco17_to_openpose18(Keypoints.from_arrays(COCO_17, joints[..., :2], (joints[..., 2] > 0).astype(float)))
    return normalise(person.xy[0], person.confidence[0])


@pytest.mark.parametrize(("file", "annotation", "name", "tagged", "levels"), SEEN)
def test_what_people_see(
    real_data: Path, file: str, annotation: int, name: str | None, tagged: set[str], levels: set[str]
) -> None:
    pose = marked(real_data / "keypoints" / file, annotation)
    what = pose_class(pose)
    assert name is None or what.value == name
    assert tagged <= set(tags(pose, what, 1, "general", ()))
    assert difficulty(pose).level in levels


def test_sharp_photos_score_high_and_their_blurred_copies_low(real_data: Path) -> None:
    paths = sorted((real_data / "people" / "tryon_models").glob("*.jpg"))
    assert len(paths) >= 10
    for path in paths:
        photo = decode_rgb(path.read_bytes())
        box = np.array([0, 0, photo.shape[1], photo.shape[0]], float)
        blurred = np.asarray(cv2.GaussianBlur(photo, (0, 0), 12), np.uint8)
        assert sharpness(photo, box) > 0.7
        assert sharpness(blurred, box) < 0.3
