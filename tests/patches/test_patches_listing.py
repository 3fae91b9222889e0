"""Films in folders: which ones count, by which names, and what is told where there are none."""

from pathlib import Path
from typing import Any

import pytest

from tasks.patches.config import VideoPatchesForm
from tasks.patches.listing import with_films_listed
from tasks.patches.seed_config import demand_films
from tasks.schema.errors import ConfigError, SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("B.mkv", "series/A (2009).MP4", "notes.txt", ".half/c.mkv", "._B.mkv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"film")
    return tmp_path


def form(folder: Path, **more: Any) -> VideoPatchesForm:
    given = {"path": str(folder), "categories": {"space": 0.5}, "licence": "CC-BY-4.0"}
    return VideoPatchesForm.model_validate({"folders": [given]} | more)


def test_every_film_below_a_folder_counts_by_its_path(folder: Path) -> None:
    listed = with_films_listed(form(folder))
    assert [(each.name, each.short_name) for each in listed.films] == [("B", "b"), ("series/A (2009)", "series_a_2009")]
    assert {(tuple(each.categories.items()), each.licence) for each in listed.films} == {
        ((("space", 0.5),), "CC-BY-4.0")
    }
    named = VideoPatchesForm(films=listed.films)
    assert (listed, listed.build_params()) == (named, named.build_params())
    assert with_films_listed(named) == named


def test_a_film_that_comes_later_leaves_the_others_as_they_are(folder: Path) -> None:
    before = with_films_listed(form(folder)).films
    (folder / "C.mov").write_bytes(b"film")
    assert with_films_listed(form(folder)).films == (before[0], with_films_listed(form(folder)).films[1], before[1])


def test_a_film_that_is_named_keeps_its_entry(folder: Path) -> None:
    own = {"name": "Mine", "path": str(folder / "B.mkv"), "categories": {"toon": 1.0}}
    nested = {"path": str(folder / "series"), "categories": {"general": 1.0}}
    both = form(folder, films=[own], folders=[nested, form(folder).folders[0].model_dump()])
    assert [(each.name, *each.categories) for each in with_films_listed(both).films] == [
        ("Mine", "toon"),
        ("A (2009)", "general"),
    ]


def test_two_films_of_one_name_are_told(folder: Path) -> None:
    (folder / "b!.mp4").write_bytes(b"film")
    with pytest.raises(ConfigError, match=r"'b!' is too much like 'B' .*Rename one"):
        with_films_listed(form(folder))


def test_a_folder_that_is_not_there_or_holds_no_film_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no film"):
        with_films_listed(form(tmp_path))
    with pytest.raises(SourceError, match=r"There is no folder .*gone\. Is it mounted"):
        with_films_listed(form(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="there is no folder"):
        demand_films(form(tmp_path / "gone"))
