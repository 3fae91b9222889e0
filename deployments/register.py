"""What a new server is told: block types, default blocks, work pools, limits, deployments and automations.

    PREFECT_API_URL=... python -m deployments.register

Saying it again changes nothing, and leaves what people changed in the UI: saved blocks, limits, automations, and of a
deployment its parameters, schedules and work pool.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import yaml
from httpx import HTTPStatusError, codes
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentUpdate,
    GlobalConcurrencyLimitCreate,
    WorkPoolCreate,
)
from prefect.client.schemas.objects import BlockDocument, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.variables import Variable

from blocks import Database, HubAccount, ModelZoo, Network, Store
from blocks.saved import DEFAULT
from deployments.automations import NOTIFY, register_automations
from deployments.local import POOL, ROOT, say
from tasks.schema.errors import MannequinError
from tasks.shards.code_version import code_version

BLOCKS = (Store, Database, HubAccount, ModelZoo, Network)
POOLS = {
    POOL: "Flows on a processor.",
    "gpu": "Flows on a machine with a GPU: one worker for each, with --limit 1.",
    "clustering": "The identities of webbody by RAPIDS, without PyTorch.",
}
GPU_LIMIT = "gpu"
"""Name of the limit whose slots the tasks take that use a GPU."""

DEPLOYED = "mannequin_deployed"
"""Name of the variable on the server that holds the digest of what was deployed."""
ASIDE = "mannequin-aside"
"""Name of the block on the server that holds what people set while `prefect deploy` runs."""


def register_blocks() -> None:
    """Make the block types known and save the defaults, so that people find them in the UI."""
    for kind in BLOCKS:
        kind.register_type_and_schema()
        try:
            kind().save(DEFAULT)
        except ValueError as error:
            if "already in use" not in str(error):
                raise


def register_pools(client: SyncPrefectClient) -> None:
    """One pool of processes for each kind of machine."""
    for name, description in POOLS.items():
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))


def register_limits(client: SyncPrefectClient) -> None:
    """As many slots for tasks on a GPU as this machine has GPUs, at least one; people set another number in the UI."""
    try:
        client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=gpus() or 1))


def gpus() -> int:
    """How many NVIDIA GPUs this machine has."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, check=False)  # noqa: S603
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def deploy(client: SyncPrefectClient, file: Path = ROOT / "deployments" / "prefect.yaml") -> list[str]:
    """Deploy everything of a prefect.yaml, unless it is deployed as it is; returns the full names.

    `prefect deploy` forgets what people changed, so it is put aside on the server until it is back: nothing is lost
    where it is not taken, or killed half way.

    Raises:
        MannequinError: Prefect does not take it; the message holds what it said.
    """
    names = sorted(_declared(file))
    found, aside = _deployed(client, names), _read_aside(client)
    state = sha256(f"{file.read_text()}{code_version()}".encode()).hexdigest()
    if not aside and _told(client) == state and len(found) == len(names):
        return names
    before = {name: _set_by_people(each, aside.get(name)) for name, each in found.items()}
    Secret(value=before).save(ASIDE, overwrite=True)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    for name, each in before.items():
        _put_back(client, name, each)
    client.delete_block_document(_aside(client).id)
    if done.returncode != 0:
        raise MannequinError(f"`prefect deploy` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    Variable.set(DEPLOYED, state, overwrite=True)
    return names


def _told(client: SyncPrefectClient) -> object:
    """The digest of what was deployed last."""
    found = client.read_variable_by_name(DEPLOYED)
    return None if found is None else found.value


def _declared(file: Path) -> set[str]:
    """Full names of what a prefect.yaml deploys; a flow's function has the flow's name."""
    listed = yaml.safe_load(file.read_text())["deployments"]
    return {f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}" for each in listed}


def _deployed(client: SyncPrefectClient, names: Iterable[str]) -> dict[str, DeploymentResponse]:
    """Those of some deployments that the server knows, by full name."""
    found = {}
    for name in names:
        with suppress(ObjectNotFound):
            found[name] = client.read_deployment_by_name(name)
    return found


def _set_by_people(found: DeploymentResponse, aside: dict[str, Any] | None) -> dict[str, Any]:
    """What people may have set of a deployment; as it was put aside, if it did not come back since."""
    if aside and not found.parameters:
        return aside
    return found.model_dump(mode="json", include={"parameters", "work_pool_name", "schedules"})


def _aside(client: SyncPrefectClient) -> BlockDocument:
    return client.read_block_document_by_name(ASIDE, Secret.get_block_type_slug())


def _read_aside(client: SyncPrefectClient) -> dict[str, dict[str, Any]]:
    with suppress(ObjectNotFound):
        return cast("dict[str, dict[str, Any]]", _aside(client).data["value"])
    return {}


def _put_back(client: SyncPrefectClient, name: str, before: dict[str, Any]) -> None:
    after = client.read_deployment_by_name(name)
    if before["work_pool_name"] != after.work_pool_name:
        client.update_deployment(after.id, DeploymentUpdate(work_pool_name=before["work_pool_name"]))
    if before["parameters"] != after.parameters:
        _save(client, name, after.id, before["parameters"])
    ids, slugs = {each.id: each for each in after.schedules}, {each.slug: each for each in after.schedules}
    for schedule in map(DeploymentSchedule.model_validate, before["schedules"]):
        now = ids.get(schedule.id) or (slugs.get(schedule.slug) if schedule.slug else None)
        if now is None:
            kept = schedule.model_dump(include=set(DeploymentScheduleCreate.model_fields))
            client.create_deployment_schedules(after.id, [DeploymentScheduleCreate.model_validate(kept)])
        elif (now.active, now.schedule) != (schedule.active, schedule.schedule):
            client.update_deployment_schedule(after.id, now.id, active=schedule.active, schedule=schedule.schedule)


def _save(client: SyncPrefectClient, name: str, deployment: UUID, parameters: dict[str, Any]) -> None:
    """Save parameters as they were; those that do not fit any more too, so that nothing is lost, and say so."""
    try:
        update = DeploymentUpdate(parameters=parameters, enforce_parameter_schema=True)
        client.update_deployment(deployment, update)
    except HTTPStatusError as error:
        if error.response.status_code != codes.CONFLICT:
            raise
        update = DeploymentUpdate(parameters=parameters, enforce_parameter_schema=False)
        client.update_deployment(deployment, update)
        said = str(error.response.json()["detail"]).removeprefix("Error updating deployment: ")
        say("parameters", f"saved on {name} do not fit any more: {said}. `mannequin save {name} --config` new ones.")


def main() -> int:
    """Register everything."""
    try:
        register_blocks()
        with get_client(sync_client=True) as client:
            register_pools(client)
            register_limits(client)
            told = register_automations(client, os.environ.get(NOTIFY, ""))
            say("blocks", ", ".join(kind.__name__ for kind in BLOCKS))
            say("deployments", ", ".join(deploy(client)))
            say("notifications", told)
    except MannequinError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
