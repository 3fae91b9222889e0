"""Where shards, builds and exports live."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError
from tasks.schema.home import absolute, home


@dataclass(frozen=True)
class StorePlace:
    """The folder of a store, and the address under which a web server publishes it (empty: nobody does).

    With a `url` the store is in that bucket, at `endpoint` (empty: Amazon's), and the folder is a working copy; `key`
    and `secret` are its credentials (empty: those that AWS clients find by themselves).
    """

    root: Path
    public_url: str
    url: str = ""
    endpoint: str = ""
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


class Store(Block):
    """Where shards, builds and exports live: one folder or one bucket, shared by any number of runs."""

    _block_type_name = "Mannequin Store"
    _block_type_slug = "mannequin-store"
    _description = "Where shards, builds and exports of Mannequin live."

    model_config = ConfigDict(hide_input_in_errors=True)

    root: str = Field(
        "",
        title="Folder",
        description="Absolute folder; empty: the variable MANNEQUIN_HOME, or ~/.mannequin. Of a store in a bucket this "
        "machine's working copy; empty: a folder below those.",
    )
    public_url: str = Field(
        "",
        title="Public URL",
        description="Address under which its folder public/ is served, as https://cdn.example.org; empty: it is not.",
    )
    url: str = Field(
        "", title="Bucket", description="s3://bucket/prefix, to share the store among machines; empty: the folder."
    )
    endpoint: str = Field(
        "", title="Endpoint", description="Address of a server that speaks S3, as https://minio:9000; empty: Amazon's."
    )
    key: SecretStr = Field(
        SecretStr(""), title="Access key", description="Empty: from the AWS environment, profile or machine role."
    )
    secret: SecretStr = Field(SecretStr(""), title="Secret key", description="That of the access key.")

    @model_validator(mode="after")
    def _places_are_complete(self) -> Self:
        if self.root:
            absolute(self.root, "The Store's folder")
        for what, address in (("public URL", self.public_url), ("endpoint", self.endpoint)):
            if address and not address.startswith(("https://", "http://")):
                raise ConfigError(f"The Store's {what} must start with https:// or http://, not {address!r}.")
        if self.url and not self.url.startswith("s3://"):
            raise ConfigError(f"The Store's bucket is named s3://bucket/prefix, not {self.url!r}.")
        return self

    def place(self) -> StorePlace:
        return StorePlace(
            absolute(self.root, "The Store's folder") if self.root else _default_root(self.url),
            self.public_url.rstrip("/"),
            self.url.rstrip("/"),
            self.endpoint,
            self.key.get_secret_value(),
            self.secret.get_secret_value(),
        )


def _default_root(url: str) -> Path:
    """A bucket's working copy is no store of its own, and lies apart from one."""
    name = re.sub(r"[^a-z0-9.-]+", "_", url.removeprefix("s3://").lower().rstrip("/"))
    return home() / "buckets" / name if url else home()


def load_store(name: str = "default") -> StorePlace:
    """The place that the Store block `name` says.

    Raises:
        ConfigError: no such block is saved, or its folder is not absolute.
    """
    return saved_or_default(Store, name).place()
