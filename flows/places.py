"""Which Prefect server, store, database and weights a command uses."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.schema.errors import ConfigError, SourceError
from tasks.schema.home import home, postgres_folder, server_record

if TYPE_CHECKING:
    from blocks.database import DatabasePlace
    from tasks.machine.places import Machine
    from tasks.shards.store import Store


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


def connect_if_there() -> None:
    """As `connect`, for who looks at parameters first: Prefect can be imported without a server too."""
    with suppress(ConfigError):
        connect()


def blocks_are_known(*names: str) -> bool:
    """Whether a server can be asked for blocks; without one only the defaults can be meant."""
    try:
        connect()
    except ConfigError:
        if set(names) != {"default"}:
            raise
        return False
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)  # else it tells at exit what it still sends
    return True


def named_store(name: str) -> "Store":
    """The store that a block names."""
    if blocks_are_known(name):
        from tasks.machine.task import store_of

        with server_explained():
            return store_of(name)
    from tasks.shards.opening import open_store

    return open_store(home())


def store_root(name: str) -> Path:
    """The folder of the store that a block names."""
    if not blocks_are_known(name):
        return home()
    from blocks import load_store

    with server_explained():
        return load_store(name).root


def this_machine(store: str, models: str) -> "Machine":
    """The store and the weights that the blocks name, and the hub and network of the defaults."""
    if blocks_are_known(store, models):
        from tasks.machine.places import PlaceNames
        from tasks.machine.task import machine_of

        with server_explained():
            return machine_of(PlaceNames(store=store, models=models))
    from tasks.ingest.hub import HubAccess
    from tasks.machine.places import Machine
    from tasks.models.zoo import Zoo
    from tasks.shards.opening import open_store

    return Machine(open_store(home()), HubAccess(), Zoo.from_environment())


def database_uri(name: str) -> str:
    """Of the database that a block names; the embedded one is started."""
    place = _database(name)
    if not place.url and not place.embedded_folder.exists():
        raise SourceError(f"There is no database at {place.embedded_folder} yet: run the flow pose_templates first.")
    from tasks.catalog.embedded import start_embedded

    return place.url or start_embedded(place.embedded_folder)


def has_database(name: str) -> bool:
    """Whether there is a database: the default one is there once a flow has used it."""
    return name != "default" or postgres_folder().exists() or bool(_database(name).url)


def _database(name: str) -> "DatabasePlace":
    known = blocks_are_known(name)
    from blocks.database import Database, load_database

    with server_explained():
        return load_database(name) if known else Database().place()


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
