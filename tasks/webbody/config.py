"""The parameters of the flow `webbody`, as a person fills them in."""

from typing import Literal, Self, get_args

from pydantic import Field, JsonValue, model_validator

from tasks.download.consent import ConsentPolicy
from tasks.models.card import Family
from tasks.models.cards import CARDS
from tasks.schema.forms import ControlsAsked, Form
from tasks.schema.url_sources import UrlSource

BundleFormat = Literal["recordio", "webdataset", "parquet"]

Step = Literal[
    "urls",
    "download",
    "people",
    "faces",
    "recognise",
    "gate",
    "neighbours",
    "identities",
    "clean",
    "members",
    "exports",
]

STEPS: tuple[Step, ...] = get_args(Step)
"""In order. The seed's letters: a urls, b download, c people, d faces, e recognise, f identities, g clean, i and j
members and exports."""

PER_PART = STEPS[: STEPS.index("neighbours")]
"""Steps that look at one part of a list at a time."""

JOINED = STEPS[STEPS.index("neighbours") : STEPS.index("exports")]
"""Steps that look at all parts together."""

STAGES: dict[Step, tuple[str, ...]] = {
    "download": ("download", "retry_urls", "released_urls", "consent"),
    "identities": ("neighbours", "identities"),
    "clean": ("verdicts", "validation", "clean"),
    "exports": (),
}
"""Names of a step's stages, where they are not the step's own name."""


class Purpose(Form):
    """Why this is built and under which law; written to the manifest and to the dataset card."""

    purpose: str = Field(title="Purpose", min_length=3, description="What the dataset is for, in a sentence.")
    legal_basis: str = Field(title="Legal basis", min_length=3, description="As GDPR Art. 6(1)(f), or consent.")
    jurisdiction: str = Field(
        title="Jurisdiction",
        min_length=2,
        description="Where it is built and used. In the EU untargeted scraping for face recognition is prohibited.",
    )

    @model_validator(mode="after")
    def _somebody_said_it(self) -> Self:
        for name, said in self:
            if said.startswith("Say here"):
                raise ValueError(f"{name}: say it in your own words; it stands in the manifest and in the dataset card")
        return self


