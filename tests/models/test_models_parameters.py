"""Errors about models name parameters that there are."""

from functools import reduce
from typing import get_args

import pytest
from pydantic import BaseModel

from tasks.m2p.config import MusicToPoseForm
from tasks.models.card import Family
from tasks.models.parameters import PARAMETERS
from tasks.poses.config import PoseTemplatesForm
from tasks.runway_street.config import RunwayStreetForm
from tasks.webbody.config import WebBodyForm

FORMS: dict[str, type[BaseModel]] = {
    "pose_templates": PoseTemplatesForm,
    "webbody": WebBodyForm,
    "music_to_pose": MusicToPoseForm,
    "runway_street": RunwayStreetForm,
}


def field(form: type[BaseModel], name: str) -> type:
    found = form.model_fields[name].annotation
    assert found is not None
    return found


@pytest.mark.parametrize("path", sorted({path for paths in PARAMETERS.values() for path in paths}))
def test_a_parameter_is_a_field_of_its_flow(path: str) -> None:
    flow, _, names = path.partition(": config.")
    assert reduce(field, names.split("."), FORMS[flow]) is str


def test_every_family_has_parameters() -> None:
    assert set(PARAMETERS) == set(get_args(Family))
