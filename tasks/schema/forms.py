"""Parameters that a person fills in, in the Prefect UI or in JSON: titles, descriptions, bounds; no unions."""

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """Base of flow parameters: immutable, no unknown fields, values as JSON gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
