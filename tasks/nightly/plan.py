"""What a night does: the deployments that have a configuration, in order, and the datasets that have none."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from pydantic import Field

from tasks.nightly.changes import Change
from tasks.schema.errors import ConfigError, MannequinError
from tasks.schema.records import Frozen


class RefreshFailedError(MannequinError):
    """A refresh did not end well; trying again does not help."""


class RefreshCrashedError(MannequinError):
    """A refresh lost its worker, or found none; trying again later may help."""


class NightFailedError(MannequinError):
    """Some refreshes of a night did not end well; all others are done."""


class Deployed(Frozen):
    """A deployment as the server knows it; `configured`: parameters with a `config` are saved on it.

    `store` is the Store block that its parameters name; `builds` what that holds of the flow before the night, as
    `builds_of` gives it, None where it was not looked up.
    """

    id: UUID
    flow: str
    name: str
    pool: str
    store: str
    configured: bool
    builds: dict[str, str] | None = None

    @property
    def full_name(self) -> str:
        """As `prefect deployment run` takes it."""
        return f"{self.flow}/{self.name}"


class Outcome(Frozen):
    """What became of one dataset or deployment in a night.

    `seconds` are those of its runs; `change` is None where there is no build, or none that can be seen from here.
    """

    deployment: str
    state: str
    store: str = "default"
    seconds: float = 0.0
    message: str = ""
    well: bool = True
    change: Change | None = None

    def __str__(self) -> str:
        rows = f" {self.change.new:,} new rows, {self.change.dropped:,} dropped." if self.change else ""
        said = f" {self.message.rstrip('.')}." if self.message else ""
        return f"{self.deployment} {self.state}, {self.seconds:.0f} s.{rows}{said}"


class NightSummary(Frozen):
    """What became of all of them."""

    outcomes: tuple[Outcome, ...] = Field(title="Refreshed")


class Night(Frozen):
    """What a night refreshes, in this order, and what it leaves out."""

    refreshes: tuple[Deployed, ...]
    skipped: tuple[Outcome, ...]

    def share_a_store(self, deployment: Deployed) -> bool:
        """Whether another refresh publishes builds of the same flow in the same store."""
        place = (deployment.flow, deployment.store)
        return any((each.flow, each.store) == place for each in self.refreshes if each.id != deployment.id)


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
    """The outcomes as a table: what a person wants to know in the morning."""
    return [
        {
            "deployment": each.deployment,
            "state": each.state,
            "minutes": round(each.seconds / 60, 2),
            **_change_row(each.change, each.store),
            "message": each.message,
        }
        for each in outcomes
    ]


def _change_row(change: Change | None, store: str) -> dict[str, object]:
    if change is None:
        return dict.fromkeys(("rows before", "rows", "new", "dropped", "newly rejected", "compare"), "")
    before, now = change.builds[0][:12], change.builds[-1][:12]
    where = "" if store == "default" else f" --store {store}"
    return {
        "rows before": change.rows_before,
        "rows": change.rows,
        "new": change.new,
        "dropped": change.dropped,
        "newly rejected": ", ".join(f"{reason} {count}" for reason, count in change.rejected.items()),
        "compare": f"mannequin compare {before} {now}{where}" if before != now else "",
    }


def _without_config(deployment: Deployed) -> Outcome:
    return Outcome(
        deployment=deployment.full_name,
        state="Skipped",
        message=f"It has no configuration: mannequin save {deployment.full_name} --config my.json",
    )
