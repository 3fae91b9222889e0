"""img2dataset's Weights & Biases switch: speed and reasons of each shard, in one run per process."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tasks.download.upstream import submodule

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracking:
    """`enable_wandb` of img2dataset: the project that gets the numbers.

    Account and mode come from wandb's own settings (WANDB_API_KEY, WANDB_MODE).
    """

    project: str = "img2dataset"


@cache
def started(tracking: Tracking) -> bool:
    """Begin this process' run; False where wandb cannot: it is not asked again, because asking takes its time."""
    import wandb

    try:
        wandb.init(project=tracking.project, config={})
    except Exception as error:  # noqa: BLE001 - numbers for people, never worth a shard
        _LOG.warning("Weights & Biases takes no numbers from this process: %s", error)
        return False
    return True


def track(tracking: Tracking, statistics: Mapping[str, Any]) -> bool:
    """Send a shard's numbers as img2dataset does; False where that failed, which is no harm to the shard."""
    if not started(tracking):
        return False
    logger = submodule("logger")
    done, resized = statistics["statuses"].get("success", 0), statistics["failed_to_resize"]
    try:
        logger.SpeedLogger("worker", enable_wandb=True)(
            count=statistics["count"],
            success=done,
            failed_to_download=statistics["count"] - done - resized,
            failed_to_resize=resized,
            start_time=statistics["start_time"],
            end_time=statistics["end_time"],
        )
        statuses = logger.CappedCounter.load(statistics["statuses"])
        logger.StatusTableLogger(min_interval=0, enable_wandb=True)(statuses, statistics["count"])
    except Exception as error:  # noqa: BLE001 - see above
        _LOG.warning("Weights & Biases did not take the numbers of a shard: %s", error)
        return False
    return True
