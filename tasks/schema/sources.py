"""Where the photos of the pose templates come from, as a person writes it down."""

from enum import StrEnum
from typing import Literal, Protocol

from pydantic import Field, model_validator

from tasks.schema.forms import Form

Category = Literal["fashion", "lifestyle", "sports"]


class SourceKind(StrEnum):
    """How a source is read."""

    HUB = "hub"
    FOLDER = "folder"
    PARQUET = "parquet"
    VIDEO = "video"
    MANNEQUINS = "mannequins"


class PhotoColumns(Form):
    """Which column of the source holds what; an empty name: the source has no such column."""

    image: str = Field("image", title="Photo", description="Column of the photo; `images` is tried for `image`.")


class PhotoPlace(Protocol):
    """Where photos lie and which columns say what: all that it takes to list them."""

    @property
    def name(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def columns(self) -> PhotoColumns: ...


class ColumnMapping(PhotoColumns):
    """The columns of photos for pose templates."""

    conditioning: str = Field("", title="OpenPose drawing", description="Column of the drawing of the photo's people.")
    mask: str = Field("", title="Mask")
    mask_overlay: str = Field("", title="Mask overlay")
    caption: str = Field("", title="Caption")
    gender: str = Field("", title="Gender")
    pose: str = Field("", title="Pose")
    cloth: str = Field("", title="Cloth type")
    pid: str = Field("", title="Product id")


class PhotoSource(Form):
    """One source of photos."""

    name: str = Field(title="Name", pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Short name; part of sample ids.")
    kind: SourceKind = Field(SourceKind.HUB, title="Kind")
    category: Category = Field("fashion", title="Category")
    location: str = Field(
        "",
        title="Location",
        description="Hub dataset id, absolute folder, Parquet file or glob, video file; empty for mannequins.",
    )
    conditioning_location: str = Field(
        "", title="Drawings", description="Video only: the video of the OpenPose drawings, frame for frame."
    )
    revision: str = Field("main", title="Revision", description="Hub only: branch, tag or commit.")
    split: str = Field("train", title="Split", description="Hub only.")
    limit: int = Field(300, title="Limit", ge=1, le=10_000_000, description="Templates to keep, not rows to read.")
    columns: ColumnMapping = Field(default_factory=ColumnMapping, title="Columns")
    licence: str = Field("unknown", title="Licence", description="Terms of the photos, carried with every row.")
    expected_width: int = Field(0, title="Expected width", ge=0, description="Pixels; 0: any.")
    expected_height: int = Field(0, title="Expected height", ge=0, description="Pixels; 0: any.")
    near_duplicates: bool = Field(
        True,
        title="Drop near duplicates",
        description="Never done for video frames and mannequins, which look alike by nature.",
    )
    seed: int = Field(0, title="Seed", ge=0, description="Mannequins only.")

    @property
    def drops_near_duplicates(self) -> bool:
        """Whether photos of this source that look alike are one photo."""
        return self.near_duplicates and self.kind not in (SourceKind.VIDEO, SourceKind.MANNEQUINS)

    @model_validator(mode="after")
    def _location_fits_kind(self) -> "PhotoSource":
        if (self.kind is SourceKind.MANNEQUINS) == bool(self.location):
            raise ValueError(f"source {self.name}: {self.kind} needs {'no' if self.location else 'a'} location")
        return self


FASHION = PhotoSource(
    name="fashion",
    category="fashion",
    location="SaffalPoosh/deepFashion-with-masks",
    limit=800,
    columns=ColumnMapping(
        mask="mask",
        mask_overlay="mask_overlay",
        caption="caption",
        gender="gender",
        pose="pose",
        cloth="cloth",
        pid="pid",
    ),
    licence="DeepFashion: research only",
    expected_width=512,
    expected_height=512,
)
"""Seed: 800 samples. The licence is DeepFashion's own, whatever the mirror's card says."""

LIFESTYLE = PhotoSource(
    name="lifestyle",
    category="lifestyle",
    location="raulc0399/open_pose_controlnet",
    limit=300,
    columns=ColumnMapping(conditioning="conditioning_image", caption="text"),
)
"""Seed: 300 samples; those whose captions speak of sport become the category sports."""


class SourcePart(Form):
    """A slice of a source that becomes one shard: rows [first_row, first_row + rows) of one file.

    `digest` pins the bytes behind `uri` (sha256 or the hub's object id); equal digests mean equal rows.
    """

    uri: str
    digest: str
    first_row: int
    rows: int


class SourceListing(Form):
    """What a source offers now, in order. `complete` is False where a limit or an error cut the listing."""

    revision: str
    parts: tuple[SourcePart, ...]
    columns: tuple[str, ...]
    complete: bool = True
