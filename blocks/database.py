"""Which Postgres holds the pose templates."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError
from tasks.schema.home import postgres_folder


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
        description="postgresql://user:password@host:5432/name; empty: the embedded Postgres under MANNEQUIN_HOME.",
    )

    @model_validator(mode="after")
    def _is_postgres(self) -> Self:
        url = self.url.get_secret_value()
        if "://" in url and not url.startswith("postgres"):
            raise ConfigError("The Database's URL must start with postgresql://.")
        return self

    def place(self) -> DatabasePlace:
        return DatabasePlace(self.url.get_secret_value(), postgres_folder())


def load_database(name: str = "default") -> DatabasePlace:
    """The Postgres that the Database block `name` says.

    Raises:
        ConfigError: no such block is saved.
    """
    return saved_or_default(Database, name).place()
