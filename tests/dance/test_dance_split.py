"""Clips that share a song, a person or a folder are in one split, today and when videos are added."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.dance.split import SplitClips, SplitConfig
from tasks.dance.split_people import people
from tasks.music.fingerprint import Fingerprint
from tasks.schema.clips import EMBEDDING_WIDTH
from tasks.schema.errors import ConfigError
from tasks.shards.stage import Whole

MODEL = "auraface-v1"


@dataclass(frozen=True)
class Video:
    """A video of two clips; `person` None: no face."""

    name: str
    song: int
    person: int | None = None
    folder: str = "all"
    sound: str = ""


def a_print(song: int, clip: int) -> bytes:
    """Of a part of a song: clips of one number share most of it, shifted."""
    draw = np.random.default_rng(song)
    hashes = draw.integers(0, 1 << 27, 400, np.uint32)
    frames = np.sort(draw.integers(0, 700, 400)).astype(np.int32)
    order = np.argsort(hashes, kind="stable")
    own = order[(frames[order] >= clip * 60)]
    return Fingerprint(hashes[own], frames[own] - clip * 60, 701 - clip * 60).to_bytes()


def a_face(person: int, draw: np.random.Generator) -> list[float]:
    centre = np.random.default_rng(1000 + person).normal(size=EMBEDDING_WIDTH)
    face = centre + 0.6 * draw.normal(size=EMBEDDING_WIDTH)
    return list(face / np.linalg.norm(face))


def whole_inputs(folder: Path, videos: Sequence[Video]) -> tuple[Whole, ...]:
    """A shard of each kind for the first half of the videos, and one for the others."""
    draw = np.random.default_rng(5)
    found = []
    for half, some in enumerate((videos[: len(videos) // 2], videos[len(videos) // 2 :])):
        clips = [(video, number) for video in some for number in range(2)]
        ids = [f"{video.name}/c{number:03d}" for video, number in clips]
        faces = [a_face(video.person, draw) if video.person is not None else None for video, _ in clips]
        tables = {
            "dance": {
                "sample_id": [video.name for video in some],
                "sound_digest": [video.sound or f"sound of {video.name}" for video in some],
                "group": [video.folder for video in some],
            },
            "music": {
                "sample_id": ids,
                "fingerprint": pa.array([a_print(video.song, number) for video, number in clips], pa.binary()),
            },
            "reference": {
                "sample_id": ids,
                "embedding": pa.array(faces, pa.list_(pa.float32(), EMBEDDING_WIDTH)),
                "embedding_model": [MODEL] * len(ids),
                "embedding_missing": pa.array([None] * len(ids), pa.string()),
            },
        }
        for kind, columns in tables.items():
            path = folder / f"{kind}{half}.parquet"
            pq.write_table(pa.table(columns), path)
            found.append(Whole(path))
    return tuple(found)


def run(
    folder: Path, videos: Sequence[Video], before: Path | None = None, **config: Any
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Rows by sample id, and facts; the split is written to `folder / split.parquet`."""
    rows = [
        {"sample_id": f"{video.name}/c{n:03d}", "parent_id": video.name, "source_uri": "", "licence": ""}
        for video in videos
        for n in range(2)
    ]
    whole = whole_inputs(folder, videos) + ((Whole(before),) if before else ())
    (output,) = SplitClips(SplitConfig(**config)).process_with(iter(pa.Table.from_pylist(rows).to_batches()), whole)
    assert [row["sample_id"] for row in output.kept.to_pylist()] == [row["sample_id"] for row in rows]
    pq.write_table(output.kept, folder / "split.parquet")
    return {row["sample_id"]: row for row in output.kept.to_pylist()}, dict(output.facts)


