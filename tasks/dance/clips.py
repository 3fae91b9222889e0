"""The stage that plans the clips of a dance video: steady pieces with one dancer, and the square that follows him."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue

from tasks.body.pose_model import PersonDetections, PoseModel, open_fast_pose_model
from tasks.body.track import Track, Tracker, TrackRules
from tasks.dance.crop_track import CropRules, crop_track
from tasks.dance.dancers import DancerRules, Dancers, Person, body_between, dancers_of, presence
from tasks.dance.film_pass import demand_decodable
from tasks.dance.grid import grid_frames
from tasks.dance.look import Counts, Seen, look_through
from tasks.dance.plan import LeftOut, Piece, PieceRules, covered, pieces_of, runs_of
from tasks.models.device import Device, cpu_threads
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.clips import CLIP_FPS, CLIP_SCHEMA
from tasks.schema.films import Film
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput
from tasks.video.films import demand_film, film_of_row
from tasks.video.probe import ProbeError
from tasks.video.shots import ShotRules

Row = dict[str, Any]


class ClipsConfig(Frozen):
    """All that decides which clips a video gives.

    `pose_model` names a card; `look_every`: frames of a clip from one look for people to the next, who are followed
    between.
    """

    pose_model: str = "yolov8n-pose"
    look_every: int = Field(6, ge=1, le=24)
    shots: ShotRules = ShotRules()
    tracks: TrackRules = TrackRules()
    dancers: DancerRules = DancerRules()
    pieces: PieceRules = PieceRules()
    crop: CropRules = CropRules()


@dataclass(frozen=True)
class PlanClips(Stage):
    """Dance videos to clips; a video is read once, and in bounded memory.

    Every frame of the video is in a clip or in a rejected child that says why it is not; a video without a clip is
    rejected with the reason that cost it most. Facts: `seconds` of the video, `clip_seconds` and `left_out` (by reason)
    add up to them, `clips`, `shots`, and what it took: `decoded` frames, `shown` ones, `looks` for people.

    Attributes:
        path: where the video lies on this machine.
        model: sees people.
        careful: a child process decodes the video first; one that it does not survive is rejected.
    Raises:
        SourceError: the video is not there, or is another one by now.
    """

    config: ClipsConfig
    path: Path
    model: PoseModel
    careful: bool = False

    name: ClassVar[str] = "clips"
    version: ClassVar[int] = 1
    fan_out: ClassVar[bool] = True

    @classmethod
    def of(
        cls, config: ClipsConfig, path: Path, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None
    ) -> Self:
        """The stage with the model that the configuration names, run by what is fastest; nothing is loaded yet.

        Raises:
            ModelError: no card has the model's name; while running also: its weights cannot be had.
        """
        return cls(config, path, open_fast_pose_model(config.pose_model, zoo, device, runtime))

    def __post_init__(self) -> None:
        if self.model.name != self.config.pose_model:
            raise ValueError(f"the model is {self.model.name}, the configuration says {self.config.pose_model}")

    @property
    def schema(self) -> pa.Schema:
        return CLIP_SCHEMA

    def cautious(self) -> "PlanClips":
        return replace(self, careful=True)

    def models(self) -> dict[str, str]:
        return {self.model.name: self.model.sha256}

    def execution(self) -> dict[str, str]:
        import av

        libraries = ("libavcodec", "libavformat", "libavutil")
        packages = ("numpy", "opencv-python-headless", "numba", "scenedetect", "scipy")
        return {
            **{name: ".".join(str(part) for part in av.library_versions[name]) for name in libraries},
            **{name: version_of(name) for name in packages},
            **self.model.execution(),
        }

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the model's card."""
        thresholds: dict[str, JsonValue] = dict(self.model.card.thresholds)
        return {**super().params(), "thresholds": thresholds}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        rows = [row for batch in batches for row in batch.to_pylist()]
        if not rows:
            yield StageOutput(CLIP_SCHEMA.empty_table(), facts=_Tally().facts(Counts()))
            return
        if len(rows) > 1:
            raise ValueError(f"a shard of the stage before holds one video, not {len(rows)}")
        film = film_of_row(rows[0], self.path)
        demand_film(film)
        try:
            if self.careful:
                demand_decodable(film, self.path, cpu_threads())
        except ProbeError as error:
            why = Rejection(rows[0]["sample_id"], error.reason, error.detail, source_uri=rows[0]["source_uri"])
            yield StageOutput(CLIP_SCHEMA.empty_table(), (why,), _Tally().facts(Counts()))
        else:
            yield from _Video(film, rows[0], self.config, self.model).outputs()


