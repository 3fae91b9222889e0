"""The folder of this machine in which everything lives that no block puts elsewhere."""

import os
from pathlib import Path

from tasks.schema.errors import ConfigError

HOME_VARIABLE = "MANNEQUIN_HOME"


def home() -> Path:
    """`MANNEQUIN_HOME`, or `~/.mannequin`.

    Raises:
        ConfigError: the variable holds a relative path.
    """
    return absolute(os.environ.get(HOME_VARIABLE) or "~/.mannequin", HOME_VARIABLE)


def absolute(folder: str, what: str) -> Path:
    """A folder as a person wrote it, `~` expanded.

    Raises:
        ConfigError: the path is relative; runs start in different folders.
    """
    path = Path(folder).expanduser()
    if not path.is_absolute():
        raise ConfigError(f"{what} must be an absolute path, not {folder!r}: runs start in different folders.")
    return path


def postgres_folder() -> Path:
    """Data of the embedded Postgres."""
    return home() / "postgres"


def model_folder() -> Path:
    """Downloaded weights."""
    return home() / "models"


def server_record() -> Path:
    """JSON with the `url` of the local Prefect server, while one was started and not stopped."""
    return home() / "run" / "server.json"
