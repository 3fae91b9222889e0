"""Marks of stages at work: one that was left behind tells that a process died in the middle of that very work.

A mark is a file under the name of the output, locked as long as the stage runs. The lock goes with the process, however
it ends; the file stays if the process could not remove it.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tasks.shards.stage import Stage
from tasks.shards.watchdog import HangError

_AT_WORK = b"."
_LOG = logging.getLogger(__name__)

T = TypeVar("T")


def attempted(stage: Stage, mark: Path, make: Callable[[Stage], T]) -> T:
    """What `make` makes of a stage: as it is, or in its cautious form where a process died of it before, or it hangs.

    An attempt of somebody who lives is no death. Where files cannot be locked, nothing is ever known of deaths.

    Args:
        stage: that may have a cautious form.
        mark: where to leave the mark; its name is told.
        make: runs the stage it is given, and leaves nothing behind where it fails.
    Raises:
        HangError: also the cautious form hangs.
    """
    cautious = stage.cautious()
    if cautious is None:
        return make(stage)
    with _marked(mark) as died:
        if died:
            _LOG.warning("A process died over %s: this time a child process decodes first.", mark.name)
            return make(cautious)
        try:
            return make(stage)
        except HangError as hang:
            _LOG.warning("%s hangs, and is made anew; now a child process decodes first. %s", mark.name, hang)
        return make(cautious)


@contextmanager
def _marked(mark: Path) -> Iterator[bool]:
    """Leave the mark for as long as this process lives in the context; whether one was left behind."""
    descriptor = _locked(mark)
    if descriptor is None:
        yield False
        return
    try:
        died = False
        with suppress(OSError):
            died = os.pread(descriptor, 1, 0) == _AT_WORK
            os.pwrite(descriptor, _AT_WORK, 0)
        yield died
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
