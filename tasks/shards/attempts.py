"""Marks of stages at work: one that was left behind tells that a process died in the middle of that very work.

A mark is a file under the name of the output, locked as long as the stage runs. The lock goes with the process, however
it ends; the file stays if the process could not remove it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.shards.stage import Stage

_AT_WORK = b"."


@contextmanager
def attempted(stage: Stage, mark: Path) -> Iterator[Stage]:
    """The stage to run: itself, or its cautious form where a process died while it ran before.

    An attempt of somebody who lives is no death. Where files cannot be locked, nothing is ever known of deaths.
    """
    cautious = stage.cautious()
    descriptor = _locked(mark) if cautious is not None else None
    if cautious is None or descriptor is None:
        yield stage
        return
    try:
        died = False
        with suppress(OSError):
            died = os.pread(descriptor, 1, 0) == _AT_WORK
            os.pwrite(descriptor, _AT_WORK, 0)
        yield cautious if died else stage
    finally:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)  # for who has opened it already and waits for nothing but the lock
            mark.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(mark: Path) -> int | None:
    """A descriptor that holds the lock; None: somebody else does, or nobody can."""
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
