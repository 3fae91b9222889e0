"""Where shards, builds and exports live."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError
from tasks.schema.home import absolute, home


@dataclass(frozen=True)
class StorePlace:
    """The folder of a store, and the address under which a web server publishes it (empty: nobody does)."""

    root: Path
    public_url: str


class Store(Block):
    """Where shards, builds and exports live: one folder, shared by any number of runs."""

    _block_type_name = "Mannequin Store"
    _block_type_slug = "mannequin-store"
    _description = "Where shards, builds and exports of Mannequin live."

    root: str = Field(
        "", title="Folder", description="Absolute folder; empty: the variable MANNEQUIN_HOME, or ~/.mannequin."
    )
    public_url: str = Field(
        "",
        title="Public URL",
        description="Address under which its folder public/ is served, as https://cdn.example.org; empty: it is not.",
    )

    @model_validator(mode="after")
    def _places_are_complete(self) -> Self:
        if self.root:
            absolute(self.root, "The Store's folder")
        if self.public_url and not self.public_url.startswith(("https://", "http://")):
            raise ConfigError(f"The Store's public URL must start with https:// or http://, not {self.public_url!r}.")
        return self

    def place(self) -> StorePlace:
        root = absolute(self.root, "The Store's folder") if self.root else home()
        return StorePlace(root, self.public_url.rstrip("/"))


def load_store(name: str = "default") -> StorePlace:
    """The place that the Store block `name` says.

    Raises:
        ConfigError: no such block is saved, or its folder is not absolute.
    """
    return saved_or_default(Store, name).place()
