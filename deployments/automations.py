"""What a server does by itself: it ends runs that nobody works on any more, and tells of runs that fail.

Both are brought up to date by every `make up`, unless a person changed them, and stay on or off as they were.
"""

import json
from datetime import timedelta
from hashlib import sha256
from typing import cast
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from tasks.schema.errors import ConfigError

NOTIFY = "MANNEQUIN_NOTIFY_URL"
NOTIFY_BLOCK = "mannequin-notify"
NOWHERE = "http://127.0.0.1:9/no-address-is-given"
"""Of a webhook that nobody has given an address yet; its automation is off."""
_MARK = "shipped-"
_BEFORE_MARKS = ("No heartbeat for three minutes.", "No heartbeat for ten minutes.")
"""Messages of the zombie automation while it had no mark yet."""
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
# What Slack, Mattermost and Teams take; `tojson` quotes whatever an error message holds.
_PAYLOAD = (
    '{"text": {{ (flow.name ~ " " ~ flow_run.name ~ " ended " ~ flow_run.state.name ~ ". " '
    '~ (flow_run.state.message or "") ~ " " ~ (flow_run | ui_url)) | tojson }} }'
)


def zombies(within: timedelta = timedelta(minutes=10)) -> AutomationCore:
    """Runs without a heartbeat are over.

    Args:
        within: how long a run may be silent; Prefect's heartbeats come every 3 minutes, and one may be late or lost.
    """
    return AutomationCore(
        name="Crash runs without a heartbeat",
        description="A run whose machine or worker went away would stay Running for ever, and block its deployment.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in _ENDS)},
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"No heartbeat for {within} (h:mm:ss).")],
    )


def failures(webhook: UUID, *, enabled: bool) -> AutomationCore:
    """Whoever answers at a webhook hears of every deployed run that fails or crashes."""
    return AutomationCore(
        name="Tell of failed runs",
        description=f"Calls the webhook of the block {NOTIFY_BLOCK} when a run of a Mannequin deployment fails.",
        enabled=enabled,
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.id": "prefect.tag.mannequin", "prefect.resource.role": "tag"},
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=_PAYLOAD)],
    )


def register_automations(client: SyncPrefectClient, address: str, silent: timedelta = timedelta(minutes=10)) -> str:
    """Make both, or bring them up to date; returns what to say about notifications.

    Args:
        address: where failures are told, or empty: as the block says.
        silent: how long a run may be without a heartbeat.

    Raises:
        ConfigError: the address is none.
    """
    if address and not address.startswith(("http://", "https://")):
        raise ConfigError(f"{NOTIFY} must start with https:// or http://, not {address!r}.")
    keep_current(client, zombies(silent))
    block, changed = _webhook(client, address)
    automation = failures(block, enabled=bool(address))
    keep_current(client, automation)
    found = client.read_automations_by_name(automation.name)[0]
    if changed and not found.enabled:
        client.resume_automation(found.id)
    if changed or found.enabled:
        return f"failures are told by the block {NOTIFY_BLOCK}"
    return f"off; {NOTIFY}=https://... make up, or the block {NOTIFY_BLOCK} and its automation in the UI"


def keep_current(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Make an automation, or replace one that was shipped before and that nobody changed."""
    mark = _mark(wanted)
    marked = wanted.model_copy(update={"tags": [mark]})
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(marked)
    elif _as_shipped(found[0]) and mark not in found[0].tags:
        client.update_automation(found[0].id, marked.model_copy(update={"enabled": found[0].enabled}))


def _as_shipped(found: AutomationCore) -> bool:
    marks = [tag for tag in found.tags if tag.startswith(_MARK)]
    if marks:
        return marks == [_mark(found)]
    return [getattr(action, "message", None) for action in found.actions] in [[each] for each in _BEFORE_MARKS]


def _mark(automation: AutomationCore) -> str:
    """A digest of what an automation does."""
    said = json.dumps(
        {
            "description": automation.description,
            "trigger": _plain(automation.trigger.model_dump(mode="json", exclude={"id"})),
            "actions": [_plain(action.model_dump(mode="json")) for action in automation.actions],
        },
        sort_keys=True,
    )
    return _MARK + sha256(said.encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    """Sets, which JSON holds in any order, in one order."""
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return sorted((_plain(below) for below in value), key=str)
    return to_jsonable_python(value)


def _webhook(client: SyncPrefectClient, address: str) -> tuple[UUID, bool]:
    """The block that failures are sent by, and whether it got a new address now."""
    try:
        known = client.read_block_document_by_name(NOTIFY_BLOCK, Webhook.get_block_type_slug())
    except ObjectNotFound:
        known = None
    if known is not None and known.data["url"] == (address or known.data["url"]):
        return known.id, False
    made = Webhook(url=SecretStr(address or NOWHERE), headers={"Content-Type": "application/json"})
    return cast("UUID", made.save(NOTIFY_BLOCK, overwrite=True)), bool(address)
