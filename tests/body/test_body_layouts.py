import numpy as np
import pytest

from tasks.body.layouts import coco17_to_openpose18
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints


def test_joints_keep_their_names_and_the_neck_lies_between_the_shoulders() -> None:
    rng = np.random.default_rng(0)
    coco = Keypoints.from_arrays(COCO_17, rng.uniform(0, 100, (3, 17, 2)), rng.uniform(0.1, 1, (3, 17)))
    people = coco17_to_openpose18(coco)
    for name in COCO_17.joints:
        assert (people.xy[:, OPENPOSE_18.index(name)] == coco.xy[:, COCO_17.index(name)]).all()
    left, right = COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")
    np.testing.assert_allclose(people.xy[:, 1], (coco.xy[:, left] + coco.xy[:, right]) / 2, rtol=1e-6)
    assert (people.confidence[:, 1] == np.minimum(coco.confidence[:, left], coco.confidence[:, right])).all()


@pytest.mark.parametrize("shoulder", ["left_shoulder", "right_shoulder"])
def test_no_neck_without_both_shoulders(shoulder: str) -> None:
    confidence = np.ones((1, 17))
    confidence[0, COCO_17.index(shoulder)] = 0
    people = coco17_to_openpose18(Keypoints.from_arrays(COCO_17, np.ones((1, 17, 2)), confidence))
    assert np.flatnonzero(~people.present[0]).tolist() == [1, OPENPOSE_18.index(shoulder)]


def test_other_layout_is_refused() -> None:
    with pytest.raises(ShapeError):
        coco17_to_openpose18(Keypoints.empty(OPENPOSE_18))


def test_nobody_stays_nobody() -> None:
    assert len(coco17_to_openpose18(Keypoints.empty(COCO_17))) == 0
