"""The parameters of the flow `runway_street`, as a person fills them in."""

from typing import Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from tasks.exports.fashion_similar import SimilarRules
from tasks.fashion.embed import EmbedConfig
from tasks.fashion.groups import GroupConfig
from tasks.fashion.sources import LookSource
from tasks.fashion.training import ClassifierConfig
from tasks.fashion.trends import TrendConfig
from tasks.schema.fashion import RUNWAY, STREET
from tasks.schema.forms import ControlsAsked, Form

Step = Literal["looks", "inspect", "labels", "embed", "groups", "classifier", "predict", "trends", "exports"]

STEPS: Final[tuple[Step, ...]] = (
    "looks",
    "inspect",
    "labels",
    "embed",
    "groups",
    "classifier",
    "predict",
    "trends",
    "exports",
)
"""In order; a step's name is that of its stage."""

PER_PART: Final = STEPS[: STEPS.index("groups")]
"""Steps that look at one part of a source at a time, before anything is learned."""


class ExportRules(Form):
    """What is written of a finished build, and where."""

    output: str = Field("", title="Output folder", description="Absolute; empty: in the store.")
    similar: SimilarRules = Field(default_factory=SimilarRules, title="Similar looks")
    audit_photos: int = Field(
        200,
        title="Photos to audit",
        ge=0,
        le=2_000,
        description="Of each side, drawn by chance for a person to label; `mannequin verdicts --of looks` reads them.",
    )


class RunwayStreetForm(Form):
    """Parameters of the flow `runway_street`."""

    sources: tuple[LookSource, ...] = Field(title="Sources", min_length=1)
    min_side_px: int = Field(64, title="Smallest side", ge=16, description="Pixels; smaller photos are left out.")
    embedding: EmbedConfig = Field(default_factory=EmbedConfig, title="Embeddings")
    grouping: GroupConfig = Field(default_factory=GroupConfig, title="Groups")
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig, title="Classifier")
    trends: TrendConfig = Field(default_factory=TrendConfig, title="Trends")
    exports: ExportRules = Field(default_factory=ExportRules, title="Exports")
    part_rows: int = Field(
        2000, title="Photos in a shard", ge=1, le=100_000, description="How much a killed run does again at most."
    )
    until: Step = Field("exports", title="Until", description="The last step to take.")
    only_stages: tuple[Step, ...] = Field(
        (), title="Only these steps", description="Empty: all; else what they need must have been made before."
    )
    controls: ControlsAsked = True

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"sources: each wants a name of its own, not {', '.join(names)}")
        sides = {source.side for source in self.sources}
        if "trends" in self.reached and sides != {RUNWAY, STREET}:
            (only,) = sides
            raise ValueError(f"sources: all are of the {only}; add one of the other side, or set `until` to predict")
        return self

    @property
    def reached(self) -> tuple[Step, ...]:
        """The steps up to the last one, in order, whether this run takes them or needs them made before."""
        return STEPS[: STEPS.index(self.until) + 1]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that this run takes, in order."""
        return tuple(step for step in self.reached if not self.only_stages or step in self.only_stages)

    @property
    def last_per_part(self) -> Step:
        """The last step that looks at one part at a time, before anything is learned."""
        return PER_PART[min(STEPS.index(self.until), len(PER_PART) - 1)]

    def build_params(self) -> dict[str, JsonValue]:
        """The parameters that say what is built, for the manifest: not where files lie."""
        params = self.model_dump(mode="json", exclude={"exports", "until", "only_stages", "controls"})
        for source in params["sources"]:
            del source["location"]
            del source["images"]
        return params
