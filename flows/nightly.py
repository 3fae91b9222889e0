"""Every night: each dataset that has a configuration is refreshed, and only what changed is made again.

Requires: a Prefect server with the deployments of the datasets, and a worker for each work pool that they name.
"""

from collections import deque
from typing import Any, cast

from prefect import allow_failure, flow
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.nightly.config import NightlyForm
from tasks.nightly.plan import Deployed, NightSummary, Outcome
from tasks.nightly.task import cancel_refreshes, outcome_of, read_plan, refresh, tell_night

DEFAULTS = NightlyForm()
MOST_AT_ONCE = 64


RUNNER = cast("Any", ThreadPoolTaskRunner(max_workers=MOST_AT_ONCE))


@flow(name="nightly", task_runner=RUNNER, on_cancellation=[cancel_refreshes])
def nightly(config: NightlyForm = DEFAULTS) -> NightSummary:
    """Refresh the datasets, in each work pool some at a time.

    A dataset that fails stops nobody. Its own run is told as failed at once; the night fails at its end, and says which
    ones failed, also those that never came to a run, and that all others are done.
    """
    night = read_plan(config)
    begun = begin(night.refreshes, config)
    wait(begun)
    return tell_night(night, tuple(outcome_of(*each) for each in zip(night.refreshes, begun, strict=True)))


def begin(refreshes: tuple[Deployed, ...], config: NightlyForm) -> "list[PrefectFuture[Outcome]]":
    """In each work pool a refresh waits for the one `at_once` before it, however that ends."""
    begun: list[PrefectFuture[Outcome]] = []
    lanes: dict[str, deque[PrefectFuture[Outcome]]] = {}
    for each in refreshes:
        lane = lanes.setdefault(each.pool, deque(maxlen=config.at_once))
        before = [allow_failure(lane[0])] if len(lane) == config.at_once else []
        begun.append(cast("Any", refresh).submit(each, config, wait_for=before))
        lane.append(begun[-1])
    return begun
