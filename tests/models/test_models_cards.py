import pytest
from pydantic import ValidationError

from tasks.models.card import ModelCard
from tasks.models.cards import CARDS, card_named
from tasks.schema.errors import ModelError


def a_card(**changes):
    fields = {
        "name": "m",
        "file_name": "m.pt",
        "family": "ultralytics-pose",
        "url": "https://example.org/m.pt",
        "revision": "v1",
        "sha256": "0" * 64,
        "licence": "MIT",
        "input_spec": "RGB",
    }
    return ModelCard(**{**fields, **changes})


def test_names_and_files_are_unique():
    assert len({card.name for card in CARDS}) == len({card.file_name for card in CARDS}) == len(CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_card_says_where_from_under_which_terms_and_for_what_input(card):
    assert all((card.source, card.licence, card.input_spec, card.revision))
    assert card.downloadable or card.origin
    assert all(0 < value < 1 for value in card.thresholds.values())


def test_a_card_is_found_by_name():
    assert card_named("yolov8n-pose").file_name == "yolov8n-pose.pt"


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ModelError, match="yolov8n-pose, yolov8n-pose-dequantised"):
        card_named("yolov9")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"file_name": "../m.pt"}, id="a path as file name"),
        pytest.param({"sha256": "abc"}, id="no sha256"),
        pytest.param({"url": "ftp://example.org/m.pt"}, id="neither http nor https"),
        pytest.param({"hub_repo": "a/b", "hub_path": "m.pt"}, id="two sources"),
        pytest.param({"url": "", "hub_repo": "a/b"}, id="a repository without a path"),
        pytest.param({"url": "", "hub_repo": "a/b", "hub_path": "m.pt", "revision": "main"}, id="not pinned"),
    ],
)
def test_a_card_that_promises_nothing_is_refused(changes):
    with pytest.raises(ValidationError):
        a_card(**changes)


def test_a_hub_card_is_pinned_to_a_commit():
    card = a_card(url="", hub_repo="a/b", hub_path="w/m.pt", revision="f" * 40)
    assert card.source == f"a/b/w/m.pt@{'f' * 40}"
