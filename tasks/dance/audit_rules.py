"""What a clip must be like, what it should be like, and the score that comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from tasks.schema.clips import CLIP_FPS
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason

WEIGHTS: Final = {"joints": 0.4, "motion": 0.2, "loop": 0.1, "face": 0.1, "side": 0.1, "sound": 0.1}
"""Of the parts of a score. Our choice: poses are what is learnt."""
NO_FACE: Final = 0.5
"""The part of a clip without a face, which can be learnt from where none is asked for."""
WANTED_CONFIDENCE: Final = 0.8
"""Of the joints, on average. Source: the seed."""
FRAME_S: Final = 1 / CLIP_FPS
FEW_REPEATED: Final = 0.05
"""Share of frames shown twice that nobody sees."""


class AuditConfig(Frozen):
    """What a clip must be like.

    Where no source is named, the numbers are our choice.
    """

    joint_confidence: float = Field(
        0.5, title="Confident joint", gt=0, le=1, description="Confidence from which a joint counts as seen."
    )
    least_confident: float = Field(
        0.5,
        title="Least confident joints",
        ge=0,
        le=1,
        description="Share of the joints of all frames that must be seen, of those that the pose model produces.",
    )
    jump_torsos: float = Field(
        0.5,
        title="Jump",
        gt=0,
        description="Torsos from one frame to the next; where half of the joints go farther, it is no motion.",
    )
    most_jumps: float = Field(0.02, title="Most jumps", ge=0, le=1, description="Share of the frames.")
    most_loop: float = Field(
        0.3, title="Most of a loop", ge=0, le=1, description="Share of the frames that the video showed before."
    )
    most_repeated: float = Field(
        0.8, title="Most repeated frames", ge=0, le=1, description="Share of the frames that show the one before."
    )
    most_offset_s: float = Field(
        0.04, title="Most offset", gt=0, description="Seconds between picture and sound. Source: EBU R 37."
    )
    require_face: bool = Field(False, title="Require a face", description="Leave clips without a clear face out.")
    wanted_side: int = Field(
        512, title="Wanted side", ge=0, description="Pixels of the video that a clip's picture shows. Source: the seed."
    )
    require_side: bool = Field(False, title="Require the side", description="Leave smaller ones out.")
    wanted_sound_rate: int = Field(
        44_100, title="Wanted sound", ge=0, description="Samples a second, of the video's sound. Source: the seed."
    )
    require_sound_rate: bool = Field(False, title="Require the sound", description="Leave lower ones out.")
    pass_mark: float = Field(0.5, title="Pass mark", ge=0, le=1, description="Clips with a lower score are left out.")


@dataclass(frozen=True)
class Measured:
    """A clip in numbers.

    `video_frames`, `music_rows`, `pose_frames`, `crop_frames`: how long its parts are. `offset_s`: how much later the
    sound begins, and `end_offset_s` ends, than the picture. `repeated`: frames that show the same as the one before.
    `confident_share` and `mean_confidence` are of the joints that the model produces; `unseen_frames` have none.
    `largest_jump` in torsos; `face`: one was found; `face_missing` says why it is not embedded, empty where it is;
    `side`: pixels of the video that the picture shows, the median; `sound_rate` is the source's.
    """

    video_frames: int
    music_rows: int
    pose_frames: int
    crop_frames: int
    offset_s: float
    end_offset_s: float
    repeated: int
    confident_share: float
    mean_confidence: float
    unseen_frames: int
    largest_jump: float
    jumps: int
    loop_share: float
    face: bool
    face_missing: str
    side: float
    sound_rate: int
    padded_s: float
    tempo: bool

    @property
    def drift_s(self) -> float:
        """By how much the sound gains on the picture or loses within the clip."""
        return self.end_offset_s - self.offset_s


@dataclass(frozen=True)
class Fault:
    """Why a clip is left out: `score` is the number that decides."""

    reason: Reason
    detail: str
    score: float


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a clip, worst first; what is not perfect, by kind; and its score, 0 to 1."""

    faults: tuple[Fault, ...]
    findings: dict[str, str]
    score: float


def judged(clip: Measured, config: AuditConfig) -> Verdict:
    """Judge a clip."""
    points = score(clip, config)
    faults = [*_broken(clip, config), *_poor(clip, config)]
    if points < config.pass_mark:
        told = f"The clip has {points:.2f} of 1 points, {config.pass_mark:g} are asked for."
        faults.append(Fault(Reason.AUDIT_SCORE_LOW, told, points))
    return Verdict(tuple(faults), dict(_findings(clip, config)), points)


