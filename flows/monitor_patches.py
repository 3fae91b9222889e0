"""A build of patches, watched film by film: in a terminal of its own, or beside the run that makes it."""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from flows.monitor import CPU_S, EVERY_S, MOST_CPU
from flows.places import store_root
from tasks.machine.load import Load, LoadMeter
from tasks.patches.build_plan import DEFAULT_TREE, PLAN_PATH, BuildPlan, read_plan
from tasks.patches.progress import BuildProgress
from tasks.patches.view import BuildView
from tasks.patches.watch import BuildWatch
from tasks.schema.errors import MannequinError, SourceError, StoreError
from tasks.schema.records import Frozen
from tasks.shards.store import Store

BESIDE_SPARE = 4
"""Lines of the terminal that the view leaves to the log beside which it stands."""

_LOOKING = Text("Looking at the films and planning their windows …", "dim")


class Snapshot(Frozen):
    """What `--json` prints."""

    build: BuildProgress
    machine: Load


class Looking:
    """One build under one tree, looked at again and again; a new run in the same tree is noticed."""

    def __init__(self, tree: Path, store: Store | None, *, own: bool = False) -> None:
        self._tree, self._store, self._own = tree, store, own
        self._meter = LoadMeter(tree)
        self._plan_is: tuple[int, int] | None = None
        self._watch: BuildWatch | None = None
        self._looked, self._cost_s = False, 0.0

    def snapshot(self) -> Snapshot | None:
        """The build now; None where only a plan of this process is wanted, and it is not there yet.

        Raises:
            SourceError: there is no build.
        """
        begun = time.thread_time()
        watch = self._current()
        if watch is None:
            return None
        watch.look()
        found = Snapshot(build=watch.progress(), machine=self._meter.read(watch.process))
        self._cost_s = time.thread_time() - begun if self._looked else 0.0
        self._looked = True
        return found

    @property
    def pause_s(self) -> float:
        """Seconds until the next look."""
        return max(EVERY_S, self._cost_s / MOST_CPU)

    def _current(self) -> BuildWatch | None:
        path = self._tree / PLAN_PATH
        try:
            found = path.stat()
            plan_is = (found.st_ino, found.st_mtime_ns)
        except OSError:
            plan_is = None
        if plan_is is None or plan_is != self._plan_is:
            if plan_is is None and self._own:
                return None
            plan = read_plan(self._tree)
            self._plan_is = plan_is
            ours = (plan.host, plan.pid) == (socket.gethostname(), os.getpid())
            self._watch = BuildWatch(plan, self._store or _store_of(plan)) if ours or not self._own else None
        return self._watch


def show_build(
    tree: Path | None, store: str | None, console: Console, *, once: bool = False, as_json: bool = False
) -> None:
    """Show a build until it is finished or Ctrl+C; where the console is no terminal, once.

    Args:
        tree: where its patches are; None: the default tree of the store.
        store: name of a Store block; None: the store that the run used, and for the default tree the default one.
    Raises:
        SourceError: there is no build, or not the store that made it.
    """
    root = None if tree is not None and store is None else store_root(store or "default")
    if tree is None:
        tree = Path(str(root)) / DEFAULT_TREE
    if not tree.is_dir():
        raise SourceError(
            f"There is no folder {tree}: name the one that your configuration of video_patches writes to."
        )
    looking = Looking(tree.absolute(), None if root is None else Store(root))
    if as_json or once or not console.is_terminal:
        _show_once(looking, console, as_json=as_json)
        return
    last = None
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while last is None or last.build.state != "finished":
            last = looking.snapshot()
            if last is not None:
                live.update(BuildView(last.build, last.machine, spare=0), refresh=True)
            time.sleep(looking.pause_s if last is None or last.build.state != "finished" else 0)
    if last is not None:
        console.print(BuildView(last.build, last.machine, spare=1))


@contextmanager
def watching(tree: Path, store: Store, console: Console | None = None) -> Iterator[None]:
    """Show the build that this process makes, below what is printed meanwhile; nothing where there is no terminal.

    Whatever else prints to this terminal must use the same console: two would draw over each other. Prefect's own lines
    and those of `print` are led through it.

    Args:
        console: default: standard output.
    """
    console = console or Console(highlight=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    looking, ended = Looking(tree, store, own=True), threading.Event()
    live = Live(_LOOKING, console=console, auto_refresh=False)

    def draw() -> None:
        while not ended.wait(looking.pause_s):
            live.update(_drawn(looking), refresh=True)

    with _prefect_through(console), live:
        thread = threading.Thread(target=draw, name="watching", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            live.update(_drawn(looking), refresh=True)


def _drawn(looking: Looking) -> RenderableType:
    try:
        found = looking.snapshot()
    except (MannequinError, OSError) as error:
        return Text(f"The build cannot be shown: {error}", "yellow")
    return _LOOKING if found is None else BuildView(found.build, found.machine, spare=BESIDE_SPARE)


def _show_once(looking: Looking, console: Console, *, as_json: bool) -> None:
    looking.snapshot()
    time.sleep(CPU_S)
    found = looking.snapshot()
    if found is not None and as_json:
        console.file.write(found.model_dump_json(indent=1) + "\n")
    elif found is not None:
        console.print(BuildView(found.build, found.machine), soft_wrap=False)


def _store_of(plan: BuildPlan) -> Store:
    root = Path(plan.store)
    if not root.is_dir():
        raise StoreError(f"The store {root} that this build was made with is not here: name its block with `--store`.")
    return Store(root)


class _Through:
    """Stands in for the console of a log handler: what it prints goes, coloured as before, through another one."""

    def __init__(self, own: Console, console: Console) -> None:
        self.own, self._console = own, console

    def print(self, message: str, *, soft_wrap: bool = True) -> None:
        with self.own.capture() as captured:
            self.own.print(message, soft_wrap=soft_wrap)
        self._console.print(Text.from_ansi(captured.get().rstrip("\n")), soft_wrap=True)


@contextmanager
def _prefect_through(console: Console) -> Iterator[None]:
    """Prefect's handlers print to a console of their own, over any other's live display; here they use that one."""
    module = sys.modules.get("prefect.logging.handlers")
    kind = getattr(module, "PrefectConsoleHandler", ())
    loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values() if hasattr(each, "handlers"))]
    handlers = {handler for logger in loggers for handler in logger.handlers if isinstance(handler, kind)}
    before = {handler: handler.console for handler in handlers}
    for handler, own in before.items():
        handler.console = _Through(own, console)
    try:
        yield
    finally:
        for handler, own in before.items():
            handler.console = own
