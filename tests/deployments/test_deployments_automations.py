"""What is brought up to date, and what a person said and stays."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import AutomationCore
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState

from deployments.automations import _as_shipped, _mark, failures, zombies


def as_stored(automation: AutomationCore) -> AutomationCore:
    """As a server gives it back: sets in any order."""
    return AutomationCore.model_validate_json(automation.model_dump_json())


def shipped(automation: AutomationCore) -> AutomationCore:
    return as_stored(automation.model_copy(update={"tags": [_mark(automation)]}))


def test_what_was_shipped_is_known_again_and_what_a_person_changed_is_not() -> None:
    for automation in (zombies(), failures(UUID(int=1), enabled=False)):
        assert _as_shipped(shipped(automation))
        changed = shipped(automation).trigger.model_copy(update={"within": timedelta(minutes=42)})
        assert not _as_shipped(shipped(automation).model_copy(update={"trigger": changed}))
    assert _mark(zombies()) != _mark(zombies(timedelta(minutes=3)))


def test_that_of_servers_from_before_is_replaced_unless_it_says_something_else() -> None:
    former, own = (
        [ChangeFlowRunState(state=StateType.CRASHED, message=said)]
        for said in ("No heartbeat for ten minutes.", "Mine.")
    )
    assert _as_shipped(as_stored(zombies().model_copy(update={"actions": former})))
    assert not _as_shipped(as_stored(zombies().model_copy(update={"actions": own})))
