"""The service in containers, as far as it can be judged without an engine: files, and what they name of the code."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.local import _SETTINGS
from deployments.register import POOLS
from tests.docker.clean_room import CleanRoom, instructions, stages

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))
ONE_SHOT = {"register"}
VERSIONED = r"[a-z0-9./-]+:\d+\.\d+(\.\d+)?[a-z0-9.-]*"
"""An image's name with a version of at least two numbers."""

every_service = pytest.mark.parametrize("name", SERVICES)
every_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


def pins(path: Path) -> dict[str, str]:
    """Names and versions of a requirements file, of the Python that the images have."""
    found = re.findall(r"^([a-z0-9.-]+)==([^ \n]+)(?: ; (.*))?$", path.read_text(), re.MULTILINE)
    return {name: version for name, version, marker in found if not marker.startswith("python_full_version >=")}


def environment() -> dict[str, str]:
    """Variables as somebody fills in the example."""
    found = re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    return {name: value or "1" for name, value in found}


def says_its_version(command: list[str]) -> bool:
    return subprocess.run([*command, "version"], check=False, capture_output=True).returncode == 0


@every_service
def test_a_service_is_pinned_unprivileged_bounded_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(VERSIONED, service["image"])
    assert service["user"].partition(":")[0] not in ("", "0", "root")
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["networks"]
    if name in ONE_SHOT:
        assert "healthcheck" not in service
        assert service["restart"] == "on-failure:3"
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"


@every_service
def test_who_waits_waits_for_something_that_tells(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted["condition"] == ("service_completed_successfully" if other in ONE_SHOT else "service_healthy")
        assert "profiles" not in SERVICES[other]
        assert set(SERVICES[other]["networks"]) & set(SERVICES[name]["networks"])


def test_only_the_ui_is_reached_from_outside_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"server": ["127.0.0.1:${UI_PORT:-4200}:4200"]}
    assert {name for name, network in COMPOSE["networks"].items() if not network.get("internal")} == {"work"}
    databases = {"catalog", "prefect-database", "redis"}
    assert not [name for name in databases if "work" in SERVICES[name]["networks"]]


def test_volumes_are_named() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    defaults = set(re.findall(r"\$\{[A-Z]+:-([a-z]+)\}:/", TEXT))
    names = {re.sub(r"^\$\{.*", "", each) for each in mounted} - {""}
    assert names | defaults == set(COMPOSE["volumes"])


def test_the_example_names_every_variable_and_no_secret() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", TEXT)) | set(re.findall(r"^ +([A-Z_]+):$", TEXT, re.MULTILINE))
    assert used | {"COMPOSE_PROJECT_NAME"} == set(environment())
    secrets = re.findall(
        r"^(?:# )?(\w*(?:PASSWORD|TOKEN|KEY|URL)\w*)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE
    )
    assert secrets
    assert not [value for _, value in secrets if value]
    assert re.search(r"^/\.env$", (DOCKER / ".gitignore").read_text(), re.MULTILINE)


