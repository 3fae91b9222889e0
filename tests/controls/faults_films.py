"""Faults in the flows of films: video patches, music to pose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.controls.m2p import check_music_to_pose
from tasks.controls.patches import check_video_patches
from tasks.m2p.build import Build as DanceBuild
from tasks.m2p.config import MusicToPoseForm
from tasks.patches.build import Build as PatchBuild
from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.schema.films import Transfer
from tasks.video import convert
from tests.controls.faults import Check, Fault
from tests.controls.film_defects import (
    Plant,
    backwards,
    beside,
    coco_order,
    doubled,
    entry,
    exchanged_chroma,
    halved,
    instead,
    last_clip_lost,
    last_lost,
    later,
    next_picture,
    order,
    poses,
    pq_is_sdr,
    reference_beside,
    reversed_poses,
    rolled,
    sides,
    slipped,
    sound_late,
    square_beside,
    wrong_rate,
    zeroed,
)
from tests.lineage.remake_builds import machine

PATCHES, DANCE = "video_patches", "music_to_pose"


def patch_build(**other: Any) -> PatchBuild:
    """A build of a film that nobody looks at."""
    films = [FilmSource(name="film", path="/film.mp4", categories={"general": 1.0})]
    return PatchBuild(config=VideoPatchesForm.model_validate({"films": films, **other}), read=())


def dance_build(**other: Any) -> DanceBuild:
    """A build of videos that nobody looks at, with small real weights."""
    model = {"pose_model": "yolov8n-pose-dequantised"}
    small = {"detector": "retinaface-mobilenet0.25", "recogniser": "mobilefacenet-128"}
    given = {"sources": [{"name": "dance", "location": "/videos"}], "clips": model, "poses": model, "reference": small}
    return DanceBuild(config=MusicToPoseForm.model_validate({**given, **other}), read=())


def open_checks(folder: Path, real: Path | None) -> dict[str, Check]:
    """Flow -> how a clean build is controlled."""
    films = machine(folder / "films")
    checks: dict[str, Check] = {PATCHES: lambda mark: check_video_patches(patch_build(), films, mark)}
    if real:
        dances = machine(folder / "dances", real / "models")
        checks[DANCE] = lambda mark: check_music_to_pose(dance_build(), dances, mark)
    return checks


def _patches(name: str, stage: str, plant: Plant, **other: Any) -> Fault:
    return Fault(name, PATCHES, stage, plant, **other)


def _dance(name: str, stage: str, plant: Plant, **other: Any) -> Fault:
    return Fault(name, DANCE, stage, plant, real=True, **other)


def _look(target: str, wrong: Callable[[Any], Any], name: str, stage: str) -> Fault:
    return _patches(name, stage, instead(target, wrong))


FAULTS: Sequence[Fault] = (
    _patches("PQ taken for SDR when a film is looked at", "film", pq_is_sdr),
    _patches(
        "PQ read as SDR when it is cut",
        "patches",
        entry("tasks.video.convert._TO_LIGHT", Transfer.PQ, convert._TO_LIGHT[Transfer.SDR]),
    ),
    _patches(
        "HLG read by the curve of PQ",
        "patches",
        entry("tasks.video.convert._TO_LIGHT", Transfer.HLG, convert._TO_LIGHT[Transfer.PQ]),
    ),
    _look(
        "tasks.patches.stacks.low_resolution",
        lambda real: lambda picture: picture[1::3, 1::3].copy(),
        "aliased low resolution",
        "patches",
    ),
    _look(
        "tasks.video.convert.Converter.crop",
        lambda real: lambda *given: real(*given)[..., ::-1].copy(),
        "BGR for RGB in patches",
        "patches",
    ),
    _look("tasks.video.convert.Converter.crop", beside, "a patch one pixel beside its place", "patches"),
    _look("tasks.video.frames.WindowReader.window", later, "a window begins one frame late", "patches"),
    _look("tasks.video.frames.WindowReader.window", backwards, "frames of a window backwards", "patches"),
    _look(
        "tasks.patches.stacks.LR5_FRAMES",
        lambda real: range(5),
        "LR of five frames not in the middle of seven",
        "patches",
    ),
    _look("tasks.patches.cut.stacks", doubled, "a frame doubled and one lost in a window", "patches"),
    _look(
        "tasks.video.probe._scanned",
        lambda real: lambda *given: real(*given).model_copy(update={"rotation": 0}),
        "rotation not read",
        "film",
    ),
    _look(
        "tasks.video.convert.Converter._upright",
        lambda real: lambda self, picture: np.ascontiguousarray(picture),
        "rotation not applied to patches",
        "patches",
    ),
    _look(
        "tasks.video.convert.read_planes",
        lambda real: lambda frame: replace(real(frame), full_range=True),
        "limited range read as full",
        "patches",
    ),
    _patches("BT.601 for BT.709", "patches", entry("tasks.video.convert._MATRICES", "bt709", "bt601")),
    _look(
        "tasks.video.probe.upright_box",
        lambda real: lambda box, coded, rotation, upright: (0, 0, *upright),
        "letterbox not seen",
        "film",
    ),
    _look("tasks.video.stability._cut", lambda real: lambda *given: None, "cut not seen in a window", "patches"),
    _look(
        "tasks.shards.derive.stage_key",
        lambda real: lambda stage, inputs, sides: real(stage, (), ()),
        "stale cache: what a stage read is no part of the key",
        "windows",
    ),
    _look("tasks.patches.windows._table", last_lost, "last window of a film dropped", "windows"),
    _dance("sound one frame late in clips", "cut_clips", instead("tasks.dance.cut.SoundReader.read", sound_late)),
    _dance("BGR for RGB in clips", "cut_clips", instead("tasks.dance.crop._frame", exchanged_chroma)),
    _dance(
        "a clip one pixel beside its square", "cut_clips", instead("tasks.dance.crop.SquareCrop.cut", square_beside)
    ),
    _dance("a clip shows the next frame", "cut_clips", instead("tasks.dance.clip_making.last_shown", next_picture)),
    _dance("last clip dropped", "clips", instead("tasks.dance.clips.PlanClips.process", last_clip_lost)),
    _dance(
        "shots not told apart",
        "clips",
        instead("tasks.video.shots.ShotFinder._is_boundary", lambda real: lambda *given: False),
    ),
    _dance("left and right of joints exchanged", "poses", order(sides)),
    _dance("joints of the 134 in COCO's order", "poses", order(coco_order)),
    _dance("poses of a clip backwards", "poses", poses(reversed_poses)),
    _dance("confidence of joints lost", "poses", instead("tasks.dance.poses.pose_table", zeroed)),
    _dance(
        "BGR for RGB in the reference",
        "reference",
        instead(
            "tasks.dance.reference.encode_jpeg",
            lambda real: lambda picture, quality: real(picture[..., ::-1].copy(), quality),
        ),
    ),
    _dance(
        "reference of another frame",
        "reference",
        instead("tasks.dance.reference.PickReference._row", reference_beside),
    ),
    _dance("music one row late", "music", instead("tasks.dance.music.music_features", slipped)),
    _dance("music at a wrong rate", "music", instead("tasks.dance.music.sound_blocks", wrong_rate)),
    _dance("tempo halved", "music", instead("tasks.dance.music.tempo_of", halved)),
    _dance("chroma rolled by a semitone", "music", instead("tasks.music.features.tonal.chroma", rolled)),
)
