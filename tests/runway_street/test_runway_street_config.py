"""The form of the flow: what it refuses before any work, and what says what is built."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.runway_street.config import STEPS, RunwayStreetForm

SOURCES = [
    {"name": "street", "side": "street", "location": "/data/street"},
    {"name": "runway", "side": "runway", "location": "/data/runway"},
]


def form(**changes: Any) -> RunwayStreetForm:
    return RunwayStreetForm.model_validate({"sources": SOURCES, **changes})


def test_two_sources_want_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="name of its own"):
        form(sources=[SOURCES[0], SOURCES[1] | {"name": "street"}])


def test_one_side_is_enough_up_to_predictions() -> None:
    with pytest.raises(ValidationError, match="all are of the street"):
        form(sources=SOURCES[:1])
    assert form(sources=SOURCES[:1], until="predict").reached[-1] == "predict"


@pytest.mark.parametrize(
    ("until", "last"), [("looks", "looks"), ("labels", "labels"), ("embed", "embed"), ("exports", "embed")]
)
def test_the_last_step_of_a_part(until: str, last: str) -> None:
    assert form(until=until).last_per_part == last


def test_only_some_steps_are_taken_of_those_reached() -> None:
    assert form(only_stages=["trends", "exports"]).steps == ("trends", "exports")
    assert form().steps == STEPS


def test_places_are_no_part_of_what_is_built() -> None:
    moved = [source | {"location": "/elsewhere"} for source in SOURCES]
    assert form(sources=moved).build_params() == form().build_params()
    assert form(min_side_px=80).build_params() != form().build_params()
    assert "/data" not in str(form().build_params())