@dataclass(frozen=True, eq=False)
class _Planned:
    """A stretch's pieces, whom they show, and what is left."""

    pieces: Sequence[Piece]
    dancers: Sequence[tuple[Person, Track]]
    left: Sequence[LeftOut]


@dataclass
class _Tally:
    """Frames of the grid, counted on the way."""

    clips: int = 0
    in_clips: int = 0
    shots: int = 0
    frames: int = 0
    left: Counter[Reason] = field(default_factory=Counter)

    def facts(self, counts: Counts) -> dict[str, JsonValue]:
        return {
            "seconds": self.frames / CLIP_FPS,
            "clip_seconds": self.in_clips / CLIP_FPS,
            "left_out": {reason.value: frames / CLIP_FPS for reason, frames in sorted(self.left.items())},
            "clips": self.clips,
            "shots": self.shots,
            "decoded": counts.decoded,
            "shown": counts.shown,
            "looks": counts.looks,
        }


class _Video:
    """One way through a video."""

    def __init__(self, film: Film, row: Row, config: ClipsConfig, model: PoseModel) -> None:
        self._film, self._row, self._config, self._model = film, row, config, model
        self._shortest = config.pieces.shortest(grid_frames(film))
        self._tally = _Tally()
        self._numbers: dict[tuple[int, int], int] = {}
        self._lefts = 0

    def outputs(self) -> Iterator[StageOutput]:
        counts = Counts()
        seen_all = look_through(
            *(self._film, Path(self._film.path), self._model, self._config.shots, self._config.look_every),
            *(counts, cpu_threads()),
        )
        for seen in seen_all:
            yield self._output(seen)
        tally = self._tally
        if tally.clips:
            yield StageOutput(CLIP_SCHEMA.empty_table(), facts=tally.facts(counts))
            return
        yield StageOutput(CLIP_SCHEMA.empty_table(), (self._why_none(),), tally.facts(counts))

    def _output(self, seen: Seen) -> StageOutput:
        tally = self._tally
        planned = plan_stretch(seen, self._config, self._shortest, self._model.card.thresholds["joint"])
        rows = [self._clip(piece, *planned.dancers[piece.person]) for piece in planned.pieces]
        rejected = tuple(self._child(left) for left in planned.left)
        tally.clips += len(rows)
        tally.shots += seen.stretch.steady
        tally.frames += len(seen.stretch)
        for left in planned.left:
            tally.left[left.reason] += left.end - left.first
        tally.in_clips += len(seen.stretch) - sum(left.end - left.first for left in planned.left)
        return StageOutput(pa.Table.from_pylist(rows, schema=CLIP_SCHEMA), rejected)

    def _clip(self, piece: Piece, person: Person, track: Track) -> Row:
        frames = np.arange(piece.first, piece.end)
        crop = crop_track(body_between(person, frames), self._film.content, self._config.crop)
        boxes = track.boxes_at(frames)
        number = self._numbers.setdefault((piece.first, piece.end), len(self._numbers))
        video = self._row["sample_id"]
        return {
            "sample_id": f"{video}/c{number:03d}" + (f"_d{piece.dancer}" if piece.dancer else ""),
            "parent_id": video,
            "source_uri": self._row["source_uri"],
            "licence": self._row["licence"],
            "video": video,
            "dancer": piece.dancer,
            "shot": self._tally.shots,
            "start_s": piece.first / CLIP_FPS,
            "frames": len(piece),
            "crop": crop.kind,
            "crop_centre_xy": crop.centre_xy.ravel(),
            "crop_side": crop.side,
            "dancer_xyxy": boxes.xyxy.ravel(),
            "dancer_score": boxes.score,
        }

    def _child(self, left: LeftOut) -> Rejection:
        number, self._lefts = self._lefts, self._lefts + 1
        evidence = json.dumps({"start_s": left.first / CLIP_FPS, "end_s": left.end / CLIP_FPS})
        name = f"{self._row['sample_id']}/left{number:03d}"
        return Rejection(name, left.reason, left.detail, left.seconds, self._row["source_uri"], evidence)

    def _why_none(self) -> Rejection:
        tally, video = self._tally, self._row["sample_id"]
        if not tally.frames:
            said = "No picture of the video could be decoded."
            return Rejection(video, Reason.VIDEO_UNREADABLE, said, source_uri=self._row["source_uri"])
        reason, frames = max(tally.left.items(), key=lambda item: (item[1], item[0]))
        said = (
            f"No clip: of {tally.frames / CLIP_FPS:.1f} s, {frames / CLIP_FPS:.1f} s are left out as {reason.value} "
            f"(a clip needs {self._shortest / CLIP_FPS:g} s)."
        )
        return Rejection(video, reason, said, frames / CLIP_FPS, self._row["source_uri"])


