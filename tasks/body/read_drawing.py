"""Reads the people back from an OpenPose drawing, whoever made it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing_dots import TooManyDotsError, find_dots
from tasks.body.drawing_hidden import hidden_joints
from tasks.body.drawing_limbs import find_links
from tasks.body.drawing_people import join
from tasks.body.drawing_pixels import Pixels
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints

_COVERED: Final = 0.05
"""Confidence of a joint that other circles cover; the least that a joint has."""

_NOISELESS: Final = 0.06
"""Noise up to which limbs are traced under what covers them."""


def read_openpose_drawing(drawing: NDArray[np.uint8]) -> Keypoints:
    """Recover everybody from the colours of joints and limbs.

    Reads drawings of ControlNet's annotators, DWPose and their kin: any stick width, limbs darkened or not, faces and
    hands drawn or not, resized or compressed since. A joint whose circle lies outside of the picture stays missing.

    Args:
        drawing: RGB uint8, (H, W, 3).
    Returns:
        `OPENPOSE_18` in pixels of the drawing, the most complete person first; nobody where the picture is no drawing,
        or shows more circles than `MOST_DOTS`. Confidence is the measured share of the joint's circle that shows its
        colour.
    Raises:
        ShapeError: not RGB uint8.
    """
    if drawing.ndim != 3 or drawing.shape[2] != 3 or drawing.dtype != np.uint8:
        raise ShapeError(f"a drawing is RGB uint8 (H, W, 3), got {drawing.dtype} {drawing.shape}")
    pixels = Pixels.of(drawing)
    if pixels is None:
        return Keypoints.empty(OPENPOSE_18)
    try:
        dots = find_dots(pixels)
    except TooManyDotsError:
        return Keypoints.empty(OPENPOSE_18)
    people = join(dots, find_links(pixels, dots), pixels.noise, darkened=pixels.darkened)
    xy = np.full((len(people), len(OPENPOSE_18), 2), np.nan, np.float32)
    confidence = np.zeros((len(people), len(OPENPOSE_18)), np.float32)
    for k, person in enumerate(people):
        joints, candidates = list(person), list(person.values())
        xy[k, joints] = dots.xy[candidates]
        confidence[k, joints] = np.clip(dots.score[candidates], _COVERED, 1)
        if pixels.darkened and pixels.noise < _NOISELESS:
            for joint, place in hidden_joints(pixels, xy[k], dots.radius).items():
                xy[k, joint], confidence[k, joint] = place, _COVERED
    return _inside(Keypoints.from_arrays(OPENPOSE_18, pixels.to_drawing(xy), confidence), drawing)


def _inside(people: Keypoints, drawing: NDArray[np.uint8]) -> Keypoints:
    """Without the joints whose circles only reach into the picture."""
    height, width = drawing.shape[:2]
    x, y = people.xy[..., 0], people.xy[..., 1]
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    cut = Keypoints.from_arrays(OPENPOSE_18, people.xy, np.where(inside, people.confidence, 0))
    kept = cut.present.any(axis=1)
    return Keypoints(OPENPOSE_18, cut.xy[kept], cut.confidence[kept])


def looks_like_drawing(image: NDArray[np.uint8]) -> bool:
    """Whether at least one person can be read from the picture, RGB uint8 (H, W, 3)."""
    return len(read_openpose_drawing(image)) > 0


def read_for_photo(drawing: NDArray[np.uint8], photo_width: int, photo_height: int) -> Keypoints:
    """Recover everybody in pixels of the photo that the drawing was made of, whatever the drawing's own size.

    Both pictures show the same field of view: x in the drawing is (x + 0.5) * photo_width / width - 0.5 in the photo,
    since pixel centres lie at whole numbers; y likewise.
    """
    people = read_openpose_drawing(drawing)
    ratio = np.array([photo_width / drawing.shape[1], photo_height / drawing.shape[0]], np.float32)
    return Keypoints(OPENPOSE_18, ((people.xy + 0.5) * ratio - 0.5).astype(np.float32), people.confidence.copy())
