"""prefect.yaml: what a server is told, without a server."""

import re
import tomllib
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from deployments.local import POOL, ROOT
from deployments.versions import package
from flows.cli import app
from flows.console import flow_names
from tasks.schema.forms import Form

NEEDED = {name: ["config"] for name in ("webbody", "video_patches", "music_to_pose", "runway_street")}
"""Parameters that only a person can say: by which right people's pictures are processed; which films, videos
and photos."""

NIGHTLY = "nightly"
POOLS = {"gpu": "gpu", "clustering": "clustering"}
"""Deployments that are named for another kind of machine than the one that everybody has."""

DECLARED = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())


def test_no_folder_of_this_machine_is_written_down() -> None:
    assert DECLARED["pull"] == []
    assert "/" not in "".join(each["entrypoint"] for each in DECLARED["deployments"])


def name_of(deployment: dict[str, Any]) -> str:
    return f"{deployment['entrypoint'].rpartition('.')[2]}-{deployment['name']}"


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=name_of)
def test_a_deployment_runs_one_at_a_time_where_it_belongs(deployment: dict[str, Any]) -> None:
    night = deployment["name"] == NIGHTLY
    strategy = "CANCEL_NEW" if night else "ENQUEUE"
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": strategy}
    assert deployment["work_pool"]["name"] == POOLS.get(deployment["name"], POOL)
    assert ("dataset" in deployment["tags"]) is not (night or deployment["name"] == "clustering")
    assert "mannequin" in deployment["tags"]  # by which failures are told
    assert deployment["version"] == "{{ package.version }}"
    assert deployment["description"]
    from prefect.client.schemas.schedules import CronSchedule

    for schedule in deployment.get("schedules", ()):
        assert schedule.get("active") is (None if night else False)  # `true` would undo what a person paused
        assert schedule["slug"]  # a schedule without one is made anew at every deploy
        assert ZoneInfo(schedule["timezone"])
        assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


def test_the_night_is_scheduled_and_every_dataset_has_a_schedule_of_its_own() -> None:
    scheduled = [each for each in DECLARED["deployments"] if each.get("schedules")]
    assert {each["name"] for each in scheduled} == {NIGHTLY, *NEEDED, "pose_templates"}


def test_the_version_is_that_of_the_package() -> None:
    top = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert package() == {"version": top["project"]["version"]}
    assert [*DECLARED["build"][0]] == [f"{package.__module__}.{package.__qualname__}"]


def test_every_verb_and_deployment_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    verbs = {command.name or str(command.callback.__name__) for command in app.registered_commands if command.callback}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        verbs |= {
            each.name or str(each.callback.__name__)
            for each in group.typer_instance.registered_commands
            if each.callback
        }
    shown = set(re.findall(r"^(?:.venv/bin/)?mannequin ([a-z-]+)", readme, re.MULTILINE))
    assert shown <= verbs
    assert shown
    full_names = {"/".join(name_of(each).split("-")) for each in DECLARED["deployments"]}
    assert set(re.findall(r"prefect deployment run (\w+/\w+)", readme)) <= full_names
    assert {each["name"] for each in DECLARED["deployments"]} - POOLS.keys() == set(flow_names())
    assert set(re.findall(r"deployments/(\w+\.json)", readme)) <= {
        path.name for path in (ROOT / "deployments").iterdir()
    }


@pytest.mark.parametrize("deployment", DECLARED["deployments"], ids=name_of)
def test_its_form_has_words_for_every_field_and_no_unions(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    schema = load_flow_from_entrypoint(deployment["entrypoint"]).parameters
    assert (schema.required or []) == NEEDED.get(name_of(deployment).partition("-")[0], [])
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

    from deployments.automations import zombies

    every = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert every is not None
    assert zombies().trigger.within.total_seconds() >= 3 * every
