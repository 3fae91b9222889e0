"""How a flow run makes itself known: to `mannequin monitor` in its store, to the UI as a progress artifact."""

import threading
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.artifacts import update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from tasks.machine.places import PlaceNames
from tasks.machine.task import store_of
from tasks.schema.errors import MannequinError
from tasks.shards.notes import BUCKET_FLUSH_S, Run, RunHeader, begin_run, end_run, flush_notes, write_header
from tasks.shards.store import Store
from tasks.watching.runs import RunProgress, RunWatch
from tasks.watching.words import summary_line

TELL_EVERY_S = 5.0
"""How often a run says that it lives (of a store in a bucket: each `BUCKET_FLUSH_S`) and tells the UI how far it is."""

_TELLING: dict[str, "_Telling"] = {}
"""By the id of the run."""


class _Telling:
    """Says, beside a run, that it lives and how far it is."""

    def __init__(self, store: Store, header: RunHeader) -> None:
        self._run, self._header = Run(store, header.run), header
        self._watch, self._ended = RunWatch(self._run.folder, header), threading.Event()
        self._artifact: UUID | None = None
        self._said = ""
        context = copy_context()  # which server is asked
        self._thread = threading.Thread(target=context.run, args=(self._tell,), name="telling", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say no more that the run lives: that would be written over how it ended."""
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        while not self._ended.wait(BUCKET_FLUSH_S if self._run.store.files.place else TELL_EVERY_S):
            with suppress(OSError, MannequinError):
                write_header(self._run, self._header.model_copy(update={"seen_at": datetime.now(UTC)}))
            self.show()

    def show(self) -> None:
        """Bring the progress artifact to what the run told so far."""
        flush_notes(self._run.id)
        with suppress(OSError, MannequinError):
            self._run.store.files.fresh(self._run.folder)
        self._watch.look()
        progress = self._watch.progress()
        said = summary_line(progress)
        if said and said != self._said:
            self._said = said
            with suppress(Exception):  # a server that is away misses a number, and the run nothing
                self._publish(progress, said)

    def _publish(self, progress: RunProgress, said: str) -> None:
        percent = 100.0 if progress.state == "completed" else round(100 * (progress.share or 0.0), 1)
        if self._artifact is not None:
            update_progress_artifact(self._artifact, percent, said)
            return
        wanted = ArtifactCreate(
            type="progress",
            key=f"{progress.flow.replace('_', '-')}-progress",
            description=said,
            data=percent,
            flow_run_id=UUID(progress.run),
        )
        with get_client(sync_client=True) as client:
            self._artifact = client.create_artifact(wanted).id


def say_begun(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - as Prefect calls it
    """A flow run begins: its threads and processes may tell what they do."""
    header, store = RunHeader(run=str(flow_run.id), flow=flow.name, name=flow_run.name), _store(flow_run)
    with suppress(OSError, MannequinError):
        begin_run(store, header)
        _TELLING[header.run] = _Telling(store, header)


def say_ended(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - as Prefect calls it
    """A flow run ended, well or not; one that is being cancelled has no process left when Prefect says so."""
    run, ended = str(flow_run.id), "cancelled" if state.is_cancelling() else state.type.value.lower()
    telling = _TELLING.pop(run, None)
    if telling is not None:
        telling.stop()
    with suppress(OSError, MannequinError):
        end_run(_store(flow_run), run, ended, "" if state.is_completed() else state.message or "")
    if telling is not None:
        telling.show()


def _store(flow_run: FlowRun) -> Store:
    return store_of(PlaceNames.model_validate(flow_run.parameters.get("places") or {}).store)


WATCHED: dict[str, Any] = {
    "on_running": [say_begun],
    "on_completion": [say_ended],
    "on_failure": [say_ended],
    "on_crashed": [say_ended],
    "on_cancellation": [say_ended],
}
"""Options of a flow that people can watch."""
