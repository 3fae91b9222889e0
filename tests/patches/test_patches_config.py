"""The form: what fits together, and what a build is known by."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.config_faults import place_of, short_name
from tests.patches.planned_films import form

FILM = {"name": "Avatar", "path": "/films/avatar.mkv", "categories": {"general": 1.0}}


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Avatar (2009)", "avatar_2009"),
        ("Das Imperium Schlägt Zurück", "das_imperium_schlagt_zuruck"),
        ("R.E.D 2", "r_e_d_2"),
        ("  M3GAN 2.0 ", "m3gan_2_0"),
    ],
)
def test_short_names_are_readable(name: str, short: str) -> None:
    assert short_name(name) == short


def test_short_names_of_other_scripts_and_long_names_differ() -> None:
    names = ["千と千尋の神隠し", "となりのトトロ", "劇場版 A", "TV版 A", "x" * 80, "x" * 81, "!!!", "???"]
    shorts = [short_name(name) for name in names]
    assert len(set(shorts)) == len(names)
    assert all(len(short) <= 60 and short.isascii() for short in shorts)
    assert shorts[2].startswith("a_")


def test_places_are_written_as_people_do() -> None:
    assert place_of(("films", 17, "categories", "space")) == "films[17].categories.space"
    assert place_of(("films", 17, "path"), {("films",): "videos"}) == "videos[17].path"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"films": [FILM, {**FILM, "path": "/b.mkv"}]}, r"films\[1\].name: 'Avatar' is that of films\[0\] already"),
        ({"films": [FILM, {**FILM, "name": "B"}]}, r"films\[1\].path: .* is that of films\[0\] already"),
        ({"films": [FILM, {**FILM, "name": "avatar!", "path": "/b.mkv"}]}, "both become avatar"),
        ({"films": [{**FILM, "path": "films/a.mkv"}]}, r"films\[0\].path: 'films/a.mkv' is no absolute path"),
        ({"films": [{**FILM, "path": "/films/a.txt"}]}, "does not end like a film"),
        ({"films": [{**FILM, "categories": {"spcae": 1.0}}]}, "unknown category, did you mean space?"),
        ({"films": [{**FILM, "categories": {"horror": 1.0}}]}, "unknown category; there is general, space, toon"),
        ({"films": [{**FILM, "categories": {"general": 0}}]}, "greater than 0"),
        ({"films": [{**FILM, "categories": {"general": float("nan")}}]}, "finite number"),
        ({"films": [{**FILM, "categories": {}}]}, "at least 1 item"),
        ({"films": []}, "films: is empty: name films, or a folder of them"),
        ({"films": [FILM], "output": "out"}, "output: 'out' is no absolute path"),
        ({"films": [FILM], "machine": {"temporary": "tmp"}}, "machine.temporary: 'tmp' is no absolute path"),
        (
            {"films": [FILM], "categories": [{"name": "general", "folder": "G", "formats": {"smal_540": 1.0}}]},
            r"categories\[0\].formats.smal_540: unknown format, did you mean small_540?",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        VideoPatchesForm.model_validate(given)


def test_all_contradictions_are_said_at_once() -> None:
    films = [FILM, {**FILM, "path": "b.txt", "categories": {"spcae": 1.0}}]
    with pytest.raises(ValidationError) as caught:
        VideoPatchesForm.model_validate({"films": films})
    assert str(caught.value).count("films[1].") == 4


def test_the_form_is_the_seed_where_nothing_else_is_said() -> None:
    found = form({"general": 0.3, "space": 0.4, "toon": 0.3})
    assert found.totals() == {"general": 900, "space": 1200, "toon": 900}
    assert found.steps == ("film", "windows", "patches")
    goal = found.wanted(found.films[0])
    assert [(each.name, each.windows) for each in goal.categories] == [("general", 900), ("space", 1200), ("toon", 900)]
    assert [each.name for each in goal.categories[1].formats] == ["small_540", "xlarge_1440", "fullhd_1920"]


def test_steps_are_those_asked_for() -> None:
    assert form(until="windows").steps == ("film", "windows")
    assert form(only_stages=["windows"]).steps == ("windows",)


def test_a_build_is_not_known_by_where_its_files_lie() -> None:
    here = form(output="/a", machine={"workers": 7})
    there = here.model_copy(update={"films": (here.films[0].model_copy(update={"path": "/other.mkv"}),)})
    assert here.build_params() == there.build_params()
    assert "workers" not in json.dumps(here.build_params())
    assert here.build_params() != form(windows=10).build_params()


def test_a_folder_takes_the_place_of_films() -> None:
    folder = {"path": "/films", "categories": {"general": 1.0}}
    assert VideoPatchesForm.model_validate({"folders": [folder]}).films == ()
    for given, said in (
        ([{**folder, "path": "films"}], r"folders\[0\].path: 'films' is no absolute path"),
        ([{**folder, "categories": {"spcae": 1.0}}], r"folders\[0\].categories.spcae: unknown category"),
        ([folder, folder], r"folders\[1\].path: '/films' is that of folders\[0\] already"),
    ):
        with pytest.raises(ValidationError, match=said):
            VideoPatchesForm.model_validate({"folders": given})


def test_the_form_shows_in_the_ui() -> None:
    """No unions, which the UI does not draw; every parameter has a title of its own."""
    schema = VideoPatchesForm.model_json_schema()
    assert "oneOf" not in json.dumps(schema)
    assert "anyOf" not in json.dumps(schema)
    for model in (VideoPatchesForm, FilmSource):
        assert all(field.title for field in model.model_fields.values())


def test_what_the_form_says_can_be_given_again() -> None:
    found = form()
    assert VideoPatchesForm.model_validate_json(found.model_dump_json()) == found
