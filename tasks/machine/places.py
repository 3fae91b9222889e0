"""Where things are and with which credential: by the names of blocks, and as plain values."""

from dataclasses import dataclass

from pydantic import Field

from tasks.ingest.hub import HubAccess
from tasks.models.zoo import Zoo
from tasks.schema.forms import Form
from tasks.shards.store import Store


class PlaceNames(Form):
    """Names of the saved blocks that say where things are; `default` needs none."""

    store: str = Field("default", title="Store")
    database: str = Field("default", title="Database")
    hub: str = Field("default", title="Hugging Face account")
    models: str = Field("default", title="Model folder")
    network: str = Field("default", title="Outgoing network")


@dataclass(frozen=True)
class Network:
    """How addresses that a list names may be reached: the operator's settings, never part of a key.

    `allow_networks` are CIDRs inside the own network that may be fetched from all the same; empty: public addresses
    only. `contact` stands in the user agent.
    """

    allow_networks: tuple[str, ...] = ()
    contact: str = ""


@dataclass(frozen=True)
class Machine:
    """What this machine brings: where things are and with which credential. Never part of a key."""

    store: Store
    hub: HubAccess
    zoo: Zoo
    network: Network = Network()
