"""What a Prefect server keeps of runs: the part of `tasks.forget.runs` that asks it."""

import json
from collections.abc import Iterator

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import PREFECT_API_URL

from tasks.forget.doomed import Erased
from tasks.forget.exports_names import Names
from tasks.forget.runs import ArtifactText, RunText, affected, erased_artifacts, naming_runs
from tasks.schema.home import home

_PAGE = 50
"""Artifacts are up to a megabyte."""


def erase_from_server(names: Names) -> Erased:
    """Delete the artifacts of runs that name a sample, and sheets of pictures; the next run makes them anew.

    Flow runs are kept; those whose parameters name one are told of.

    Returns:
        what went; a server that is out of reach, or none at all, is a problem that it tells.
    """
    if not PREFECT_API_URL.value():
        said = "No Prefect server is named (PREFECT_API_URL): artifacts of runs were not looked at."
        ours = (home() / "prefect" / "prefect.db").exists()
        return erased_artifacts((), (f"{said} Start it with `make up`." if ours else said,), again=ours)
    gone: list[ArtifactText] = []
    try:
        with get_client(sync_client=True) as client:
            for artifact in affected(_artifacts(client), names):
                try:
                    client.delete_artifact(artifact.id)
                except ObjectNotFound:
                    continue
                gone.append(artifact)
            return erased_artifacts(gone, naming_runs(_runs(client), names))
    except (HTTPError, OSError, RuntimeError, PrefectException) as error:
        said = f"The Prefect server cannot be asked ({error}): start it."
        return erased_artifacts(gone, (said,), again=True)


def _artifacts(client: SyncPrefectClient) -> Iterator[ArtifactText]:
    offset = 0
    while page := client.read_artifacts(limit=_PAGE, offset=offset):
        for each in page:
            data = each.data if isinstance(each.data, str) else json.dumps(each.data, ensure_ascii=False)
            yield ArtifactText(each.id, f"{each.description or ''}\n{data}")
        offset += len(page)


def _runs(client: SyncPrefectClient) -> Iterator[RunText]:
    offset = 0
    while page := client.read_flow_runs(limit=_PAGE, offset=offset):
        yield from (RunText(run.name, json.dumps(run.parameters, ensure_ascii=False, default=str)) for run in page)
        offset += len(page)