MANY = tuple(Video(f"v{n:03d}", song=n // 2, person=500 + n) for n in range(80))
"""Forty songs of two videos each, and nobody dances twice."""


def test_songs_and_shares(tmp_path):
    rows, facts = run(tmp_path, MANY)
    splits = defaultdict(set)
    for n, video in enumerate(MANY):
        for clip in range(2):
            row = rows[f"{video.name}/c{clip:03d}"]
            assert row["video"] == video.name
            splits[n // 2].add((row["split"], row["group"], row["song_group"]))
    assert all(len(each) == 1 for each in splits.values())
    assert (facts["songs"], facts["people"]) == (40, 80)
    assert facts["groups"]["train"] + facts["groups"]["validation"] == 40
    assert facts["clips"] == {"train": 4 * facts["groups"]["train"], "validation": 4 * facts["groups"]["validation"]}
    assert facts["train_share"] == facts["clips"]["train"] / 160
    assert 0.65 < facts["train_share"] < 0.95
    assert not facts["findings"]
    assert facts["cosines"] == {MODEL: 0.5}


def test_people_files_and_folders_join(tmp_path):
    videos = (
        Video("a", 1, 1), Video("b", 2, 1), Video("c", 3), Video("d", 4, sound="x"), Video("e", 5, sound="x"),
        Video("f", 6, folder="duo"), Video("g", 7, folder="duo"), Video("h", 8, 2), Video("i", 9, 3), Video("j", 10),
    )  # fmt: skip

    def groups(**config: Any) -> set[frozenset[str]]:
        found = defaultdict(set)
        for row in run(tmp_path, videos, **config)[0].values():
            found[row["group"]].add(row["video"])
        return {frozenset(each) for each in found.values() if len(each) > 1}

    assert groups() == {frozenset("ab"), frozenset("de"), frozenset("fg")}
    assert groups(by_person=False, largest_folder=0.0) == {frozenset("de")}
    assert groups(by_song=False, person_cosine=0.999) == {frozenset("fg")}
    assert groups(largest_folder=1.0) == {frozenset("abcdehij"), frozenset("fg")}
    rows, facts = run(tmp_path, videos)
    assert rows["a/c000"]["person_group"] == rows["b/c001"]["person_group"] != rows["h/c000"]["person_group"]
    assert rows["c/c000"]["person_group"] == ""
    assert rows["d/c000"]["song_group"] == rows["e/c001"]["song_group"]
    assert facts["people"] == 3


def test_more_videos_move_nobody(tmp_path):
    first, _ = run(tmp_path, MANY[:40])
    more, _ = run(tmp_path, (*MANY, Video("w", 4)))
    for name, row in first.items():
        assert (more[name]["group"], more[name]["split"]) == (row["group"], row["split"])
    assert more["w/c000"]["group"] == first["v008/c000"]["group"]


def test_an_earlier_split_holds_whatever_the_names(tmp_path):
    first, _ = run(tmp_path, MANY)
    before = (tmp_path / "split.parquet").rename(tmp_path / "before.parquet")
    earlier_names = tuple(Video(f"a{n:03d}", song=n) for n in range(40))
    again, _ = run(tmp_path, (*earlier_names, *MANY), before)
    assert all((again[name]["group"], again[name]["split"]) == (r["group"], r["split"]) for name, r in first.items())
    one_song = [next(v for v in MANY if first[f"{v.name}/c000"]["split"] == s) for s in ("train", "validation")]
    linked = (*MANY, *(Video(f"x{v.song}", v.song, person=1) for v in one_song))
    joined, _ = run(tmp_path, linked, before)
    assert {joined[f"{v.name}/c000"]["split"] for v in one_song} == {"validation"}


def test_too_few_groups_are_told_of(tmp_path):
    rows, facts = run(tmp_path, MANY[:2])
    (split,) = {row["split"] for row in rows.values()}
    assert facts["findings"] == [f"All 4 clips are {split}: 1 groups are too few, or the salt is unlucky."]
    assert run(tmp_path, ())[1]["findings"] == []


def test_a_whole_input_that_is_missing_is_asked_for(tmp_path):
    rows = pa.Table.from_pylist([{"sample_id": "a/c0", "parent_id": "a", "source_uri": "", "licence": ""}])
    stage = SplitClips(SplitConfig())
    with pytest.raises(ConfigError, match="of every clip: a/c0"):
        list(stage.process_with(iter(rows.to_batches()), ()))
    pq.write_table(rows, tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match="of no use"):
        list(stage.process_with(iter(rows.to_batches()), (Whole(tmp_path / "other.parquet"),)))


def test_faces_of_different_models_are_not_compared():
    face = a_face(1, np.random.default_rng(0))
    found = people(["a", "b", "c"], [("one", face), ("two", face), None], {"one": 0.5, "two": 0.5})
    assert found == [0, 1, None]
