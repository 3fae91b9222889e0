"""The places and sizes at which RetinaFace looks for faces."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

STRIDES: Final = (8, 16, 32)
SIZES: Final = ((16, 32), (64, 128), (256, 512))
"""Pixels; two at each place of each stride. Source: `cfg_mnet` and `cfg_re50` of Pytorch_Retinaface."""

VARIANCES: Final = (0.1, 0.2)
"""By which the network's shifts and logarithms of sizes are scaled."""


@lru_cache(maxsize=32)
def priors(height: int, width: int) -> NDArray[np.float32]:
    """The priors of a picture of this size, in the order of the network's heads.

    Returns:
        float32, (A, 4), read-only, pixels: centre x, centre y, width, height.
    """
    levels = []
    for stride, sizes in zip(STRIDES, SIZES, strict=True):
        y, x, size = np.meshgrid(
            (np.arange(-(-height // stride)) + 0.5) * stride,
            (np.arange(-(-width // stride)) + 0.5) * stride,
            np.array(sizes, np.float64),
            indexing="ij",
        )
        levels.append(np.stack([x, y, size, size], axis=-1).reshape(-1, 4))
    every = np.concatenate(levels).astype(np.float32)
    every.setflags(write=False)
    return every
