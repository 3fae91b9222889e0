"""People cut out of photos: the box around a person, its pixels, and the square that a bundle holds.

Boxes are edges, half-open: 0 is the left edge of the first pixel. Points count from the centre of the first pixel.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.schema.errors import ShapeError

Box = tuple[int, int, int, int]
"""Whole pixels: left, top, right, bottom; right and bottom exclusive."""

INVISIBLE: Final = -1.0
"""Both coordinates of a joint that a bundle is told not to show. Source: WebBody's bundles."""


def content_box(content_xyxy: NDArray[np.floating] | list[float], width: int, height: int) -> Box:
    """The photo inside its border as whole pixels of a picture of this size; empty where it is beyond the picture."""
    left, top, right, bottom = (int(v) for v in np.rint(np.asarray(content_xyxy, float)))
    left, top = min(max(left, 0), width), min(max(top, 0), height)
    return left, top, max(min(right, width), left), max(min(bottom, height), top)


def padded_box(xyxy: NDArray[np.float32], pad: float, within: Box) -> Box:
    """A person's box with `pad` of its width and height more on each side, to the next whole pixels, clipped.

    Returns:
        a box inside `within`; empty (no width or no height) where they do not meet.
    """
    low, high = np.asarray(xyxy[:2], float), np.asarray(xyxy[2:], float)
    more = pad * (high - low)
    left, top = (int(v) for v in np.floor(low - more))
    right, bottom = (int(v) for v in np.ceil(high + more))
    left, top = min(max(left, within[0]), within[2]), min(max(top, within[1]), within[3])
    return left, top, max(min(right, within[2]), left), max(min(bottom, within[3]), top)


def person_crop(photo: NDArray[np.uint8], crop_xyxy: NDArray[np.floating] | Box | list[float]) -> NDArray[np.uint8]:
    """The pixels of a crop.

    Args:
        photo: uint8, (H, W, 3).
        crop_xyxy: whole pixels inside the photo.
    Returns:
        a view of the photo.
    Raises:
        ShapeError: the crop is empty, not of whole pixels, or not inside the photo.
    """
    left, top, right, bottom = _whole(crop_xyxy, photo)
    return photo[top:bottom, left:right]


@dataclass(frozen=True, eq=False)
class BundlePicture:
    """A person on a white square, and where the photo's pixels went.

    Args:
        picture: RGB uint8, (side, side, 3).
        scale: x and y; not quite equal, since both sides of the person are whole pixels.
        offset: x and y; a point of the photo lies at `scale * point + offset`, pixel centres at whole numbers in both.
    """

    picture: NDArray[np.uint8]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_bundle(self, xy: NDArray[np.floating], visible: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Points of the photo as points of the square.

        Args:
            xy: pixels of the photo, (..., 2); NaN stays NaN.
            visible: (...); points that are not become (`INVISIBLE`, `INVISIBLE`).
        Returns:
            float32, (..., 2).
        """
        moved = (np.asarray(xy, float) * self.scale + self.offset).astype(np.float32)
        return moved if visible is None else np.where(visible[..., None], moved, np.float32(INVISIBLE))


def bundle_picture(
    photo: NDArray[np.uint8], crop_xyxy: NDArray[np.floating] | Box | list[float], side: int
) -> BundlePicture:
    """Cut a person, scale it so that its longer side is `side`, and centre it on a white square.

    Scaled with Pillow's Lanczos filter, which takes in all pixels when it makes smaller; nothing outside of the crop
    shines through its edge.

    Args:
        photo: RGB uint8, (H, W, 3).
        crop_xyxy: whole pixels inside the photo.
        side: of the square, pixels.
    Raises:
        ShapeError: as `person_crop`.
    """
    left, top, _, _ = _whole(crop_xyxy, photo)
    cut = person_crop(photo, crop_xyxy)
    height, width = cut.shape[:2]
    ratio = side / max(width, height)
    new_width, new_height = max(round(width * ratio), 1), max(round(height * ratio), 1)
    if (new_width, new_height) != (width, height):
        small = Image.fromarray(np.ascontiguousarray(cut)).resize((new_width, new_height), Image.Resampling.LANCZOS)
        cut = np.asarray(small)
    before_x, before_y = (side - new_width) // 2, (side - new_height) // 2
    square = np.full((side, side, 3), 255, np.uint8)
    square[before_y : before_y + new_height, before_x : before_x + new_width] = cut
    scale = (new_width / width, new_height / height)
    offset = ((0.5 - left) * scale[0] - 0.5 + before_x, (0.5 - top) * scale[1] - 0.5 + before_y)
    return BundlePicture(square, scale, offset)


def _whole(crop_xyxy: NDArray[np.floating] | Box | list[float], photo: NDArray[np.uint8]) -> Box:
    given = np.asarray(crop_xyxy, float)
    if given.shape != (4,) or not np.isfinite(given).all() or (given != np.rint(given)).any():
        raise ShapeError(f"a crop is four whole pixels, not {given.tolist()}")
    left, top, right, bottom = (int(v) for v in given)
    if not (0 <= left < right <= photo.shape[1] and 0 <= top < bottom <= photo.shape[0]):
        raise ShapeError(
            f"the crop {given.tolist()} is empty, or not inside {photo.shape[1]} x {photo.shape[0]} pixels"
        )
    return left, top, right, bottom