def score(clip: Measured, config: AuditConfig) -> float:
    """How good a clip is, 0 to 1."""
    frames = max(clip.video_frames, 1)
    parts = {
        "joints": clip.confident_share,
        "motion": max(0.0, 1 - clip.jumps / frames / max(2 * config.most_jumps, 1 / frames)),
        "loop": 1 - max(clip.loop_share, clip.repeated / frames),
        "face": 1.0 if clip.face else NO_FACE,
        "side": min(1.0, clip.side / max(config.wanted_side, 1)),
        "sound": min(1.0, clip.sound_rate / max(config.wanted_sound_rate, 1)),
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items())


def _broken(clip: Measured, config: AuditConfig) -> Iterator[Fault]:
    """What cannot be learnt from."""
    frames = clip.video_frames
    parts = {"music": clip.music_rows, "poses": clip.pose_frames, "crop": clip.crop_frames}
    for name, length in parts.items():
        if length != frames:
            told = f"The clip shows {frames} frames, and there are {length} of its {name}."
            yield Fault(Reason.LENGTHS_DIFFER, told, float(length))
    worst = max(clip.offset_s, clip.end_offset_s, key=abs)
    if abs(worst) > config.most_offset_s:
        where = "begins" if worst == clip.offset_s else "ends"
        told = f"The sound {where} {abs(worst):.3f} s {'after' if worst > 0 else 'before'} the picture."
        yield Fault(Reason.SOUND_OUT_OF_SYNC, told, worst)
    if clip.loop_share > config.most_loop:
        told = f"{clip.loop_share:.0%} of the frames were there before: the video repeats itself."
        yield Fault(Reason.CLIP_LOOPS, told, clip.loop_share)
    if clip.repeated > config.most_repeated * frames:
        told = f"{clip.repeated} of {frames} frames show the same picture as the one before."
        yield Fault(Reason.CLIP_LOOPS, told, clip.repeated / max(frames, 1))


def _poor(clip: Measured, config: AuditConfig) -> Iterator[Fault]:
    """What is there, and not good enough."""
    if clip.confident_share < config.least_confident:
        told = (
            f"{clip.confident_share:.0%} of the joints are seen for sure, {config.least_confident:.0%} are asked for."
        )
        yield Fault(Reason.POSE_NOT_CONFIDENT, told, clip.confident_share)
    if clip.jumps > config.most_jumps * clip.video_frames:
        told = f"The dancer jumps {clip.jumps} times, by up to {clip.largest_jump:.1f} torsos within a frame."
        yield Fault(Reason.POSE_JUMPS, told, clip.largest_jump)
    if config.require_face and not clip.face:
        yield Fault(Reason.FACE_MISSING, f"There is no clear face: {clip.face_missing or 'none was found'}.", 0.0)
    if config.require_side and clip.side < config.wanted_side:
        yield Fault(Reason.VIDEO_TOO_SMALL, _small(clip, config), clip.side)
    if config.require_sound_rate and clip.sound_rate < config.wanted_sound_rate:
        yield Fault(Reason.SOUND_RATE_LOW, _dull(clip, config), float(clip.sound_rate))


def _findings(clip: Measured, config: AuditConfig) -> Iterator[tuple[str, str]]:
    """What a person who chooses clips would want to know."""
    frames = max(clip.video_frames, 1)
    if clip.side < config.wanted_side:
        yield "small", _small(clip, config)
    if clip.repeated > FEW_REPEATED * frames:
        yield "repeated", f"{clip.repeated} of {frames} frames show the same picture as the one before."
    if clip.loop_share:
        yield "loop", f"{clip.loop_share:.0%} of the frames were there before."
    if clip.sound_rate < config.wanted_sound_rate:
        yield "sound_rate", _dull(clip, config)
    if clip.padded_s > FRAME_S:
        yield "padded", f"{clip.padded_s:.2f} s of the sound are silence that was added."
    if not clip.tempo:
        yield "no_beat", "No beat was found in this clip."
    yield from _dancer_findings(clip, frames)


def _dancer_findings(clip: Measured, frames: int) -> Iterator[tuple[str, str]]:
    if not clip.face:
        yield "no_face", f"There is no clear face: {clip.face_missing or 'none was found'}."
    elif clip.face_missing:
        yield "no_embedding", f"The face has no embedding: {clip.face_missing}."
    if clip.mean_confidence < WANTED_CONFIDENCE:
        told = f"The mean confidence of the joints is {clip.mean_confidence:.2f}, {WANTED_CONFIDENCE:g} is good."
        yield "confidence", told
    if clip.unseen_frames:
        yield "unseen", f"The dancer is not seen in {clip.unseen_frames} of {frames} frames."
    if clip.jumps:
        yield "jumps", f"The dancer jumps {clip.jumps} times, by up to {clip.largest_jump:.1f} torsos within a frame."


def _small(clip: Measured, config: AuditConfig) -> str:
    return f"The picture shows {clip.side:.0f} pixels of the video, {config.wanted_side} are wanted."


def _dull(clip: Measured, config: AuditConfig) -> str:
    return f"The sound has {clip.sound_rate} samples a second, {config.wanted_sound_rate} are wanted."
