"""The house rules: who may import whom, what a flow and the top level hold, and that every flow is shown."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows import FRONT

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "blocks", "deployments")
TOP_LEVEL = {
    *(".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "pyproject.toml", "requirements.lock"),
    *("blocks", "deployments", "docker", "flows", "tasks", "tests"),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}
FLOWS = sorted(name.removeprefix("flows.") for name in MODULES if name.startswith("flows."))
DATASETS = [name for name in FLOWS if name not in FRONT]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTS = {name: set(imports(path)) for name, path in MODULES.items()}


def is_in(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def is_task(module: str) -> bool:
    return module.startswith("tasks.") and module.endswith(".task")


def may_import(importer: str, imported: str) -> bool:
    """flows -> tasks -> blocks; tasks.schema is the leaf; deployments look at all of it and nobody at them."""
    if is_in(importer, "tasks.schema"):
        return is_in(imported, "tasks.schema")
    if is_in(importer, "blocks"):
        return is_in(imported, "blocks", "tasks.schema")
    if is_in(importer, "flows"):
        return is_in(imported, "flows", "tasks") or (importer == "flows.places" and is_in(imported, "blocks"))
    if is_in(importer, "tasks"):
        if is_task(imported) or is_task(imported.rpartition(".")[0]):
            own_room = imported.split(".")[:2] == importer.split(".")[:2]
            return own_room or (is_task(importer) and is_in(imported, "tasks.machine"))
        return is_in(imported, "tasks") or (is_task(importer) and is_in(imported, "blocks"))
    return True


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    wrong = {name for name in IMPORTS[module] if is_in(name, *ROOMS) and not may_import(module, name)}
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_prefect_stays_at_the_edge(module: str) -> None:
    if not (is_in(module, "flows", "blocks", "deployments") or is_task(module)):
        assert not {name for name in IMPORTS[module] if is_in(name, "prefect")}


@pytest.mark.parametrize("flow", DATASETS)
def test_a_flow_is_a_table_of_contents(flow: str) -> None:
    path = MODULES[f"flows.{flow}"]
    assert len(path.read_text().splitlines()) <= 150
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Try)]


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()}), ids=lambda path: path.name)
def test_packages_say_what_they_are(folder: Path) -> None:
    init = folder / "__init__.py"
    if folder.name == "deployments":
        assert not init.exists()
    else:
        assert ast.get_docstring(ast.parse(init.read_text()))


def test_docker_is_no_package() -> None:
    assert not list((ROOT / "docker").rglob("__init__.py"))


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "manager.py"}
    found = [path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py") if path.name in drawers]
    assert not found


def test_top_level_is_fixed() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split("/")[0] for line in listed.splitlines()} <= TOP_LEVEL


def test_test_files_have_different_names() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_every_flow_has_a_deployment() -> None:
    declared = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    entry_points = {(each["name"], each["entrypoint"]) for each in declared["deployments"]}
    expected = {(flow, f"flows.{flow}.{flow}") for flow in DATASETS}
    assert expected <= entry_points
    assert {entry.rpartition(".")[0] for _, entry in entry_points} == {f"flows.{flow}" for flow in DATASETS}


def test_every_flow_stands_in_the_readme() -> None:
    rows = {
        line.split("|")[1].strip().strip("`") for line in (ROOT / "README.md").read_text().splitlines() if "|" in line
    }
    assert set(DATASETS) <= rows


def test_examples_are_drawn_without_the_global_random() -> None:
    """pyproject.toml lets hypothesis' warning of it pass, because Prefect's threads draw from it too."""
    ours = {name for name, imported in IMPORTS.items() if "random" in imported}
    generated = [path for path in (ROOT / "tests").rglob("*.py") if "hypothesis" in path.read_text()]
    assert not ours
    assert not [path for path in generated if path != Path(__file__) and "random" in set(imports(path))]
