"""Which Prefect server, store, database and weights a command uses."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.schema.errors import ConfigError, SourceError
from tasks.schema.home import home, postgres_folder, server_record

if TYPE_CHECKING:
    from tasks.models.zoo import Zoo


def connect() -> str:
    """Choose the Prefect server, before Prefect is imported: PREFECT_API_URL, else the local one.

    Raises:
        ConfigError: there is none.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        return given
    record = server_record()
    url = json.loads(record.read_text())["url"] if record.exists() else ""
    if not url or not _answers(url):
        raise ConfigError("No Prefect server runs: `make up` starts one here, or set PREFECT_API_URL to yours.")
    os.environ |= {"PREFECT_API_URL": f"{url}/api", "PREFECT_HOME": str(home() / "prefect"), "DO_NOT_TRACK": "1"}
    return f"{url}/api"


def blocks_are_known(*names: str) -> bool:
    """Whether a server can be asked for blocks; without one only the defaults can be meant."""
    try:
        connect()
    except ConfigError:
        if set(names) != {"default"}:
            raise
        return False
    return True


def store_root(name: str) -> Path:
    """The root of the store that a block names."""
    if not blocks_are_known(name):
        return home()
    from blocks import load_store

    with server_explained():
        return load_store(name).root


def search_places(store: str, database: str, models: str) -> "tuple[Path, str, Zoo]":
    """The root of the store, the URI of the database and the weights that the blocks name."""
    if blocks_are_known(store, database, models):
        from blocks import load_database
        from tasks.machine.places import PlaceNames
        from tasks.machine.task import machine

        with server_explained():
            place = load_database(database)
            here = machine(PlaceNames(store=store, database=database, models=models))
        root, url, folder, zoo = here.store.root, place.url, place.embedded_folder, here.zoo
    else:
        from tasks.models.zoo import Zoo

        root, url, folder, zoo = home(), "", postgres_folder(), Zoo.from_environment()
    if not url and not folder.exists():
        raise SourceError(f"There is no database at {folder} yet: run the flow pose_templates first.")
    from tasks.catalog.embedded import start_embedded

    return root, url or start_embedded(folder), zoo


@contextmanager
def server_explained() -> Iterator[None]:
    """A server that was named and does not answer, in one line."""
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        server, said = os.environ["PREFECT_API_URL"], str(error).partition("\n")[0]
        raise ConfigError(f"The Prefect server at PREFECT_API_URL={server} gives no blocks: {said}") from error


def _answers(url: str) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=5) as reply:  # noqa: S310
            return bool(json.load(reply))
    except (OSError, ValueError):
        return False
