"""What a terminal shows of a run."""

import io
import logging

import pytest
from rich.console import Console

from flows.console import Progress, check
from tasks.schema.errors import ConfigError


def said(name: str, level: int, path: str, message: str, **extra: str) -> None:
    record = logging.LogRecord(name, level, path, 1, message, None, None)
    record.__dict__ |= extra
    logging.getLogger(name).handle(record)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's own handlers of these loggers want a server."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)


def test_tasks_are_counted_our_words_shown_and_prefects_left_out() -> None:
    stream = io.StringIO()
    engine = "/venv/prefect/task_engine.py"
    with Progress(Console(file=stream, soft_wrap=True)):
        for state in ("Completed()", "Cached('x', type=COMPLETED)", "Cached(type=COMPLETED)"):
            said("prefect.task_runs", logging.INFO, engine, f"Finished in state {state}", task_name="describe_part")
        said(
            "prefect.task_runs", logging.ERROR, engine, "Task run failed with exception: ...\nTraceback", task_name="x"
        )
        said("prefect.flow_runs", logging.INFO, "/here/flows/pose_templates.py", "fashion: 3 of 4 [bold]templates")
        said("tasks.catalog", logging.WARNING, "/here/tasks/catalog/seed.py", "nobody serves the pictures")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "fashion: 3 of 4 [bold]templates",
        "nobody serves the pictures",
        "0:00 · describe part 1 done, 2 found",
    ]


def test_a_missing_parameter_names_an_example() -> None:
    from prefect import flow

    @flow(name="webbody")
    def needs_config(config: int) -> None:
        raise AssertionError(config)

    with pytest.raises(ConfigError, match=r"needs config: see deployments/webbody\.json"):
        check(needs_config, {})
