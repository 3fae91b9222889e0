"""What a new server is told: block types, default blocks, the work pool, the deployments, and what to do about zombies.

    PREFECT_API_URL=... python -m deployments.register

Saying it again changes nothing, and leaves what people changed in the UI: saved blocks, and which schedules are on.
"""

import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.exceptions import ObjectAlreadyExists

from blocks import Database, HubAccount, ModelZoo, Network, Store
from blocks.saved import DEFAULT
from deployments.local import POOL, ROOT, say

BLOCKS = (Store, Database, HubAccount, ModelZoo, Network)

ZOMBIES = AutomationCore(
    name="Crash runs without a heartbeat",
    description="A run whose machine or worker went away would stay Running for ever, and block its deployment.",
    trigger=EventTrigger(
        posture=Posture.Proactive,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.heartbeat"},
        expect={
            "prefect.flow-run.heartbeat",
            "prefect.flow-run.Completed",
            "prefect.flow-run.Failed",
            "prefect.flow-run.Cancelled",
            "prefect.flow-run.Crashed",
        },
        threshold=1,
        within=timedelta(minutes=10),  # Prefect's heartbeats come every 3, and one may be late or lost
    ),
    actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for ten minutes.")],
)


def register_blocks() -> None:
    """Make the block types known and save the defaults, so that people find them in the UI."""
    for kind in BLOCKS:
        kind.register_type_and_schema()
        try:
            kind().save(DEFAULT)
        except ValueError as error:
            if "already in use" not in str(error):
                raise


def register_pool(client: SyncPrefectClient) -> None:
    """One pool of processes on this machine."""
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))


def register_automation(client: SyncPrefectClient) -> None:
    """Made once; a person may change it or switch it off."""
    if not client.read_automations_by_name(ZOMBIES.name):
        client.create_automation(ZOMBIES)


def deploy(client: SyncPrefectClient, file: Path = Path("deployments/prefect.yaml")) -> list[str]:
    """Deploy everything of a prefect.yaml, and leave on the schedules that were on; returns the names."""
    before = _active_schedules(client)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    for deployment, schedule in before - _active_schedules(client):
        client.update_deployment_schedule(deployment, schedule, active=True)
    return sorted(found.name for found in client.read_deployments())


def _active_schedules(client: SyncPrefectClient) -> set[tuple[UUID, UUID]]:
    return {
        (deployment.id, schedule.id)
        for deployment in client.read_deployments()
        for schedule in deployment.schedules
        if schedule.active
    }


def main() -> None:
    """Register everything."""
    register_blocks()
    with get_client(sync_client=True) as client:
        register_pool(client)
        register_automation(client)
        say("blocks", ", ".join(kind.__name__ for kind in BLOCKS))
        say("deployments", ", ".join(deploy(client)))


if __name__ == "__main__":
    main()
