"""The flow on a local server: what is kept, what is not and why, runs that find what was made, and real dancers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort

from flows.music_to_pose import music_to_pose
from tasks.m2p.build import Summary
from tasks.m2p.config import MusicToPoseForm
from tasks.models import cards
from tasks.schema.errors import ModelError
from tasks.shards.derive import StageNotRunError
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.body.blocks_model import write_blocks_model
from tests.golden.dances import SOUND, VIDEO

pytestmark = pytest.mark.timeout(300)

SMALL = {
    "clips": {
        "pose_model": "blocks",
        "dancers": {"smallest_height": 32},
        "crop": {"smallest_side": 32},
        "pieces": {"shortest_s": 1.0},
    },
    "cut": {"size": 64},
    "poses": {"pose_model": "blocks"},
    "until": "poses",
}
"""For a small video of a block that a tiny model takes for a dancer."""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    broken = folder / "broken.mp4"
    broken.write_bytes(VIDEO.read_bytes()[:5000])
    rows = [f"{VIDEO},{SOUND}", f"{VIDEO.parent / 'missing.mp4'},", f"{broken},"]
    silent = folder / "silent.mp4"
    silent.write_bytes(VIDEO.read_bytes())
    path = folder / "list.csv"
    path.write_text("\n".join(["video,sound", *rows, f"{silent},"]) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A tiny model beside the others, in a folder of models."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "CARDS", (*cards.CARDS, write_blocks_model(folder)))
        patch.setenv("MANNEQUIN_MODELS", str(folder))
        yield


def form(place: Path, **changes: Any) -> MusicToPoseForm:
    return MusicToPoseForm.model_validate(
        {"sources": [{"name": "dance", "location": str(place)}], "controls": False, **SMALL, **changes}
    )


def run(config: MusicToPoseForm) -> Summary:
    state: State[Summary] = music_to_pose(config, return_state=True)
    return state.result()


def artifact(key: str) -> Any:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return json.loads(str(found[0].data))


@pytest.fixture(scope="module")
def first(home: Path, listed: Path) -> Summary:
    return run(form(listed))


def test_every_video_is_kept_or_rejected_with_its_reason(first: Summary, home: Path) -> None:
    assert first.videos == 4
    assert first.kept == {"dance": 1, "clips": 1, "cut_clips": 1, "poses": 1}
    assert first.rejected.items() >= {"video_missing": 1, "video_truncated": 1, "sound_missing": 1}.items()
    manifest = read_manifest(Store(home), "music_to_pose_unfinished", first.manifest)
    assert [line.stage for line in manifest.funnel.lines] == ["dance", "clips", "cut_clips", "poses"]
    assert verify_store(Store(home)).ok


def test_a_run_says_what_became_of_every_video(first: Summary) -> None:
    rows = {row["video"]: row for row in artifact("music-to-pose-videos")}
    assert rows["dance_swaying_block"]["clips"] == 1
    assert "There is no file missing.mp4" in rows["dance_missing"]["lost"]
    assert {row["stage"] for row in artifact("music-to-pose-funnel")} == {"dance", "clips", "cut_clips", "poses"}


def test_a_second_run_makes_nothing(first: Summary, listed: Path, home: Path) -> None:
    before = {(record.stage, record.key) for record in Store(home).records()}
    assert run(form(listed)) == first
    assert {(record.stage, record.key) for record in Store(home).records()} == before


def test_what_was_not_made_before_is_told(first: Summary, listed: Path) -> None:
    with pytest.raises(StageNotRunError, match="cut_clips"):
        run(form(listed, cut={"size": 128}, only_stages=["poses"]))


def test_missing_weights_are_one_clear_error(first: Summary, listed: Path) -> None:
    with pytest.raises(ModelError, match="retinaface"):
        run(form(listed, until="reference"))


@pytest.mark.real
@pytest.mark.timeout(900)
def test_real_dancers_become_a_dataset(
    home: Path, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.exports.m2p import M2PDataset

    monkeypatch.setenv("MANNEQUIN_MODELS", str(real_data / "models"))
    monkeypatch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
    names = ("aist_d2m_high2_2s.mp4", "aist_gt_music_5s.mp4", "musepose_dance_1080x1920_with_music.mp4")
    (tmp_path / "videos.txt").write_text("".join(f"{real_data / 'dance' / name}\n" for name in names))
    model = {"pose_model": "yolov8n-pose-dequantised"}
    config = MusicToPoseForm.model_validate(
        {
            "sources": [{"name": "real", "location": str(tmp_path / "videos.txt")}],
            "clips": {**model, "pieces": {"shortest_s": 1.0}},
            "poses": model,
            "reference": {"detector": "retinaface-mobilenet0.25", "recogniser": "mobilefacenet-128"},
            "exports": {"output": str(tmp_path / "out"), "formats": ["folders", "parquet", "webdataset"], "played": 1},
        }
    )
    summary = run(config)
    assert summary.kept["audit"] == sum(summary.splits.values()) >= 4
    splits = [split for split in ("train", "validation") if summary.splits.get(split)]
    sample = M2PDataset(str(tmp_path / "out"), split=splits[0], sequence_length=24, resolution=512)[0]
    assert sample["music_features"].shape == (24, 4800)
    assert sample["pose_heatmap"].shape == (24, 134, 64, 64)
    assert not sample["has_face"]
    assert (tmp_path / "out" / "overview" / "index.html").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.mp4")}
    assert run(config) == summary
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.mp4")} == made
    other = config.model_copy(update={"split": config.split.model_copy(update={"train_share": 0.5})})
    before = {record.stage for record in Store(home).records()}
    assert run(other).kept == summary.kept
    assert {record.stage for record in Store(home).records()} == before
