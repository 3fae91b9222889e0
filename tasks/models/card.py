"""What we know about a model before we load it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tasks.models.embedding import EmbeddingSpec
from tasks.models.image_spec import ImageSpec
from tasks.schema.records import Frozen

Family = Literal[
    "ultralytics-pose",
    "onnx-pose",
    "onnx-wholebody",
    "retinaface",
    "onnx-recognition",
    "timm-recognition",
    "kprpe-recognition",
    "timm-image",
    "open-clip-image",
]
"""Which wrapper loads a file."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ModelCard(Frozen):
    """One file of weights: where it comes from, how it is known to be the right one, and what it asks for.

    It comes from `url`, or from `hub_path` in the Hugging Face repository `hub_repo` at the commit `revision`, or (both
    empty) from nowhere that we may download from: then somebody has to put it in place. `sha256` is None only where
    nobody can know it. `thresholds` are those that belong to this model, by name; `embedding` is what a recognition
    model takes and gives, `image` what a model of whole pictures does.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    file_name: str = Field(pattern=r"^[^/\\\x00]+$")
    family: Family
    url: str = Field("", pattern=r"^(https?://\S+)?$")
    hub_repo: str = Field("", pattern=r"^([\w.-]+/[\w.-]+)?$")
    hub_path: str = ""
    revision: str
    sha256: Sha256 | None
    size_bytes: int | None = Field(None, gt=0)
    licence: str
    non_commercial: bool = False
    input_spec: str
    thresholds: Mapping[str, float] = Field(default_factory=dict)
    embedding: EmbeddingSpec | None = None
    image: ImageSpec | None = None
    origin: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> "ModelCard":
        if self.url and self.hub_repo:
            raise ValueError(f"{self.name}: give a URL or a hub repository, not both")
        if bool(self.hub_repo) != bool(self.hub_path):
            raise ValueError(f"{self.name}: a hub repository needs a path, and a path needs a repository")
        if self.hub_repo and len(self.revision) != 40:
            raise ValueError(f"{self.name}: pin the hub repository to a commit, not to {self.revision!r}")
        return self

    @property
    def downloadable(self) -> bool:
        return bool(self.url or self.hub_repo)

    @property
    def source(self) -> str:
        """The URL, the place on the hub, or in words where the file comes from."""
        return self.url or (f"{self.hub_repo}/{self.hub_path}@{self.revision}" if self.hub_repo else self.origin)
