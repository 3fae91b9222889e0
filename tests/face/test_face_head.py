"""The head region follows the joints that are seen."""

import numpy as np

from tasks.face.head_region import head_region

CONTENT = np.array([0, 0, 640, 640], np.float32)
PERSON = np.array([200, 100, 400, 600], np.float32)
JOINTS = {0: (300, 150), 1: (310, 140), 2: (290, 140), 3: (320, 145), 4: (280, 145), 5: (350, 200), 6: (250, 210)}


def region(seen, joints=JOINTS, floor=0.5, content=CONTENT):
    xy, confidence = np.full((17, 2), np.nan, np.float32), np.zeros(17, np.float32)
    for joint, point in joints.items():
        xy[joint] = point
        confidence[joint] = 0.9 if joint in seen else 0.3
    return head_region(xy, confidence, PERSON, content, floor)


def test_both_ears_give_the_width_and_the_shoulders_the_bottom():
    found = region(range(7))
    # Joints from 140 to 210: 105 more above; ears from 280 to 320 and 20 a side are narrower, so the square takes 175.
    assert found.xyxy == (212, 35, 388, 210)
    assert found.centre == (300, np.float32(430 / 3))


def test_without_an_ear_the_width_is_that_of_the_joints():
    left, top, right, bottom = region([0, 1, 2, 5, 6]).xyxy
    assert (left, right) == (212, 388)
    assert (top, bottom) == (35, 210)
    wide = region([0, 1, 2, 5, 6], {**JOINTS, 5: (500, 200), 6: (150, 210)}).xyxy
    assert wide[:3:2] == (18, 632)


def test_without_shoulders_it_reaches_around_the_head():
    left, top, right, bottom = region([0, 1, 2, 3, 4]).xyxy
    assert (left, right) == (200, 400)
    assert top < 80
    assert bottom > 230


def test_one_joint_takes_the_size_from_the_person():
    assert region([0]).xyxy == (200, 50, 400, 250)


def test_shoulders_alone_are_no_head():
    assert region([5, 6]) is None
    assert region([]) is None


def test_it_is_clipped_to_the_photo():
    left, top, right, bottom = region(range(7), content=np.array([0, 0, 300, 160], np.float32)).xyxy
    assert (left, top, right, bottom) == (212, 35, 300, 160)


def test_a_head_outside_the_photo_is_not_seen():
    assert region(range(7), content=np.array([0, 0, 50, 50], np.float32)) is None


def test_the_floor_decides_what_is_seen():
    assert region([], floor=0.2) is not None
