"""Which Postgres holds the pose templates."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError
from tasks.schema.home import postgres_folder

URL = "MANNEQUIN_DATABASE_URL"


@dataclass(frozen=True)
class DatabasePlace:
    """A Postgres: its URL or conninfo with the password in it, or (empty) the folder of the embedded one."""

    url: str = field(repr=False)
    embedded_folder: Path


class Database(Block):
    """Which Postgres holds the pose templates: the embedded one unless a URL is given."""

    _block_type_name = "Mannequin Database"
    _block_type_slug = "mannequin-database"
    _description = "Which Postgres holds the pose templates of Mannequin."

    model_config = ConfigDict(hide_input_in_errors=True)

    url: SecretStr = Field(
        SecretStr(""),
        title="URL",
        description=f"postgresql://user:password@host:5432/name; empty: the variable {URL}, else the embedded one.",
    )

    @model_validator(mode="after")
    def _is_postgres(self) -> Self:
        _checked(self.url.get_secret_value(), "The Database's URL")
        return self

    def place(self) -> DatabasePlace:
        url = self.url.get_secret_value() or _checked(os.environ.get(URL, ""), URL)
        return DatabasePlace(url, postgres_folder())


def _checked(url: str, what: str) -> str:
    if "://" in url and not url.startswith("postgres"):
        raise ConfigError(f"{what} must start with postgresql://.")
    return url


def load_database(name: str = "default") -> DatabasePlace:
    """The Postgres that the Database block `name` says.

    Raises:
        ConfigError: no such block is saved, or the variable holds no address of a Postgres.
    """
    return saved_or_default(Database, name).place()
