"""What a night does: the deployments that have a configuration, in order, and the datasets that have none."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from pydantic import Field

from tasks.schema.errors import ConfigError, MannequinError
from tasks.schema.records import Frozen


class RefreshFailedError(MannequinError):
    """A refresh did not end well; trying again does not help."""


class RefreshCrashedError(MannequinError):
    """A refresh lost its worker, or found none; trying again later may help."""


class NightFailedError(MannequinError):
    """Some refreshes of a night did not end well; all others are done."""


class Deployed(Frozen):
    """A deployment as the server knows it; `configured`: parameters with a `config` are saved on it."""

    id: UUID
    flow: str
    name: str
    pool: str
    configured: bool

    @property
    def full_name(self) -> str:
        """As `prefect deployment run` takes it."""
        return f"{self.flow}/{self.name}"


class Outcome(Frozen):
    """What became of one dataset or deployment in a night."""

    deployment: str
    state: str
    seconds: float = 0.0
    message: str = ""
    well: bool = True

    def __str__(self) -> str:
        return f"{self.deployment} {self.state}, {self.seconds:.0f} s. {self.message}".rstrip(" .") + "."


class NightSummary(Frozen):
    """What became of all of them."""

    outcomes: tuple[Outcome, ...] = Field(title="Refreshed")


class Night(Frozen):
    """What a night refreshes, in this order, and what it leaves out."""

    refreshes: tuple[Deployed, ...]
    skipped: tuple[Outcome, ...]


def plan_night(deployed: Iterable[Deployed], wanted: Sequence[str]) -> Night:
    """The deployments of a night, by name, and each dataset that has no configured one.

    Args:
        deployed: all deployments of datasets.
        wanted: full names, in the order in which they are refreshed; none: every configured one.

    Raises:
        ConfigError: there is no deployment of a name.
    """
    known = {each.full_name: each for each in sorted(deployed, key=lambda each: each.full_name)}
    unknown = sorted(set(wanted) - known.keys())
    if unknown:
        there = ", ".join(known) or "none with the tag `dataset`"
        raise ConfigError(f"There is no deployment {', '.join(unknown)}; there is {there}.")
    chosen = [known[name] for name in dict.fromkeys(wanted)] if wanted else list(known.values())
    refreshes = tuple(each for each in chosen if each.configured)
    left = [each for each in chosen if not each.configured]
    if not wanted:  # of a dataset that is refreshed by another deployment nothing needs to be told
        busy = {each.flow for each in refreshes}
        left = [each for each in left if each.flow not in busy and each.flow == each.name]
    return Night(refreshes=refreshes, skipped=tuple(_without_config(each) for each in left))


def demand_all_well(outcomes: Sequence[Outcome]) -> None:
    """The end of a night of which something failed.

    Raises:
        NightFailedError: names what did not end well, and why.
    """
    failed = [each for each in outcomes if not each.well]
    if failed:
        told = "; ".join(f"{each.deployment} {each.state}: {each.message}" for each in failed)
        raise NightFailedError(f"{len(failed)} of {len(outcomes)} did not end well, the others are done. {told}")


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """The outcomes as a table."""
    return [
        {
            "deployment": each.deployment,
            "state": each.state,
            "seconds": round(each.seconds, 1),
            "message": each.message,
        }
        for each in outcomes
    ]


def _without_config(deployment: Deployed) -> Outcome:
    return Outcome(
        deployment=deployment.full_name,
        state="Skipped",
        message=f"It has no configuration: mannequin save {deployment.full_name} --config my.json",
    )
