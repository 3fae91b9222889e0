"""A flow run as a terminal shows it: what runs, what was found in the store, and what our own code says."""

import logging
import os
import signal
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import TYPE_CHECKING, Any, Self, cast

from rich.console import Console
from rich.markup import escape

import flows
from flows.parameters import faults, near
from tasks.schema.errors import ConfigError, MannequinError

if TYPE_CHECKING:
    from prefect import Flow, State
    from pydantic import BaseModel

_QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks"}
_LINE_EVERY_S = 15.0

INTERRUPTED = 130
"""Exit code of a run that was stopped by Ctrl+C, as shells count: 128 + SIGINT."""


class FlowFailedError(MannequinError):
    """A flow ended without its result."""


def flow_names() -> list[str]:
    """Every flow: the modules of this package, each named as its flow."""
    return sorted(module.name for module in iter_modules(flows.__path__) if module.name not in flows.FRONT)


def demand_flow(name: str) -> None:
    """See that there is a flow of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in (names := flow_names()):
        raise ConfigError(f"There is no flow {name!r}{near(name, names)}: there is {', '.join(names)}.")


def load_flow(name: str, *, verbose: bool) -> "Flow[Any, Any]":
    """Import a flow, and Prefect with it."""
    if not verbose:
        os.environ |= _QUIET  # read once, when Prefect is imported
    flow: Flow[Any, Any] = getattr(import_module(f"flows.{name}"), name)
    return flow


def view_of(flow: str, parameters: dict[str, Any], console: Console) -> AbstractContextManager[None] | None:
    """The live view that a flow has of its own, for a terminal; None where the usual line will do."""
    config, places = parameters.get("config"), parameters.get("places", {})
    if flow != "video_patches" or not console.is_terminal or not isinstance(config, dict):
        return None
    from flows.monitor_patches import watching
    from flows.places import store_root
    from tasks.patches.build_plan import DEFAULT_TREE
    from tasks.shards.store import Store

    store = Store(store_root(places.get("store", "default")))
    return watching(Path(config.get("output") or store.root / DEFAULT_TREE), store, console)


def run_flow(
    flow: "Flow[Any, Any]",
    parameters: dict[str, Any],
    console: Console,
    *,
    verbose: bool,
    beside: AbstractContextManager[None] | None = None,
) -> "BaseModel | None":
    """Run a flow in this process.

    Args:
        beside: a live view that stands below what is printed, in place of the usual line.
    Raises:
        MannequinError: the flow failed.
    """
    signal.signal(signal.SIGINT, _Interrupt(console))
    with beside or nullcontext(), nullcontext() if verbose else Progress(console, live=beside is None):
        state: State[Any] = cast("Any", flow)(**parameters, return_state=True)
    if state.is_completed():
        result: BaseModel | None = state.result()
        return result
    error = state.result(raise_on_failure=False)
    if isinstance(error, (MannequinError, KeyboardInterrupt)):
        raise error
    raise FlowFailedError(f"{flow.name} ended {state.name}: {type(error).__name__}: {error}. `--verbose` shows where.")


def check(flow: "Flow[Any, Any]", parameters: dict[str, Any]) -> None:
    """Whether a flow takes these parameters.

    Raises:
        ConfigError: what does not fit, or is missing.
    """
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError
    from pydantic import ValidationError

    unknown = parameters.keys() - flow.parameters.properties.keys()
    if unknown:
        raise ConfigError(f"{flow.name} has no parameter {', '.join(sorted(unknown))}.")
    missing = set(flow.parameters.required or ()) - parameters.keys()
    if missing:
        raise ConfigError(f"{flow.name} needs {', '.join(sorted(missing))}: see deployments/{flow.name}.json.")
    try:
        flow.validate_parameters(parameters)
    except ParameterTypeError as error:
        cause = error.__context__
        if not isinstance(cause, ValidationError):
            raise ConfigError(str(error)) from error
        raise ConfigError(faults(flow.name, flow.parameters.model_dump(), cause)) from error
    except SignatureMismatchError as error:
        raise ConfigError(str(error)) from error


class _Interrupt:
    """Ctrl+C waits for the steps that run; a second one does not."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(INTERRUPTED)  # the store is safe at any instant
        self._asked = True
        self._console.print("Stopping after the steps that run; Ctrl+C again stops at once.")
        signal.default_int_handler(number, frame)


class Progress(logging.Handler):
    """Counts the tasks that end and passes on what our code logs; one line that changes, or one now and then.

    Prefect's own lines are left out: the UI has them.
    """

    def __init__(self, console: Console, *, live: bool = True) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._live = live
        self._done: dict[str, Counter[str]] = {}
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._status = console.status("starting") if console.is_terminal and live else None
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        for name in ("prefect.flow_runs", "prefect.task_runs", "tasks"):
            logging.getLogger(name).addHandler(self)
        if self._status is not None:
            self._status.start()
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticker.join()
        if self._status is not None:
            self._status.stop()
        for name in ("prefect.flow_runs", "prefect.task_runs", "tasks"):
            logging.getLogger(name).removeHandler(self)
        self._console.print(self._line())

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "prefect" in Path(record.pathname).parts:
            if record.name == "prefect.task_runs" and message.startswith("Finished in state "):
                state = message.removeprefix("Finished in state ").partition("(")[0]
                self._done.setdefault(getattr(record, "task_name", "task"), Counter())[state] += 1
            return
        colour = "yellow" if record.levelno >= logging.WARNING else "dim"
        self._console.print(f"[{colour}]{escape(message)}[/]")

    def _tick(self) -> None:
        pause = 0.2 if self._status is not None else _LINE_EVERY_S
        while not self._ended.wait(pause):
            if self._status is not None:
                self._status.update(self._line())
            elif self._live:
                self._console.print(self._line())

    def _line(self) -> str:
        seconds = int(time.monotonic() - self._started)
        parts = [f"{seconds // 60}:{seconds % 60:02d}"]
        for task, states in list(self._done.items()):
            found = states["Cached"]
            rest = states.total() - found
            words = [f"{rest} done"] * bool(rest) + [f"{found} found"] * bool(found)
            parts.append(f"{task.replace('_', ' ')} {', '.join(words)}")
        return " · ".join(parts)
