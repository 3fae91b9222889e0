"""Versions are not left to memory: an output that changes while its stage's version does not fails here."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator

import pytest

import tasks
from tasks.shards.derive import Derivation
from tasks.shards.stage import Stage
from tasks.shards.store import Store
from tests.golden.cases import cases
from tests.golden.record import FOLDER, difference, outcome


def stages() -> Iterator[type[Stage]]:
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(module.name)
    waiting = [*Stage.__subclasses__()]
    while waiting:
        stage = waiting.pop()
        waiting += stage.__subclasses__()
        if stage.__module__.startswith("tasks.") and not inspect.isabstract(stage):
            yield stage


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def inputs(store: Store) -> dict[str, Derivation]:
    return cases(store)


def test_every_stage_has_a_golden_input_and_a_name_of_its_own(inputs: dict[str, Derivation]) -> None:
    names = [stage.name for stage in stages()]
    assert sorted(names) == sorted(set(names))
    assert set(names) == inputs.keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_an_output_changes_only_with_its_version(name: str, inputs: dict[str, Derivation], store: Store) -> None:
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    made = json.loads(json.dumps(outcome(inputs[name], store)))
    if made["version"] != recorded["version"]:
        pytest.fail(f"{name} is at version {made['version']}, its record at {recorded['version']}: run `make golden`.")
    change = difference(recorded, made)
    assert not change, f"{name} gives another output{change}: raise its version, then run `make golden`."


def test_every_stage_is_recorded(inputs: dict[str, Derivation]) -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == inputs.keys()


@pytest.mark.parametrize(
    ("recorded", "made", "differs"),
    [
        ({"a": 1.0}, {"a": 1.001}, False),
        ({"a": 100.0}, {"a": 101.0}, True),
        ({"a": [1.0, None]}, {"a": [1.0, 0.0]}, True),
        ({"a": [1]}, {"a": [1, 2]}, True),
        ({"size": [2, 2], "grey": [10, 20]}, {"size": [2, 2], "grey": [12, 20]}, False),
        ({"size": [2, 2], "grey": [10, 20]}, {"size": [2, 2], "grey": [30, 20]}, True),
        ({"size": [2, 2], "grey": [10, 20]}, {"size": [2, 3], "grey": [10, 20]}, True),
    ],
)
def test_what_counts_as_a_change(recorded: object, made: object, differs: bool) -> None:
    assert bool(difference(recorded, made)) is differs
