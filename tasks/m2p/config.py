"""The parameters of the flow `music_to_pose`, as a person fills them in."""

from typing import Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from tasks.body.smooth import Smoothing
from tasks.dance.audit import AuditConfig
from tasks.dance.clips import ClipsConfig
from tasks.dance.cut import CutConfig
from tasks.dance.music import MusicConfig
from tasks.dance.poses import PosesConfig
from tasks.dance.reference import ReferenceConfig
from tasks.dance.split import SplitConfig
from tasks.dance.videos import DanceRules
from tasks.m2p.fetch import FetchRules
from tasks.m2p.sources import DanceSource
from tasks.schema.forms import ControlsAsked, Form

Step = Literal["dance", "clips", "cut_clips", "poses", "reference", "music", "audit", "split", "exports"]

STEPS: Final[tuple[Step, ...]] = (
    "dance",
    "clips",
    "cut_clips",
    "poses",
    "reference",
    "music",
    "audit",
    "split",
    "exports",
)
"""In order; a step's name is that of its stage."""

PER_VIDEO: Final = STEPS[: STEPS.index("split")]
"""Steps that look at one video at a time."""

ExportFormat = Literal["folders", "parquet", "webdataset"]


class ExportRules(Form):
    """What is written of a finished dataset, and where."""

    output: str = Field("", title="Output folder", description="Absolute; empty: in the store.")
    formats: tuple[ExportFormat, ...] = Field(
        ("folders",), title="Formats", description="folders: train/, validation/ and metadata.json."
    )
    smoothing: Smoothing = Field(
        default_factory=Smoothing,
        title="Smoothing",
        description="Of the poses that are written; Parquet keeps those of the model beside them.",
    )
    shown: int = Field(24, title="Samples shown", ge=0, le=500, description="On the page to look at.")
    played: int = Field(
        4, title="Samples played", ge=0, le=500, description="As clips beside their skeletons and their music."
    )


class ReferenceRules(Form):
    """How the reference picture and the face are found."""

    detector: str = Field("retinaface-resnet50", title="Face detector", description="The name of its card.")
    recogniser: str = Field("auraface-v1", title="Face recognition", description="The name of its card.")
    allow_remote_code: bool = Field(
        False, title="Run the model's code", description="Of a recogniser whose repository brings its own."
    )
    candidates: int = Field(
        12, title="Frames looked at", ge=1, le=64, description="Frames of a clip, spread over it, with the best heads."
    )

    def config(self) -> ReferenceConfig:
        """As the stage wants it; floors are those of the models."""
        return ReferenceConfig(
            detector=self.detector,
            recogniser=self.recogniser,
            remote_code=self.allow_remote_code,
            candidates=self.candidates,
        )


class MusicToPoseForm(Form):
    """Parameters of the flow `music_to_pose`."""

    sources: tuple[DanceSource, ...] = Field(title="Sources", min_length=1)
    fetch: FetchRules = Field(default_factory=FetchRules, title="Fetching")
    video: DanceRules = Field(default_factory=DanceRules, title="Videos")
    clips: ClipsConfig = Field(default_factory=ClipsConfig, title="Clips")
    cut: CutConfig = Field(default_factory=CutConfig, title="Files of clips")
    poses: PosesConfig = Field(default_factory=PosesConfig, title="Poses")
    reference: ReferenceRules = Field(default_factory=ReferenceRules, title="Reference picture")
    music: MusicConfig = Field(default_factory=MusicConfig, title="Music")
    audit: AuditConfig = Field(default_factory=AuditConfig, title="Audit")
    split: SplitConfig = Field(default_factory=SplitConfig, title="Split")
    exports: ExportRules = Field(default_factory=ExportRules, title="Exports")
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
    def last_per_video(self) -> Step:
        """The last step that looks at one video at a time."""
        return PER_VIDEO[min(STEPS.index(self.until), len(PER_VIDEO) - 1)]

    def build_params(self) -> dict[str, JsonValue]:
        """The parameters that say what is built, for the manifest: not where files lie."""
        params = self.model_dump(mode="json", exclude={"exports", "fetch", "until", "only_stages", "controls"})
        for source in params["sources"]:
            del source["location"]
        return params
