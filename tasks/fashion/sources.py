"""Where photos of the runway and of the street come from, as a person writes it down."""

import re
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field, model_validator

from tasks.schema.forms import Form
from tasks.schema.sources import PhotoColumns

SIDE_COLUMNS: Final = ("designer", "season", "author")
"""What may be known of a look beside its photo: columns of a source, and names of groups in a pattern."""


class LookKind(StrEnum):
    """How a source is read."""

    COCO = "coco"
    FOLDER = "folder"
    HUB = "hub"


class LookColumns(PhotoColumns):
    """Columns of a hub dataset, of a folder's metadata.csv or .jsonl, or fields of the images in a COCO file (or of
    their `extra`).
    """

    designer: str = Field("", title="Designer", description="Empty: the source has no such column.")
    season: str = Field("", title="Season", description="The show or season; empty: no such column.")
    author: str = Field("", title="Author", description="Who took or posted the photo; empty: no such column.")


class LookSource(Form):
    """One source of photos of the runway or of the street."""

    name: str = Field(title="Name", pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Short name; part of sample ids.")
    side: Literal["runway", "street"] = Field(title="Side")
    original_dataset: str = Field("", title="Dataset", description="As in the tables; empty: the name.")
    kind: LookKind = Field(LookKind.COCO, title="Kind")
    location: str = Field(
        title="Location",
        min_length=1,
        description="Absolute folder of a COCO export (or its annotation file), absolute folder, or hub dataset id.",
    )
    images: str = Field(
        "",
        title="Photos",
        description="Only with an annotation file: the absolute folder of its photos; empty: `images` beside it, or "
        "its own folder.",
    )
    revision: str = Field("main", title="Revision", description="Hub only: branch, tag or commit.")
    split: str = Field("train", title="Split", description="Hub only.")
    columns: LookColumns = Field(default_factory=LookColumns, title="Columns")
    path_pattern: str = Field(
        "",
        title="Pattern of paths",
        description="Regular expression searched in the path of a photo; its groups `designer`, `season`, `author` "
        r"say what no column says: `(?P<designer>[^/]+)/(?P<season>[^/]+)/`.",
    )
    licence: str = Field(
        "", title="Licence", description="Terms of the photos, carried with every row; empty: as the COCO file says."
    )
    limit: int = Field(0, title="Limit", ge=0, description="Photos to read, from the first; 0: all.")

    @property
    def dataset(self) -> str:
        """The name of the dataset in tables."""
        return self.original_dataset or self.name

    @model_validator(mode="after")
    def _fits_kind(self) -> "LookSource":
        if self.images and self.kind is not LookKind.COCO:
            raise ValueError(f"source {self.name}: `images` belongs to a COCO annotation file, not to a {self.kind}")
        try:
            groups = set(re.compile(self.path_pattern).groupindex)
        except re.error as error:
            raise ValueError(f"source {self.name}: the pattern of paths is no regular expression: {error}") from error
        if self.path_pattern and not (groups and groups <= set(SIDE_COLUMNS)):
            raise ValueError(f"source {self.name}: the groups of the pattern are some of {', '.join(SIDE_COLUMNS)}")
        return self
