"""prefect.yaml: what a server is told, without a server."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from deployments.local import POOL
from tasks.schema.forms import Form

NEEDED = {name: ["config"] for name in ("webbody", "video_patches", "music_to_pose", "runway_street")}
"""Parameters that only a person can say: by which right people's pictures are processed; which films, videos
and photos."""

DECLARED = yaml.safe_load((Path(__file__).parents[2] / "deployments" / "prefect.yaml").read_text())


def test_no_folder_of_this_machine_is_written_down() -> None:
    assert DECLARED["pull"] == []
    assert "/" not in "".join(each["entrypoint"] for each in DECLARED["deployments"])


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=lambda each: each["name"])
def test_a_deployment_runs_one_at_a_time_and_is_shipped_paused(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert deployment["work_pool"]["name"] == POOL
    assert deployment["tags"]
    assert deployment["version"]
    assert deployment["description"]
    for schedule in deployment["schedules"]:
        assert schedule["active"] is False
        assert schedule["slug"]  # a schedule without one is made anew at every deploy
        assert ZoneInfo(schedule["timezone"])


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=lambda each: each["name"])
def test_its_form_has_words_for_every_field_and_no_unions(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    schema = load_flow_from_entrypoint(deployment["entrypoint"]).parameters
    assert schema.required == NEEDED.get(deployment["name"], [])
    for name, model in (schema.definitions or {}).items():
        for field, said in model.get("properties", {}).items():
            assert said.get("title") or "$ref" in said, f"{name}.{field}"  # a nested form has a title of its own
            assert "oneOf" not in said, f"{name}.{field}"
            assert "anyOf" not in said, f"{name}.{field}"


def test_forms_are_immutable_and_know_their_fields() -> None:
    assert Form.model_config["frozen"]
    assert Form.model_config["extra"] == "forbid"


def test_a_run_that_is_late_with_a_heartbeat_is_not_taken_for_dead() -> None:
    from prefect.settings.models.flows import FlowsSettings

    from deployments.register import ZOMBIES

    every = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert every is not None
    assert ZOMBIES.trigger.within.total_seconds() >= 3 * every
