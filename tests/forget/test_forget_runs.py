"""Artifacts and parameters of runs that name what was forgotten."""

import json
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tasks.forget.exports_names import Names
from tasks.forget.runs import ArtifactText, RunText, affected, erased_artifacts, naming_runs

NAMES = Names(frozenset({"web/0123"}), frozenset({"fashion_0003"}), frozenset({"https://example.org/a.jpg"}))


def artifact(text: str) -> ArtifactText:
    return ArtifactText(uuid4(), text)


def test_what_names_a_sample_or_shows_pictures_goes() -> None:
    kept = [artifact("| stage | rows |"), artifact("web/9999 fashion_0004")]
    gone = [artifact("| web/0123 |"), artifact("![x](data:image/jpeg;base64,AA)"), artifact("see fashion_0003")]
    assert affected([*kept, *gone], NAMES) == gone
    erased = erased_artifacts(gone)
    assert (erased.things, len(set(erased.removed))) == (3, 3)
    runs = [RunText(f"run {n}", json.dumps({"url": "https://example.org/a.jpg"})) for n in range(7)]
    (said,) = naming_runs([*runs, RunText("other", "{}")], NAMES)
    assert "run 4 and 2 more" in said
    assert naming_runs([RunText("other", "{}")], NAMES) == ()


def _artifacts(client: SyncPrefectClient) -> list[UUID]:
    found: list[UUID] = []
    while page := client.read_artifacts(limit=50, offset=len(found)):
        found += [each.id for each in page]
    return found


@pytest.mark.slow
def test_a_server_forgets(prefect_server: None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import ArtifactCreate
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from tasks.forget.task import erase_from_server

    with get_client(sync_client=True) as client:
        erase_from_server(NAMES)  # other tests of this process left sheets on the same server
        before = _artifacts(client)
        for number in range(4, 124):
            said = json.dumps([{"sample": f"web/{number:04d}"}])
            client.create_artifact(ArtifactCreate(key="told", type="table", data=said))
        assert erase_from_server(NAMES).things == 1
        assert len(_artifacts(client)) == len(before) + 119
    assert erase_from_server(NAMES).things == 0
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        (said,) = erase_from_server(NAMES).problems
        assert said.startswith("The Prefect server cannot be asked")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert "PREFECT_API_URL" in erase_from_server(NAMES).problems[0]
