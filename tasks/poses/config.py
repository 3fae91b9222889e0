"""The parameters of the flow `pose_templates`, as a person fills them in."""

from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from tasks.schema.forms import ControlsAsked, Form
from tasks.schema.sources import FASHION, LIFESTYLE, PhotoSource, SourceKind

GIVES: dict[str, tuple[str, ...]] = {
    "fashion": ("fashion",),
    "lifestyle": ("lifestyle", "sports"),
    "sports": ("sports",),
}
"""Categories of templates that come from a source of a category: some lifestyle captions speak of sport."""


class Mix(Form):
    """Shares of the three categories; sources are read until each category has its share."""

    enabled: bool = Field(False, title="Mix by shares", description="Replaces the limits of the sources.")
    total: int = Field(1100, title="Templates in all", ge=1)
    fashion: float = Field(0.6, title="Share of fashion", ge=0, le=1)
    lifestyle: float = Field(0.3, title="Share of lifestyle", ge=0, le=1)
    sports: float = Field(0.1, title="Share of sports", ge=0, le=1)

    def totals(self) -> dict[str, int]:
        """Templates of each category; they add up to `total` (largest remainders get what rounding leaves)."""
        wanted = {name: self.total * share for name, share in self._shares().items()}
        counts = {name: int(exact + 1e-9) for name, exact in wanted.items()}
        by_remainder = sorted(wanted, key=lambda name: counts[name] - wanted[name])
        for name in by_remainder[: self.total - sum(counts.values())]:
            counts[name] += 1
        return counts

    def _shares(self) -> dict[str, float]:
        return {"fashion": self.fashion, "lifestyle": self.lifestyle, "sports": self.sports}

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(self._shares().values()) - 1) > 1e-6:
            raise ValueError("the shares of fashion, lifestyle and sports must add up to 1")
        return self


class PhotoRules(Form):
    """Which photos are good enough to work with."""

    min_side_px: int = Field(256, title="Smallest side", ge=1, description="Pixels, after the EXIF orientation.")
    max_megapixels: int = Field(
        178, title="Largest photo", ge=1, le=178, description="Megapixels; larger ones are bombs."
    )
    near_duplicate_distance: int = Field(
        6, title="Near duplicate distance", ge=0, le=15, description="Bits of 64 in which two perceptual hashes differ."
    )


class KeypointRules(Form):
    """How the joints are found."""

    pose_model: str = Field(
        "yolov8n-pose",
        title="Pose model",
        description="Name of a model card, for photos without a readable OpenPose drawing; empty: drawings only.",
    )
    use_drawings: bool = Field(True, title="Read OpenPose drawings where the source has them")
    min_joints: int = Field(8, title="Fewest joints of 18", ge=1, le=18)
    joint_floor: float = Field(
        0.0,
        title="Joint confidence floor",
        ge=0,
        lt=1,
        description="Joints below are missing; 0: the model's own floor.",
    )
    person_floor: float = Field(0.0, title="Person score floor", ge=0, lt=1, description="0: the model's own floor.")


class Exports(Form):
    """Files for other programs, beside Postgres."""

    folders: bool = Field(False, title="Folders with metadata.json", description="fashion/, lifestyle/, sports/")
    parquet: bool = Field(False, title="Parquet for Hugging Face datasets")


class Seeding(Form):
    """How Postgres is filled."""

    enabled: bool = Field(True, title="Fill Postgres")
    force_retire: bool = Field(
        False, title="Retire more than 5 %", description="Allow one run to deactivate more than 5 % of our templates."
    )
    keypoints_form: Literal["openpose", "list"] = Field("openpose", title="Form of keypointsJson")
    tags_form: Literal["json", "comma"] = Field("json", title="Form of tags")


class PoseTemplatesForm(Form):
    """Parameters of the flow `pose_templates`."""

    sources: tuple[PhotoSource, ...] = Field((FASHION, LIFESTYLE), title="Sources", min_length=1)
    mix: Mix = Field(default_factory=Mix, title="Mix")
    photos: PhotoRules = Field(default_factory=PhotoRules, title="Photos")
    keypoints: KeypointRules = Field(default_factory=KeypointRules, title="Keypoints")
    exports: Exports = Field(default_factory=Exports, title="Exports")
    seeding: Seeding = Field(default_factory=Seeding, title="Postgres")
    shard_rows: int = Field(64, title="Rows per shard", ge=1, le=100_000, description="Unit of retry and resume.")
    controls: ControlsAsked = True

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two sources share a name: {names}")
        return self

    @model_validator(mode="after")
    def _something_can_be_kept(self) -> Self:
        for source in self.sources:
            rendered = source.kind is SourceKind.MANNEQUINS
            drawn = rendered or bool(source.columns.conditioning or source.conditioning_location)
            if not (drawn and self.keypoints.use_drawings) and (rendered or not self.keypoints.pose_model):
                raise ValueError(
                    f"source {source.name} would give nothing: its joints come from "
                    + ("drawings, which are not to be read" if drawn else "a pose model, and none is named")
                )
        if self.mix.enabled:
            given = {category for source in self.sources for category in GIVES[source.category]}
            lacking = [category for category, count in self.mix.totals().items() if count and category not in given]
            if lacking:
                raise ValueError(f"the mix wants {', '.join(lacking)}, and no source gives that")
        return self

    def build_params(self) -> dict[str, JsonValue]:
        """The parameters that say what is built, for the manifest: not where files of this machine lie."""
        params = self.model_dump(mode="json", exclude={"seeding", "exports", "shard_rows", "controls"})
        for source in params["sources"]:
            if source["kind"] != SourceKind.HUB:
                del source["location"], source["conditioning_location"]
        return params

    def quotas(self, source: PhotoSource) -> dict[str, int]:
        """How many templates of which category to keep from a source; `any` counts all categories together."""
        if not self.mix.enabled:
            return {"any": source.limit}
        totals = self.mix.totals()
        return {category: self._share_of(source, category, totals[category]) for category in GIVES[source.category]}

    def _share_of(self, source: PhotoSource, category: str, total: int) -> int:
        """Sources that give the same category share its quota evenly; the first ones take what is left over."""
        givers = [each.name for each in self.sources if category in GIVES[each.category]]
        return total // len(givers) + (givers.index(source.name) < total % len(givers))