def plan_stretch(seen: Seen, config: ClipsConfig, shortest: int, joint_floor: float) -> _Planned:
    """The clips of one stretch, and what of it is left out.

    Args:
        seen: the stretch and its people.
        config: all rules.
        shortest: frames of a clip, at least.
        joint_floor: confidence from which a joint widens a body.
    """
    stretch = seen.stretch
    if stretch.reason is not None:
        reason = Reason.NO_STEADY_SHOT if stretch.reason is not Reason.FRAMES_UNREADABLE else stretch.reason
        return _Planned((), (), (LeftOut(stretch.first, stretch.end, reason, stretch.detail),))
    needed = f"a clip needs {shortest / CLIP_FPS:g} s"
    if len(stretch) < shortest:
        told = f"The shot lasts {len(stretch) / CLIP_FPS:.2f} s, {needed}."
        return _Planned((), (), (LeftOut(stretch.first, stretch.end, Reason.NO_STEADY_SHOT, told),))
    tracked = people_of(seen.people, config.tracks, joint_floor)
    found = dancers_of(tuple(person for person, _ in tracked), len(seen.people), config.dancers)
    by_number = {person.number: (person, track) for person, track in tracked}

    def runs(person: Person) -> list[tuple[int, int]]:
        return presence(person, stretch.first, stretch.end, config.look_every, config.dancers)

    there = [runs(person) for person in found.dancers]
    pieces = pieces_of(there, shortest, config.pieces.longest, everybody=config.dancers.who == "all")
    small, others = ([run for p in some for run in runs(p)] for some in (found.small, found.others))
    left = left_out((stretch.first, stretch.end), pieces, found, ([r for t in there for r in t], small, others), needed)
    return _Planned(pieces, [by_number[p.number] for p in found.dancers], left)


def people_of(people: dict[int, PersonDetections], rules: TrackRules, joint_floor: float) -> list[tuple[Person, Track]]:
    """Who is who in a shot: each person with the body's box, and the track.

    Args:
        people: frame -> detections, in the order of time.
        rules: of tracking.
        joint_floor: confidence from which a joint widens a body.
    """
    tracker = Tracker(rules)
    bodies: dict[int, np.ndarray] = {}
    for frame, seen in people.items():
        tracker.see(frame, seen)
        sure = (seen.keypoints.confidence >= joint_floor)[..., None]
        low = np.where(sure, seen.keypoints.xy, np.float32(np.inf)).min(axis=1, initial=np.inf)
        high = np.where(sure, seen.keypoints.xy, np.float32(-np.inf)).max(axis=1, initial=-np.inf)
        xyxy = seen.boxes.xyxy
        bodies[frame] = np.concatenate([np.minimum(xyxy[:, :2], low), np.maximum(xyxy[:, 2:], high + 1)], axis=1)
    return [
        (
            Person(
                track.number,
                track.frames,
                track.xyxy,
                np.stack([bodies[int(f)][i] for f, i in zip(track.frames, track.index, strict=True)]),
                track.score,
            ),
            track,
        )
        for track in tracker.tracks
    ]


def left_out(
    span: tuple[int, int],
    pieces: Sequence[Piece],
    found: Dancers,
    there: tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]],
    needed: str,
) -> list[LeftOut]:
    """The parts of a shot that are in no piece, each with the nearest reason, in the order of time.

    Args:
        span: of the shot.
        pieces: its clips.
        found: its people.
        there: where dancers, people who are too small, and others are.
        needed: how long a clip has to be, in words.
    """
    free = ~covered(*span, [(p.first, p.end) for p in pieces])
    dancing, small, others = (covered(*span, runs) for runs in there)
    seen_m = f"{max((p.height for p in found.small), default=0):.0f}"
    rules: list[tuple[np.ndarray, Reason, str]] = [
        (dancing, Reason.DANCER_LOST, f"The dancer is not there long enough at a time, {needed}."),
        (small, Reason.VIDEO_TOO_SMALL, f"The people are at most {seen_m} pixels high: too small for a clip."),
        (others, Reason.PERSON_SCORE_LOW, "The people here are unsure, or onlookers beside a larger dancer."),
    ]
    if found.dancers:
        rules.append((np.ones_like(free), Reason.DANCER_LOST, "The dancer is not to be seen."))
    else:
        rules.append((np.ones_like(free), Reason.NOBODY_FOUND, "Nobody is to be seen."))
    left: list[LeftOut] = []
    for marks, reason, detail in rules:
        left += [LeftOut(*run, reason, detail) for run in runs_of(free & marks, span[0])]
        free &= ~marks
    return sorted(left, key=lambda each: each.first)
