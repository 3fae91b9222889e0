"""The picture that an image model wants, and the embedding that it gives."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.schema.records import Frozen

Pixels = Annotated[int, Field(gt=0, le=4096)]


class ImageSpec(Frozen):
    """The network of an image model by its library's name, and what it takes and gives.

    An upright RGB picture is brought to `resized` (height, width) as `fit` says, its centre is cut to `side` (height,
    width), and the network sees (pixel / 255 - mean) / std. `fit`: "cover", the smallest picture of the same shape that
    covers `resized`; "contain", the largest that it contains, on `paper` grey; "squash", `resized` itself. Pictures are
    scaled antialiased, as Pillow does. `width`: numbers of an embedding.
    """

    architecture: str = Field(min_length=1)
    width: int = Field(gt=0)
    side: tuple[Pixels, Pixels]
    resized: tuple[Pixels, Pixels]
    fit: Literal["cover", "contain", "squash"] = "cover"
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] = "bilinear"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    paper: tuple[int, int, int] = (0, 0, 0)
