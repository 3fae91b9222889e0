"""The flow's parameters: what they promise, and what they refuse before any work starts."""

import pytest
from pydantic import ValidationError

from tasks.poses.config import KeypointRules, Mix, PoseTemplatesForm
from tasks.schema.sources import FASHION, LIFESTYLE, ColumnMapping, PhotoSource, SourceKind


def test_the_default_is_the_seed() -> None:
    form = PoseTemplatesForm()
    assert [(s.location, s.limit) for s in form.sources] == [
        ("SaffalPoosh/deepFashion-with-masks", 800),
        ("raulc0399/open_pose_controlnet", 300),
    ]
    assert Mix().totals() == {"fashion": 660, "lifestyle": 330, "sports": 110}


@pytest.mark.parametrize("total", [1, 2, 3, 4, 6, 14, 16, 99, 101, 199])
def test_the_mix_adds_up(total: int) -> None:
    assert sum(Mix(total=total).totals().values()) == total


def test_sources_that_give_the_same_share_its_quota() -> None:
    second = FASHION.model_copy(update={"name": "second"})
    form = PoseTemplatesForm(sources=(FASHION, second, LIFESTYLE), mix=Mix(enabled=True, total=101))
    assert [form.quotas(source)["fashion"] for source in (FASHION, second)] == [31, 30]
    assert form.quotas(LIFESTYLE) == {"lifestyle": 30, "sports": 10}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sources": (FASHION, FASHION)}, "share a name"),
        ({"sources": (FASHION,), "mix": Mix(enabled=True)}, "wants lifestyle, sports"),
        ({"keypoints": KeypointRules(pose_model="")}, "fashion would give nothing"),
        (
            {
                "sources": (PhotoSource(name="m", kind=SourceKind.MANNEQUINS),),
                "keypoints": KeypointRules(use_drawings=False),
            },
            "m would give nothing",
        ),
    ],
)
def test_what_can_give_nothing_is_refused(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        PoseTemplatesForm(**changed)


def test_the_manifest_says_what_was_built_and_not_where() -> None:
    folder = PhotoSource(
        name="f", kind=SourceKind.FOLDER, location="/somewhere/photos", columns=ColumnMapping(conditioning="drawing")
    )
    params = PoseTemplatesForm(sources=(folder, FASHION)).build_params()
    assert "/somewhere" not in str(params)
    assert "SaffalPoosh/deepFashion-with-masks" in str(params)
