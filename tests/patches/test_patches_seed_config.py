"""Configuration files: the seed's as they are, our own, and all that may be wrong with them."""

import json
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from tasks.patches.config import VideoPatchesForm
from tasks.patches.seed_config import demand_films, read_config, read_seed_config
from tasks.schema.errors import ConfigError

DATA = Path(__file__).parents[1] / "data" / "video_patches"
FILMS = ("bikes_640x272_10s_cuts.mp4", "bigbuckbunny_720p_5s.mp4", "hdr10_pq_av1_1080p_mdcv_clli.mp4")
VIDEO = {"name": "Avatar", "path": "/films/avatar.mkv", "categories": {"general": 0.3, "space": 0.4, "toon": 0.3}}


def example(name: str, folder: Path) -> Any:
    """A configuration of tests/data, and films to be found where it says."""
    for film in FILMS:
        (folder / film).write_bytes(b"film")
    return yaml.safe_load(Template((DATA / name).read_text()).substitute(FILMS=folder, OUTPUT=folder / "o", NAME=""))


def seeds(*videos: Any, **other: Any) -> dict[str, Any]:
    return {"base_settings": {"base_frame_limit": 3000}, "videos": list(videos) or [VIDEO], **other}


def faults(given: object, *, look: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_config(given, look=look)
    head, *lines = str(caught.value).splitlines()
    assert "nothing was started" in head
    assert str(len(lines)) in head or (len(lines) == 1 and "one fault" in head)
    return [line.strip() for line in lines]


def test_the_seeds_file_is_read_as_it_is(tmp_path: Path) -> None:
    found = read_config(example("generator_config.json", tmp_path))
    form = found.form
    assert [film.name for film in form.films] == ["Bikes", "Big Buck Bunny", "Bridge (HDR10)"]
    assert form.windows_per_film == 20
    assert form.output == str(tmp_path / "o")
    assert form.machine.temporary == str(tmp_path / "o" / "temp")
    assert form.machine.workers == 2
    assert form.planning.replacements == 10
    assert form.stability.difference_limit == 45
    assert form.totals() == {"general": 36, "space": 10, "toon": 14}
    assert any("val_percent is not used: Val is never filled automatically" in note for note in found.notes)


def test_our_own_file_says_the_same_in_its_form(tmp_path: Path) -> None:
    found = read_config(example("own.yaml", tmp_path))
    assert not found.notes
    assert found.form.totals() == {"general": 34, "space": 8, "toon": 14, "tall": 4}
    assert found.form.films[0].licence == "CC-BY-3.0"


def test_our_own_file_names_every_parameter(tmp_path: Path) -> None:
    given = example("own.yaml", tmp_path)
    assert VideoPatchesForm.model_fields.keys() - given.keys() <= {"stability", "detail", "only_stages", "controls"}
    for part in ("planning", "machine"):
        assert VideoPatchesForm.model_fields[part].annotation.model_fields.keys() == given[part].keys()


def test_the_shortest_seed_configuration_is_enough() -> None:
    form = read_config({"videos": [VIDEO]}, look=False).form
    assert form.windows_per_film == 3000
    assert form == read_seed_config(seeds(), look=False).form


def test_all_faults_are_said_at_once_with_their_places() -> None:
    given = {
        "base_settings": {"base_frame_limit": 0, "max_workers": "many", "output_base_dir": "out", "base_frame_limt": 3},
        "videos": [
            {"name": "A", "path": "/films/a.mkv", "categories": {"general": 0.5, "spcae": 0.5}},
            {"name": "A", "path": "films/a.txt", "categories": {"general": -1, "space": 0}},
            {"name": "A!", "categories": {}},
            7,
            {"name": "B", "path": "/films/a.mkv", "catgories": {"toon": 1}},
        ],
        "format_config": {
            "general": {
                "small_540": {"gt_size": [540, 540], "lr_size": [180, 181], "probability": 0.5},
                "x": {"gt_size": [541, 540], "probability": 0.3},
            }
        },
    }
    assert faults(given, look=True) == [
        "base_settings.base_frame_limit: should be greater than or equal to 1, not 0",
        "base_settings.base_frame_limt: unknown, did you mean base_frame_limit?",
        "base_settings.max_workers: should be a whole number, not 'many'",
        "base_settings.output_base_dir: 'out' is no absolute path",
        "format_config.general: the shares of the formats add up to 0.8, not to 1",
        "format_config.general.small_540.lr_size: [180, 181] times 3 is not the size [540, 540]",
        "format_config.general.x.width: should be a multiple of 3, not 541",
        "videos[0].categories.spcae: unknown category, did you mean space?",
        "videos[0].path: there is no file /films/a.mkv",
        "videos[1].categories.general: should be greater than 0, not -1",
        "videos[1].categories.space: should be greater than 0, not 0",
        "videos[1].name: 'A' is that of videos[0] already",
        "videos[1].path: 'films/a.txt' is no absolute path",
        "videos[1].path: 'films/a.txt' does not end like a film, as in .mkv or .mp4",
        "videos[1].path: there is no file films/a.txt",
        "videos[2].categories: is empty",
        "videos[2].name: 'A!' is too much like 'A' (videos[0]): both become a",
        "videos[2].path: is missing",
        "videos[3]: should be a mapping, not 7",
        "videos[4].categories: is missing",
        "videos[4].catgories: unknown, did you mean categories?",
        "videos[4].path: '/films/a.mkv' is that of videos[0] already",
        "videos[4].path: there is no file /films/a.mkv",
    ]


def test_faults_of_our_own_form_come_with_its_places() -> None:
    film = {"name": "A", "path": "/films/a.mkv", "categories": {"spcae": 1.0}, "licens": "x"}
    given = {"films": [film], "plannning": {}, "planning": {"seeed": 3}, "ground_truth": "4k"}
    assert faults(given) == [
        "films[0].categories.spcae: unknown category, did you mean space?",
        "films[0].licens: unknown, did you mean licence?",
        "ground_truth: should be '1080p' or 'native', not '4k'",
        "planning.seeed: unknown, did you mean seed?",
        "plannning: unknown, did you mean planning?",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_settings": {}}, "videos: no films are given"),
        ({"videos": []}, "videos: is empty"),
        ({"videos": {"a": 1}}, "videos: should be a"),
        ({"videos": [VIDEO], "base_settings": 3}, "base_settings: a mapping is wanted, not 3"),
        ({"videos": [VIDEO], "vidoes": []}, "vidoes: unknown, did you mean videos?"),
        (seeds({**VIDEO, "categories": ["general"]}), "videos[0].categories: should be a mapping, not ['general']"),
        (seeds({**VIDEO, "name": ""}), "videos[0].name: "),
        (seeds({**VIDEO, "name": 1917}), "videos[0].name: should be text (numbers in quotes), not 1917"),
        (seeds(format_config=[]), "format_config: a mapping is wanted, not []"),
        (seeds(format_config={"general": 3}), "format_config.general: a mapping is wanted, not 3"),
        (seeds(formats={"x": {"gt_size": 540}}), "formats.x.gt_size: [width, height] is wanted, not 540"),
        (seeds(formats={"small_540": {"gt_size": ["a", 540]}}), "formats.small_540.width: should be a whole number"),
        (
            seeds(format_distributions={"toon": {"smal_540": 1.0}}),
            "format_distributions.toon.smal_540: unknown format, did you mean small_540?",
        ),
        (seeds(categories={"new": {"folder": "New"}}), "categories.new.formats: is missing"),
    ],
)
def test_whatever_is_wrong_has_its_place(given: dict[str, Any], said: str) -> None:
    assert any(line.startswith(said) for line in faults(given)), faults(given)


