"""How addresses that a URL list names may be reached."""

import os
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError

ALLOW = "MANNEQUIN_ALLOW_NETWORKS"


@dataclass(frozen=True)
class NetworkPlace:
    """Networks (CIDRs) inside the own ones that may be fetched from, and a contact for the user agent."""

    allow_networks: tuple[str, ...]
    contact: str


class Network(Block):
    """How addresses that a URL list names may be reached: public ones only, unless networks are named here."""

    _block_type_name = "Mannequin Network"
    _block_type_slug = "mannequin-network"
    _description = "How Mannequin reaches the addresses that a URL list names."

    allow_networks: list[str] = Field(
        default_factory=list,
        title="Allowed networks",
        description=f"CIDRs that are not public and may be fetched from, as 10.1.0.0/16; empty: the variable {ALLOW}.",
    )
    contact: str = Field(
        "", title="Contact", description="Address of a page or a mailbox; stands in the user agent of downloads."
    )

    @model_validator(mode="after")
    def _networks_read(self) -> Self:
        _checked(self.allow_networks)
        return self

    def place(self) -> NetworkPlace:
        named = self.allow_networks or os.environ.get(ALLOW, "").replace(",", " ").split()
        return NetworkPlace(_checked(named), self.contact)


def _checked(networks: list[str]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(each)) for each in networks)
    except ValueError as error:
        raise ConfigError(f"A network is written as 10.1.0.0/16: {error}.") from error


def load_network(name: str = "default") -> NetworkPlace:
    """What the Network block `name` says.

    Raises:
        ConfigError: no such block is saved, or a network of the variable does not read.
    """
    return saved_or_default(Network, name).place()
