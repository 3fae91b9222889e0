"""What is wrong with parameters, said so that it can be mended."""

import pytest
from prefect import flow

from flows.console import run_flow
from flows.printing import ERR
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
        run_flow(films, given, ERR, verbose=False)
    assert str(told.value).splitlines() == [
        "The parameters do not fit films:",
        "  config.films.0.name: there is no such parameter; there is path",
        "  config.windows: Input should be a valid integer, unable to parse string as an integer",
        "  config.window: there is no such parameter; there is films, windows",
    ]
