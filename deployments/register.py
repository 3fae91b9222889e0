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
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate, WorkPoolCreate
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

    Raises:
        MannequinError: Prefect does not take it; the message holds what it said.
    """
    before = {each.id: each for each in client.read_deployments()}
    state = sha256(f"{file.read_text()}{code_version()}".encode()).hexdigest()
    names = _full_names(client, before.values())
    if _told(client) == state and names >= _declared(file):
        return sorted(names)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise MannequinError(f"`prefect deploy` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    after = client.read_deployments()
    for each in after:
        if each.id in before:
            _put_back(client, before[each.id], each)
    Variable.set(DEPLOYED, state, overwrite=True)
    return sorted(_full_names(client, after))


def _told(client: SyncPrefectClient) -> object:
    """The digest of what was deployed last."""
    found = client.read_variable_by_name(DEPLOYED)
    return None if found is None else found.value


def _declared(file: Path) -> set[str]:
    """Full names of what a prefect.yaml deploys; a flow's function has the flow's name."""
    listed = yaml.safe_load(file.read_text())["deployments"]
    return {f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}" for each in listed}


def _full_names(client: SyncPrefectClient, deployments: Iterable[DeploymentResponse]) -> set[str]:
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return {f"{flows[each.flow_id]}/{each.name}" for each in deployments}


def _put_back(client: SyncPrefectClient, before: DeploymentResponse, after: DeploymentResponse) -> None:
    changed: dict[str, Any] = {
        name: getattr(before, name)
        for name in ("parameters", "work_pool_name")
        if getattr(before, name) != getattr(after, name)
    }
    if changed:
        client.update_deployment(after.id, DeploymentUpdate(**changed))
    now = {schedule.id: schedule for schedule in after.schedules}
    for schedule in before.schedules:
        found = now.get(UUID(str(schedule.id)))
        if found is not None and (found.active, found.schedule) != (schedule.active, schedule.schedule):
            client.update_deployment_schedule(after.id, found.id, active=schedule.active, schedule=schedule.schedule)


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
