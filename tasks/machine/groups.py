"""Groups of shards: what one task run takes, and how its members are kept apart."""

import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from tasks.schema.errors import DatabaseUnreachableError, MannequinError, StoreUnreachableError

T = TypeVar("T")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)


def grouped(members: Sequence[T], most: int) -> list[tuple[T, ...]]:
    """Members in order, in so many groups at most, whose sizes differ by one at most; each alone where that will do."""
    count = min(len(members), max(1, most))
    bounds = [len(members) * number // count for number in range(count + 1)] if count else []
    return [tuple(members[start:stop]) for start, stop in pairwise(bounds)]


def each_of(
    members: Sequence[T], work: Callable[[T], tuple[R, bool]], name: Callable[[T], str]
) -> tuple[tuple[R, ...], bool]:
    """Work on every member of a group; one that fails leaves the others alone.

    Args:
        work: returns its result, and whether all of it was found.
        name: of a member, for people.
    Returns:
        the results in order, and whether all of them were found.
    Raises:
        Exception: the error of a member, after all others had their turn: one that another try may mend, if there is
            one, else the first.
    """
    done: list[tuple[R, bool]] = []
    errors: list[Exception] = []
    for member in members:
        try:
            done.append(work(member))
        except Exception as error:  # noqa: BLE001 - told and raised below, when the others had their turn
            if len(members) > 1:
                _LOG.warning("%s: %s: %s", name(member), type(error).__name__, error)
            errors.append(error)
    if errors:
        raise next(filter(may_pass, errors), errors[0])
    return tuple(result for result, _ in done), all(found for _, found in done)


def may_pass(error: object) -> bool:
    """Whether another try may end better: what is wrong stays wrong; a crash, or what does not answer, may not."""
    away = isinstance(error, (DatabaseUnreachableError, StoreUnreachableError))
    return away or not isinstance(error, (MannequinError, ValueError, TypeError))