def test_a_store_in_a_bucket_is_not_told_an_empty_region() -> None:
    handed_on = set(re.findall(r"^ +(AWS_[A-Z_]+):$", TEXT, re.MULTILINE))
    assert handed_on
    assert handed_on.isdisjoint(re.findall(r"^([A-Z_]+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))


def test_the_server_is_set_as_by_make_up() -> None:
    wanted = {name: value for name, value in _SETTINGS.items() if name.startswith("PREFECT_SERVER")}
    for name in ("server", "services"):
        assert wanted.items() <= SERVICES[name]["environment"].items()
    assert "--no-services" in SERVICES["server"]["command"]
    assert SERVICES["services"]["command"] == ["prefect", "server", "services", "start"]


def test_commands_name_what_there_is() -> None:
    assert SERVICES["register"]["command"] == ["python", "-m", "deployments.register"]
    assert find_spec("deployments.register")
    pools = {
        name: service["command"][service["command"].index("--pool") + 1]
        for name, service in SERVICES.items()
        if "worker" in name
    }
    assert pools == {"worker": "local", "gpu-worker": "gpu", "clustering-worker": "clustering"}
    assert set(pools.values()) == set(POOLS)
    for name in ("gpu-worker", "clustering-worker"):
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_images_that_are_built_carry_the_versions_of_what_is_in_them() -> None:
    built = {service["image"]: service["build"] for service in SERVICES.values() if "build" in service}
    version = PROJECT["project"]["version"]
    prefect = pins(ROOT / "requirements.lock")["prefect"]
    ours = {f"{name}:{version}" for name in ("mannequin", "mannequin-gpu", "mannequin-clustering")}
    assert set(built) == {*ours, f"mannequin-server:{prefect}"}
    for build in built.values():
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert build["target"] in stages(ROOT / build["dockerfile"])


@every_dockerfile
def test_a_dockerfile_copies_the_packages_and_ends_without_root(path: Path) -> None:
    told = instructions(path)
    copied = {source for word, rest in told if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]}
    packaged = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packaged | {"pyproject.toml", PROJECT["project"]["readme"], "docker/build.txt"} <= copied
    assert not [source for source in copied if not (ROOT / source).exists()]
    assert [rest for word, rest in told if word == "USER"] == ["10001:10001"]
    assert not [rest for word, rest in told if word == "FROM" and ":" in rest and not re.match(VERSIONED, rest)]
    seen = set(Path(f"{path}.dockerignore").read_text().splitlines())
    assert {f"!{source}" for source in copied if not source.startswith("docker/")} | {"*", "!docker/*.txt"} <= seen


@every_dockerfile
def test_commands_of_a_dockerfile_are_shell(path: Path) -> None:
    commands = [rest for word, rest in instructions(path) if word == "RUN"]
    assert commands
    for command in commands:
        subprocess.run(["sh", "-n", "-c", command.split("/uv ", 1)[-1]], check=True)
        assert shlex.split(command)


@pytest.mark.parametrize("name", ["server.txt", "clustering.txt"])
def test_what_the_lock_pins_too_has_one_version(name: str) -> None:
    locked = pins(ROOT / "requirements.lock")
    own = {"cuml-cu12", "prefect-redis", "pyarrow"} if name == "clustering.txt" else {"prefect-redis"}
    wanted = pins(DOCKER / name)
    assert wanted
    assert {each: version for each, version in wanted.items() if each not in own}.items() <= locked.items()
    assert "torch" not in wanted


def test_one_uv_installs_everywhere() -> None:
    (version,) = re.findall(r"^UV := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [re.findall(r"uv==(\S+)", path.read_text()) for path in DOCKERFILES] == [[version]] * len(DOCKERFILES)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["docker", "compose"], ["docker-compose"]], ids="-".join)
def test_compose_reads_it(command: list[str]) -> None:
    if shutil.which(command[0]) is None or not says_its_version(command):
        pytest.skip(f"{' '.join(command)} is not installed")
    file = str(DOCKER / "compose.yaml")
    read = subprocess.run(
        [*command, "-f", file, "--profile", "gpu", "--profile", "clustering", "config"],
        check=False,
        env=os.environ | environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert read.returncode == 0, read.stderr
    assert yaml.safe_load(read.stdout)["services"].keys() == SERVICES.keys()


@pytest.mark.slow
@every_dockerfile
def test_hadolint_has_no_complaint(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    told = subprocess.run([hadolint, str(path)], check=False, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stdout


@pytest.mark.slow
@pytest.mark.network
def test_the_commands_of_the_server_run_in_an_empty_folder(tmp_path: Path) -> None:
    """Every RUN, COPY and ENV but what changes the system; what compose starts is there then."""
    room = CleanRoom(DOCKER / "Dockerfile", tmp_path)
    made = room.build("server")
    asked = "import asyncpg, prefect_redis.lease_storage, prefect_redis.messaging, prefect_redis.ordering; print('all')"
    environment = made | {"PREFECT_HOME": str(tmp_path / "prefect"), "HOME": str(tmp_path)}
    for command in (["python", "-c", asked], ["prefect", "server", "start", "--help"]):
        told = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stderr
    assert [command.split()[0] for command in room.left_out] == ["apt-get"]
