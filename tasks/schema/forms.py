"""Parameters that a person fills in, in the Prefect UI or in JSON: titles, descriptions, bounds; no unions."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Form(BaseModel):
    """Base of flow parameters: immutable, no unknown fields, values as JSON gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ControlsAsked = Annotated[
    bool,
    Field(
        title="Controls",
        description="Send samples of known truth through the same stages, apart from the dataset; tell what came back.",
    ),
]
