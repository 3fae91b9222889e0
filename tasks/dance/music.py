"""The stage that describes the music of clips, frame by frame."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version as version_of
from inspect import getsource
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from blake3 import blake3
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.dance.given_files import sound_file
from tasks.music.beats import tempo_of
from tasks.music.extractors import FeatureExtractor, load_extractors
from tasks.music.features import MusicFeatures, music_features
from tasks.music.fingerprint import fingerprint
from tasks.music.sound import HOP, SAMPLE_RATE, Samples, cut, write_sound
from tasks.music.sound_scan import SILENT_DB, decibel, demand_sound
from tasks.music.sound_track import SoundError, sound_blocks
from tasks.schema.clips import CLIP_FPS, MUSIC_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Side, StageOfWhole, StageOutput, Whole

Row = dict[str, Any]

LEAST_BEATS: Final = 2
"""Beats within a clip from which it has a tempo; that is told over those and one on each side."""
_COLUMNS: Final = ("sample_id", "parent_id", "source_uri", "licence", "start_s", "frames")


class MusicConfig(Frozen):
    """How the music of clips is described."""

    extractors: tuple[str, ...] = Field(
        (),
        title="Features of one's own",
        description="Classes as `package.module:Class` (see tasks.music.extractors); their columns follow the others.",
        strict=False,
    )
    keep_silent: bool = Field(
        False, title="Keep silent clips", description="Clips in which nothing sounds are kept, without beats."
    )
    silent_db: float = Field(
        SILENT_DB, title="Silence", ge=-120, le=0, description="dB of full scale; a clip whose peak is lower is silent."
    )


@dataclass(frozen=True)
class ClipMusic(StageOfWhole):
    """Clips to what they sound like, one to one; the whole input is the shard of their video.

    The sound of the video is read once, from its first frame to its last, and described as a whole: beats and tempo
    need more around them than a clip. A clip gets the rows of its frames, the beats that lie in it, its own tempo (also
    in the column `tempo`) and the fingerprint of its own sound. A clip that begins between two frames of the video's
    grid gets the rows of the nearest ones.

    Facts: `seconds` described, `beats` and `tempo_bpm` of the whole sound, `no_beat`: why it has none.

    Attributes:
        video_path: where the video lies on this machine.
        sound_path: where the file with its sound lies; None: the sound is in the video.
        careful: a child process decodes the sound first; clips of one that it does not survive are rejected.

    Raises:
        SourceError: a file is not there, or is another one by now.
        ConfigError: an extractor is not there, or does not keep its promise.
    """

    config: MusicConfig
    video_path: Path
    sound_path: Path | None = None
    careful: bool = False

    name: ClassVar[str] = "music"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("start_s", "frames")),)

    @property
    def schema(self) -> pa.Schema:
        return MUSIC_SCHEMA

    def execution(self) -> dict[str, str]:
        """Libraries, and the sources of the user's extractors."""
        import av

        packages = ("numpy", "scipy", "librosa", "numba", "bottleneck", "soxr")
        return {
            **{
                name: ".".join(str(part) for part in av.library_versions[name])
                for name in ("libavcodec", "libavformat", "libswresample")
            },
            **{name: version_of(name) for name in packages},
            **{path: _source_digest(path) for path in self.config.extractors},
        }

    def cautious(self) -> "ClipMusic":
        return replace(self, careful=True)

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        rows = [row for batch in batches for row in batch.select(_COLUMNS).to_pylist()]
        if not rows:
            yield StageOutput(MUSIC_SCHEMA.empty_table())
            return
        (dance,) = whole[0].table().to_pylist()
        path = sound_file(dance, self.video_path, self.sound_path)
        extractors = load_extractors(self.config.extractors)
        frames = max(_first(row) + row["frames"] for row in rows)
        frames = max(frames, round(dance["duration_s"] * CLIP_FPS))
        try:
            if self.careful:
                demand_sound(path, dance["sound_duration_s"])
            with _sound_from(path, dance["sound_start_s"], frames) as samples:
                yield from self._outputs(rows, samples, frames, extractors)
        except SoundError as error:
            why = [Rejection(row["sample_id"], error.reason, error.detail, None, row["source_uri"]) for row in rows]
            yield StageOutput(MUSIC_SCHEMA.empty_table(), tuple(why))

    def _outputs(
        self, rows: Sequence[Row], samples: Samples, frames: int, extractors: Sequence[FeatureExtractor]
    ) -> Iterator[StageOutput]:
        video = music_features(samples, frames, extractors)
        for row in rows:
            sound = cut(samples, _first(row) * HOP, (_first(row) + row["frames"]) * HOP)
            peak_db = decibel(float(np.abs(sound).max(initial=0.0)))
            if peak_db < self.config.silent_db and not self.config.keep_silent:
                told = f"The clip is silent: the peak of its sound is {peak_db:.0f} dB of full scale."
                why = Rejection(row["sample_id"], Reason.SOUND_SILENT, told, peak_db, row["source_uri"])
                yield StageOutput(MUSIC_SCHEMA.empty_table(), (why,))
            else:
                yield StageOutput(music_table(row, video, fingerprint(sound).to_bytes()))
        facts: dict[str, JsonValue] = {
            "seconds": frames / CLIP_FPS,
            "beats": len(video.beats_s),
            "tempo_bpm": None if video.tempo_bpm is None else round(video.tempo_bpm, 2),
            "no_beat": video.no_beat.detail if video.no_beat else None,
        }
        yield StageOutput(MUSIC_SCHEMA.empty_table(), facts=facts)