@pytest.mark.parametrize("given", [None, [], "text", 3])
def test_what_is_no_configuration_at_all_is_said(given: object) -> None:
    with pytest.raises(ConfigError, match="no mapping"):
        read_config(given)


def test_distributions_and_categories_of_the_file_count() -> None:
    config = {
        "master": {
            "small_540": {"gt_size": [540, 540], "lr_size": [180, 180], "probability": 0.6},
            "medium_169": {"gt_size": [405, 720], "lr_size": [135, 240], "probability": 0.3},
            "tiny": {"gt_size": [270, 270], "lr_size": [90, 90], "probability": 0.1},
        }
    }
    video = {**VIDEO, "categories": {"master": 0.25, "toon": 0.75}}
    found = read_config(seeds(video, format_config=config, category_targets={"master": 1000}), look=False)
    master = next(each for each in found.form.categories if each.name == "master")
    assert master.folder == "Master/MasterModel/Learn"
    assert master.formats == {"small_540": 0.6, "medium_169": 0.3, "tiny": 0.1}
    sizes = {each.name: each.size for each in found.form.formats}
    assert sizes["medium_169"] == (720, 405)
    assert sizes["tiny"] == (270, 270)
    assert any("medium_169: [405, 720] was read as height and width" in note for note in found.notes)
    assert any("master 750" in note and "toon 2,250" in note for note in found.notes)


def test_categories_may_have_folders_and_shares() -> None:
    categories = {"toon": {"folder": "Cartoon/Learn", "formats": {"small_540": 1.0}}}
    form = read_config(seeds(categories=categories), look=False).form
    toon = next(each for each in form.categories if each.name == "toon")
    assert (toon.folder, toon.formats) == ("Cartoon/Learn", {"small_540": 1.0})


def test_weights_that_do_not_add_up_to_one_are_noted() -> None:
    video = {**VIDEO, "categories": {"general": 1.0, "toon": 0.5}}
    notes = read_config(seeds(video), look=False).notes
    assert notes == ("videos[0]: the weights of 'Avatar' add up to 1.5, not to 1: 4,500 windows.",)


def test_comments_are_neither_faults_nor_notes() -> None:
    found = read_config(seeds({**VIDEO, "_comment": "x"}, _comment_usage="y"), look=False)
    assert not found.notes
    noted = read_config(seeds(dataset="z"), look=False)
    assert noted.notes == ("dataset is not known and not used.",)


def test_films_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "folder.mkv").mkdir()
    (tmp_path / "empty.mkv").touch()
    names = ("folder", "empty", "none")
    videos = [{**VIDEO, "name": name, "path": str(tmp_path / f"{name}.mkv")} for name in names]
    assert [line.rsplit("/", 1)[1] for line in faults(seeds(*videos), look=True)] == [
        "folder.mkv is a folder",
        "empty.mkv is empty",
        "none.mkv",
    ]
    form = read_config(seeds(*videos), look=False).form
    with pytest.raises(ConfigError, match=r"3 faults"):
        demand_films(form)


def test_a_file_of_five_hundred_films_is_read() -> None:
    videos = [{**VIDEO, "name": f"Film {n}", "path": f"/films/{n}.mkv"} for n in range(497)]
    found = read_config(json.loads(json.dumps(seeds(*videos))), look=False)
    assert found.form.totals() == {"general": 497 * 900, "space": 497 * 1200, "toon": 497 * 900}