class DownloadRules(Form):
    """How the addresses are fetched."""

    image_px: int = Field(640, title="Side of the photos", ge=64, le=4096, description="Pixels, border included.")
    jpeg_quality: int = Field(95, title="JPEG quality", ge=50, le=100)
    max_megabytes: int = Field(32, title="Largest answer", ge=1, le=1024, description="Megabytes.")
    timeout_s: float = Field(20.0, title="Seconds a URL", gt=0, le=600)
    max_tries: int = Field(6, title="Tries", ge=1, le=20, description="In all, over several runs.")
    first_pause_h: float = Field(1.0, title="First pause", ge=0, description="Hours before what failed is tried again.")
    respect_opt_out: bool = Field(
        True, title="Respect opt-outs", description="Else only the block list counts; what servers say is recorded."
    )
    consent: ConsentPolicy = Field(default_factory=ConsentPolicy, title="Opt-outs")
    threads: int = Field(64, title="Threads", ge=1, le=1024, description="Of each of the runner's workers.")
    wandb: bool = Field(False, title="Weights & Biases", description="img2dataset's own switch.")

    @model_validator(mode="before")
    @classmethod
    def _runner_distributes(cls, given: object) -> object:
        """Parameters that were saved before the runner was one name a distributor of their own."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in ("processes", "distributor")}


class BodyRules(Form):
    """Who on a photo is kept."""

    model: str = Field("yolov8n-pose", title="Pose model", description="Name of a model card.")
    person_floor: float = Field(0.7, title="Person score floor", gt=0, lt=1)
    max_people: int = Field(6, title="People a photo", ge=1, le=100)
    padding: float = Field(0.05, title="Padding", ge=0, le=1, description="Share of the box, a side.")


class FaceRules(Form):
    """Which faces are faces."""

    model: str = Field("retinaface-resnet50", title="Face detector", description="Name of a model card.")
    score_floor: float = Field(0.0, title="Score floor", ge=0, lt=1, description="0: the model's own floor.")
    min_side_px: float = Field(16.0, title="Smallest face", ge=1, description="Pixels, longer side of the box.")


class RecognitionRules(Form):
    """Who recognises, and which faces are good enough for it."""

    model: str = Field("auraface-v1", title="Recogniser", description="Name of a model card.")
    allow_remote_code: bool = Field(
        False,
        title="Allow remote code",
        description="KP-RPE only: runs code of its repository, at a pinned commit.",
    )
    keep_embeddings: bool = Field(
        False,
        title="Keep embeddings",
        description="Else they are erased after cleaning, and computed again when the dataset grows.",
    )


class IdentityRules(Form):
    """How faces become identities."""

    linkage: Literal["global", "per_label", "density"] = Field(
        "global",
        title="Linkage",
        description="per_label: the reference's way, with its raw cosine of 0.30. density: HDBSCAN, on a GPU only.",
    )
    false_match_rate: float = Field(
        0.0, title="False-match rate", ge=0, lt=1, description="Of a link; 0: by the number of faces."
    )


class CleaningRules(Form):
    """What is taken out of the identities."""

    face_floor: float = Field(0.95, title="Face score floor", ge=0, lt=1)
    min_images: int = Field(2, title="Fewest images of an identity", ge=1)
    validation: str = Field(
        "",
        title="Validation build",
        pattern=r"^([0-9a-f]{64})?$",
        description="Manifest of a build that kept its embeddings, and whose people must not be in this one.",
    )
    reference_thresholds: bool = Field(
        False, title="Reference's thresholds", description="Raw cosines 0.7, 0.6 and 0.9; made for KP-RPE."
    )


class SplitRules(Form):
    """Shares of the splits; by persistent groups, so that nobody moves from test to train."""

    validation: float = Field(0.1, title="Validation", ge=0, lt=1)
    test: float = Field(0.1, title="Test", ge=0, lt=1)

    @model_validator(mode="after")
    def _train_is_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("nothing is left for training")
        return self


class SubsetRules(Form):
    """wb_testing, wb12m and wb4m, by the reference's rules (bounds are exclusive)."""

    testing_identities: int = Field(4000, title="Identities of wb_testing", ge=0)
    testing_min_images: int = Field(30, title="wb_testing: more images than", ge=0)
    testing_max_images: int = Field(150, title="wb_testing: fewer images than", ge=1)
    testing_min_hidden: int = Field(30, title="wb_testing: more hidden faces than", ge=-1)
    testing_max_hidden: int = Field(70, title="wb_testing: fewer hidden faces than", ge=0)
    pool_share: float = Field(0.48, title="Pool", gt=0, le=1, description="Share of the largest other identities.")
    wb12m_share: float = Field(0.70, title="wb12m", gt=0, le=1, description="Share of the pool.")
    wb4m_share: float = Field(0.25, title="wb4m", gt=0, le=1, description="Share of the pool; a part of wb12m.")


class ExportRules(Form):
    """Files for other programs, each on request."""

    recordio: bool = Field(False, title="MXNet RecordIO", description="train.rec, .idx, .tsv at 384 px.")
    webdataset: bool = Field(False, title="WebDataset")
    parquet: bool = Field(False, title="Parquet for Hugging Face datasets", description="With card and Croissant.")
    subsets: bool = Field(True, title="Subsets", description="Lists and bundles of wb4m, wb12m and wb_testing.")
    review: Literal["none", "label_studio", "fiftyone"] = Field(
        "none", title="Doubtful faces", description="Pairs to look at; verdicts come back with `mannequin verdicts`."
    )
    intermediate: bool = Field(
        False, title="Intermediate folders", description="Photos, bodies and faces under the seed's folder names."
    )
    side_px: int = Field(384, title="Longest side", ge=32, le=640)

    @property
    def formats(self) -> tuple[BundleFormat, ...]:
        """The formats of the bundles that were asked for."""
        asked: dict[BundleFormat, bool] = {
            "recordio": self.recordio,
            "webdataset": self.webdataset,
            "parquet": self.parquet,
        }
        return tuple(name for name, wanted in asked.items() if wanted)