def music_table(row: Mapping[str, Any], video: MusicFeatures, print_bytes: bytes) -> pa.Table:
    """One row of `MUSIC_SCHEMA`.

    Args:
        row: of the clip, with `start_s` and `frames` of `CLIP_SCHEMA`.
        video: what the sound of its whole video is like.
        print_bytes: the clip's fingerprint.
    """
    first, frames = _first(row), row["frames"]
    tempo = clip_tempo(video.beats_s, row["start_s"], frames / CLIP_FPS)
    values = video.values[first : first + frames].copy()
    values[:, video.layout["tempo"]] = tempo or 0
    beats = video.beats_s - row["start_s"]
    columns = {
        **{name: pa.array([row[name]], pa.string()) for name in ("sample_id", "parent_id", "source_uri", "licence")},
        "frames": pa.array([frames], pa.int32()),
        "features": _one_list(pa.array(values.ravel())),
        "layout": _one_list(pa.array(video.layout.columns)),
        "beats_s": _one_list(pa.array(beats[(beats >= 0) & (beats < frames / CLIP_FPS)])),
        "tempo_bpm": pa.array([tempo], pa.float32()),
        "fingerprint": pa.array([print_bytes], pa.binary()),
    }
    return pa.table({name: columns[name] for name in MUSIC_SCHEMA.names}).cast(MUSIC_SCHEMA)


def clip_tempo(beats_s: NDArray[np.float64], start_s: float, seconds: float) -> float | None:
    """Beats a minute within a clip; None: it has too few beats.

    Args:
        beats_s: of the whole video, ascending.
        start_s: when the clip begins.
        seconds: how long it is.
    """
    begin, end = np.searchsorted(beats_s, [start_s, start_s + seconds])
    if end - begin < LEAST_BEATS:
        return None
    return tempo_of(beats_s[max(begin - 1, 0) : end + 1])


@contextmanager
def _sound_from(path: Path, start_s: float, frames: int) -> Iterator[Samples]:
    """The sound of a video from its first frame on, in a file that is gone afterwards.

    Args:
        path: where the sound is.
        start_s: when its first sample sounds, counted from the video's first frame.
        frames: of the video; what sounds after them is not read.
    """
    with tempfile.TemporaryDirectory(prefix="mannequin-music-") as folder:
        yield write_sound(_shifted(path, round(start_s * SAMPLE_RATE), frames * HOP), Path(folder) / "sound.f32")


def _shifted(path: Path, start: int, end: int) -> Iterator[NDArray[np.float32]]:
    """Samples 0 to `end`, where the first one of the file is the sample `start`."""
    for first in range(0, min(start, end), SAMPLE_RATE):
        yield np.zeros(min(SAMPLE_RATE, start - first, end - first), np.float32)
    at = start
    for block in sound_blocks(path):
        if at >= end:
            return
        yield np.ascontiguousarray(block[max(-at, 0) : end - at])
        at += len(block)


def _first(row: Mapping[str, Any]) -> int:
    """The clip's first frame on the grid of its video."""
    start_s: float = row["start_s"]
    return round(start_s * CLIP_FPS)


def _one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _source_digest(path: str) -> str:
    """BLAKE3 of the module that an extractor is in: other code may make other features.

    Raises:
        ConfigError: it is not there.
    """
    load_extractors((path,))
    return blake3(getsource(import_module(path.partition(":")[0])).encode()).hexdigest()
