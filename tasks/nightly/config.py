"""What the flow `nightly` is asked for."""

from pydantic import Field

from tasks.schema.forms import Form


class NightlyForm(Form):
    """Parameters of the flow `nightly`; those of a dataset are saved on its own deployment."""

    deployments: tuple[str, ...] = Field(
        (),
        title="Deployments",
        description="Which ones to refresh, by name, as webbody/webbody; empty: all with the tag `dataset` that have "
        "a configuration.",
    )
    at_once: int = Field(
        2,
        ge=1,
        le=16,
        title="At once",
        description="How many refreshes run side by side in each work pool; each needs its own memory.",
    )
    hours: float = Field(
        20.0,
        gt=0,
        le=168,
        title="Hours at most",
        description="A refresh that takes longer is cancelled, and the others go on; what it made is found again.",
    )
