"""What is wrong with parameters, said so that it can be mended."""

import pytest
from prefect import flow

from flows.console import check
from flows.parameters import demand_places
from tasks.schema.errors import ConfigError
from tasks.schema.forms import Form


class Film(Form):
    path: str


class FilmsForm(Form):
    films: tuple[Film, ...]
    windows: int = 1


@flow
def films(config: FilmsForm) -> None:
    """Never run."""


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    given = {"config": {"films": [{"path": "a", "name": "b"}], "windows": "many", "window": 2}}
    with pytest.raises(ConfigError) as told:
        check(films, given)
    assert str(told.value).splitlines() == [
        "The parameters do not fit films:",
        "  config.films.0.name: there is no such parameter; there is path",
        "  config.windows: Input should be a valid integer, unable to parse string as an integer",
        "  config.window: there is no such parameter (near: windows); there is films, windows",
    ]


def test_a_single_fault_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^The parameters do not fit films: config\.films: Field required$"):
        check(films, {"config": {}})


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("confg.windows=1", r"films, confg: there is no such parameter \(near: config\); there is config"),
        ("config.window=1", r"films, config\.window: .* \(near: windows\); there is films, windows"),
        ("config.films.0.size=1", r"films, config\.films\.0\.size: there is no such parameter; there is path"),
    ],
)
def test_a_word_for_what_is_not_there_is_told_by_its_place(word: str, told: str) -> None:
    demand_places(films, ["config.films.0.path=a", "config.windows=many", "config={}"])
    with pytest.raises(ConfigError, match=told):
        demand_places(films, [word])
