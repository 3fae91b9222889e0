"""What a recognition model asks of a face, and how its embedding looks."""

from typing import Literal

from pydantic import Field

from tasks.schema.records import Frozen


class GateFloors(Frozen):
    """Under which a face is not worth linking for one model; 0: that quality does not decide.

    `face_side_px` in pixels of the photo; `face_score`, `sharpness` and `frontality` 0 to 1 as faces carry them; `norm`
    of the raw embedding, in the model's own units.
    """

    face_side_px: float = Field(ge=0)
    face_score: float = Field(ge=0, lt=1)
    sharpness: float = Field(ge=0, lt=1)
    frontality: float = Field(ge=0, lt=1)
    norm: float = Field(ge=0)


class EmbeddingSpec(Frozen):
    """The input of a recognition model, (pixel - mean) / scale of a square at the ArcFace points, and its output.

    `width`: numbers of an embedding. `side`: pixels of the input.
    """

    width: int = Field(gt=0)
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: float = 127.5
    scale: float = Field(127.5, gt=0)
    side: int = Field(112, gt=0)
    floors: GateFloors
