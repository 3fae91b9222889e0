"""The pictures of a clip, from its MP4 bytes."""

from collections.abc import Iterator
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class ClipError(Exception):
    """The bytes are no video that can be decoded; the message is a sentence that says so."""


def clip_frames(mp4: bytes, many: int = 32) -> Iterator[list[Picture]]:
    """RGB uint8, (H, W, 3), in the order of time, up to `many` at once; colours as the file is tagged.

    Raises:
        ClipError: they do not decode, or there is no picture.
    """
    some: list[Picture] = []
    try:
        with av.open(BytesIO(mp4), "r") as container:
            if not container.streams.video:
                raise ClipError("the clip has no pictures")
            for frame in container.decode(container.streams.video[0]):
                some.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                if len(some) == many:
                    yield some
                    some = []
    except (av.error.FFmpegError, ValueError) as error:
        raise ClipError(f"the clip does not decode: {error}") from error
    if some:
        yield some


def decoder() -> dict[str, str]:
    """What decides the pixels besides the file."""
    return {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libswscale")}