class Share(Form):
    """Which parts of the lists this run works on: for several GPUs, one run each."""

    index: int = Field(0, title="This run", ge=0)
    count: int = Field(1, title="Runs in all", ge=1)

    @model_validator(mode="after")
    def _index_below_count(self) -> Self:
        if self.index >= self.count:
            raise ValueError(f"runs count from 0: {self.index} of {self.count} is none")
        return self


class WebBodyForm(Form):
    """Parameters of the flow `webbody`."""

    sources: tuple[UrlSource, ...] = Field(title="URL lists", min_length=1)
    purpose: Purpose = Field(title="Purpose")
    download: DownloadRules = Field(default_factory=DownloadRules, title="Download")
    bodies: BodyRules = Field(default_factory=BodyRules, title="Bodies")
    faces: FaceRules = Field(default_factory=FaceRules, title="Faces")
    recognition: RecognitionRules = Field(default_factory=RecognitionRules, title="Recognition")
    identities: IdentityRules = Field(default_factory=IdentityRules, title="Identities")
    cleaning: CleaningRules = Field(default_factory=CleaningRules, title="Cleaning")
    splits: SplitRules = Field(default_factory=SplitRules, title="Splits")
    subsets: SubsetRules = Field(default_factory=SubsetRules, title="Subsets")
    exports: ExportRules = Field(default_factory=ExportRules, title="Exports")
    until: Step = Field("exports", title="Until", description="The last step to take.")
    only_stages: tuple[Step, ...] = Field(
        (), title="Only these steps", description="Empty: all; else what they need must have been made before."
    )
    share: Share = Field(default_factory=Share, title="Share of the work")
    part_rows: int = Field(1000, title="URLs per shard", ge=1, le=100_000, description="Unit of retry and resume.")
    controls: ControlsAsked = True

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two lists share a name: {names}")
        return self

    @model_validator(mode="after")
    def _models_are_known(self) -> Self:
        named: dict[str, tuple[str, tuple[Family, ...]]] = {
            "bodies": (self.bodies.model, ("ultralytics-pose", "onnx-pose")),
            "faces": (self.faces.model, ("retinaface",)),
            "recognition": (self.recognition.model, ("onnx-recognition", "timm-recognition", "kprpe-recognition")),
        }
        for part, (name, families) in named.items():
            known = [card.name for card in CARDS if card.family in families]
            if name not in known:
                raise ValueError(f"{part}.model: there is no {name!r}; there is {', '.join(known)}")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that this run takes, in order."""
        wanted = STEPS[: STEPS.index(self.until) + 1]
        if self.share.count > 1:
            wanted = tuple(step for step in wanted if step in PER_PART)
        return tuple(step for step in wanted if not self.only_stages or step in self.only_stages)

    @property
    def last_look(self) -> Step | None:
        """The last of this run's steps that look at pixels or faces one part at a time; None: it takes none."""
        looks = [step for step in self.steps if step in PER_PART[PER_PART.index("people") :]]
        return looks[-1] if looks else None

    @property
    def stages(self) -> frozenset[str]:
        """Names of the stages that may run."""
        return frozenset(stage for step in self.steps for stage in STAGES.get(step, (step,)))

    def build_params(self) -> dict[str, JsonValue]:
        """The parameters that say what is built, for the manifest: not where files lie, nor how the work is shared."""
        params = self.model_dump(
            mode="json", exclude={"exports", "until", "only_stages", "share", "part_rows", "controls"}
        )
        for source in params["sources"]:
            if not source["location"].startswith(("https://", "http://", "hf://")):
                del source["location"]
        for where in ("threads", "wandb"):
            del params["download"][where]
        del params["download"]["consent"]["block_list"]
        return params
