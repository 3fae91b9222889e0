"""Folders and lists of dance videos: what they offer, under which names."""

from pathlib import Path

import polars as pl
import pytest

from tasks.m2p.sources import DanceSource, list_videos, video_names
from tasks.schema.errors import SourceError


def source(place: Path, **more: object) -> DanceSource:
    return DanceSource.model_validate({"name": "dance", "location": str(place), **more})


def test_a_folder_offers_its_videos_and_those_below(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/One Two.MOV", "a/sound.wav", "a/.hidden/c.mp4", "notes.txt", "d.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_videos(source(tmp_path, licence="CC0")).entries
    assert [(entry.name, Path(entry.video).name, entry.licence) for entry in found] == [
        ("dance_a_one_two", "One Two.MOV", "CC0"),
        ("dance_b", "b.mp4", "CC0"),
        ("dance_d", "d.webm", "CC0"),
    ]
    assert len(list_videos(source(tmp_path, limit=2)).entries) == 2


def test_names_differ_and_depend_on_no_other_video() -> None:
    places = ["a b.mp4", "a_b.avi", "舞.mp4", "x" * 90 + ".mp4", "c.mp4"]
    names = video_names("s", places)
    assert len(set(names)) == len(names)
    assert names[4] == "s_c"
    assert names[2] == "s_video"
    assert video_names("s", ["/data/one/a.mp4", "sub/a.mp4"]) == ["s_a", "s_sub_a"]
    assert all(len(name) < 80 for name in names)
    assert video_names("s", places[3:]) == names[3:]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_list_names_videos_sounds_groups_and_licences(tmp_path: Path, form: str) -> None:
    table = pl.DataFrame(
        {
            "video": ["a.mp4", "https://host.example/clips/b.mp4?x=1", "a.mp4"],
            "sound": ["music/a.wav", None, "music/a.wav"],
            "group": ["crew", None, "crew"],
        }
    )
    path = tmp_path / f"list.{form}"
    write = {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}
    write.get(form, lambda to: table.write_csv(to, separator="\t"))(path)
    offer = list_videos(source(path))
    assert offer.repeated == 1
    first, second = offer.entries
    assert (first.video, first.sound, first.group) == (str(tmp_path / "a.mp4"), str(tmp_path / "music/a.wav"), "crew")
    assert (second.name, second.video, second.sound) == ("dance_b", "https://host.example/clips/b.mp4?x=1", "")
    assert second.group == "host.example/clips"


def test_lines_of_a_text_file_are_videos(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("# mine\nhttps://host.example/a.mp4\n\nb.mp4\n")
    assert [entry.name for entry in list_videos(source(tmp_path / "urls.txt")).entries] == ["dance_a", "dance_b"]


def test_what_is_no_source_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "list.csv").write_text("film\na.mp4\n")
    (tmp_path / "gaps.csv").write_text("video,group\n,x\n")
    for place, said in {
        tmp_path / "empty": "offers no video",
        tmp_path / "page.html": "is no list",
        tmp_path / "list.csv": "has no column 'video': it has film",
        tmp_path / "gaps.csv": "row 1 names no video",
        tmp_path / "gone": "There is nothing at",
        Path("here"): "is not absolute",
    }.items():
        with pytest.raises(SourceError, match=said):
            list_videos(source(place))
