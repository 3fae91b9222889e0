"""Where model weights are kept."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.saved import saved_or_default
from tasks.schema.home import absolute, model_folder


@dataclass(frozen=True)
class ModelFolder:
    """Where weights are, and whether those may be loaded whose digest nobody published.

    `given` (the variable MANNEQUIN_MODELS) is looked in first and never written to; downloads go to `folder`.
    """

    folder: Path
    given: Path | None
    trust_unknown_digest: bool


class ModelZoo(Block):
    """Where model weights are kept, and whether those without a published digest may be loaded."""

    _block_type_name = "Mannequin Model Zoo"
    _block_type_slug = "mannequin-model-zoo"
    _description = "Where Mannequin keeps model weights."

    folder: str = Field(
        "", title="Folder", description="Absolute folder; empty: models/ under MANNEQUIN_HOME. Downloads go here."
    )
    trust_unknown_digest: bool = Field(
        False,
        title="Trust unknown digests",
        description="Load weights whose digest nobody published; the first download records it.",
    )

    @model_validator(mode="after")
    def _folder_is_absolute(self) -> Self:
        if self.folder:
            absolute(self.folder, "The ModelZoo's folder")
        return self

    def place(self) -> ModelFolder:
        folder = absolute(self.folder, "The ModelZoo's folder") if self.folder else model_folder()
        given = os.environ.get("MANNEQUIN_MODELS")
        return ModelFolder(folder, Path(given).expanduser().absolute() if given else None, self.trust_unknown_digest)


def load_models(name: str = "default") -> ModelFolder:
    """The folder that the ModelZoo block `name` says.

    Raises:
        ConfigError: no such block is saved, or its folder is not absolute.
    """
    return saved_or_default(ModelZoo, name).place()
