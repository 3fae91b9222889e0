"""With which account the Hugging Face hub is read."""

from dataclasses import dataclass, field
from typing import Self

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, model_validator

from blocks.saved import saved_or_default
from tasks.schema.errors import ConfigError


@dataclass(frozen=True)
class HubCredentials:
    """Address of the hub without a trailing slash, and a token; None leaves either to the hub's client."""

    endpoint: str | None
    token: str | None = field(repr=False)


class HubAccount(Block):
    """With which account the Hugging Face hub is read: anonymously unless a token is given."""

    _block_type_name = "Mannequin Hub Account"
    _block_type_slug = "mannequin-hub-account"
    _description = "With which account Mannequin reads the Hugging Face hub."

    model_config = ConfigDict(hide_input_in_errors=True)

    token: SecretStr = Field(
        SecretStr(""), title="Token", description="A read token; empty: the variable HF_TOKEN, else anonymous."
    )
    endpoint: str = Field(
        "",
        title="Endpoint",
        description="Address of a mirror; empty: the variable HF_ENDPOINT, or https://huggingface.co.",
    )

    @model_validator(mode="after")
    def _endpoint_is_an_address(self) -> Self:
        if self.endpoint and not self.endpoint.startswith(("https://", "http://")):
            raise ConfigError("The HubAccount's endpoint must start with https:// or http://.")
        return self

    def credentials(self) -> HubCredentials:
        return HubCredentials(self.endpoint.rstrip("/") or None, self.token.get_secret_value() or None)


def load_hub(name: str = "default") -> HubCredentials:
    """The credentials that the HubAccount block `name` holds.

    Raises:
        ConfigError: no such block is saved.
    """
    return saved_or_default(HubAccount, name).credentials()
