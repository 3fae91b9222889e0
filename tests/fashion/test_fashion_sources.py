"""What a person may write down of a source."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.fashion.sources import LookKind, LookSource


def source(**changed: Any) -> LookSource:
    return LookSource.model_validate({"name": "modanet", "side": "street", "location": "/data/modanet", **changed})


def test_the_name_stands_in_for_the_dataset() -> None:
    assert source().dataset == "modanet"
    assert source(original_dataset="Fashion Runway Images").dataset == "Fashion Runway Images"
    assert source(kind="hub").kind is LookKind.HUB


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "Moda Net"}, "name"),
        ({"side": "studio"}, "side"),
        ({"location": ""}, "location"),
        ({"limit": -1}, "limit"),
        ({"designer": "x"}, "designer"),
        ({"kind": "folder", "images": "/photos"}, "belongs to a COCO annotation file"),
        ({"path_pattern": "(?P<designer>["}, "no regular expression"),
        ({"path_pattern": "(?P<maker>.*)"}, "designer, season, author"),
        ({"path_pattern": "spring"}, "designer, season, author"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source(**changed)


def test_a_form_has_no_unions() -> None:
    assert "anyOf" not in str(LookSource.model_json_schema())
