"""Sizes that patches may have, and the categories that they are for, as a person writes them down."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from tasks.schema.films import CATEGORIES
from tasks.schema.forms import Form

SCALE: Final = 3
"""The ground truth is so many times as wide and high as its low resolution. Source: the seed."""

PLAIN_NAME: Final = r"^[a-z0-9][a-z0-9_]{0,39}$"
"""Part of sample ids and file names."""

FOLDER: Final = r"^[A-Za-z0-9_][A-Za-z0-9_. -]*(/[A-Za-z0-9_][A-Za-z0-9_. -]*)*$"
"""Below the root of the tree, `/` between folders; none of them hidden, none leads out."""

Weight = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class PatchFormat(Form):
    """A size of the ground truth, and the folder that its patches lie in below that of their category."""

    name: str = Field(title="Name", pattern=PLAIN_NAME)
    width: int = Field(title="Width", ge=66, le=7680, multiple_of=SCALE, description="Pixels; divisible by 3.")
    height: int = Field(title="Height", ge=66, le=7680, multiple_of=SCALE, description="Pixels; divisible by 3.")
    folder: str = Field(title="Folder", pattern=FOLDER, max_length=120)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the ground truth, pixels."""
        return self.width, self.height

    @property
    def low_size(self) -> tuple[int, int]:
        """Width and height of the low resolution, pixels."""
        return self.width // SCALE, self.height // SCALE


class PatchCategory(Form):
    """What patches are for: the folder of their tree, and which part of them has which format."""

    name: str = Field(title="Name", pattern=PLAIN_NAME)
    folder: str = Field(title="Folder", pattern=FOLDER, max_length=120, description="Below the output folder.")
    formats: dict[str, Share] = Field(
        title="Formats", min_length=1, description="Name of a format and its share of the patches; they add up to 1."
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = sum(self.formats.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the formats add up to {total:g}, not to 1")
        return self


def by_name(*formats: PatchFormat) -> Mapping[str, PatchFormat]:
    """The formats under their names."""
    return {each.name: each for each in formats}


FORMATS: Final = by_name(
    PatchFormat(name="small_540", width=540, height=540, folder="Patches"),
    PatchFormat(name="medium_169", width=720, height=405, folder="Patches_Medium169"),
    PatchFormat(name="large_720", width=720, height=720, folder="Patches_Large"),
    PatchFormat(name="xlarge_1440", width=1440, height=810, folder="Patches_XLarge169"),
    PatchFormat(name="fullhd_1920", width=1920, height=1080, folder="Patches_FullHD"),
)
"""Source: the seed."""

_FOLDERS = ("Universal/Mastermodell/Learn", "Space/SpaceModel/Learn", "Toon/ToonModel/Learn")
_SHARES = (
    {"small_540": 0.45, "medium_169": 0.35, "large_720": 0.20},
    {"small_540": 0.30, "xlarge_1440": 0.45, "fullhd_1920": 0.25},
    {"small_540": 0.65, "medium_169": 0.35},
)

SEED_CATEGORIES: Final = tuple(
    PatchCategory(name=name, folder=folder, formats=shares)
    for name, folder, shares in zip(CATEGORIES, _FOLDERS, _SHARES, strict=True)
)
"""General, space and toon with their folders and distributions. Source: the seed."""
