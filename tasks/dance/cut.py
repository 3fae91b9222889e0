"""The stage that makes the clips of a video: H.264 and AAC in MP4, the sound in step with the pictures."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from blake3 import blake3
from pydantic import AfterValidator, Field

from tasks.dance.clip_making import ClipMaking, Unmade
from tasks.dance.crop import SquareCrop
from tasks.dance.encode import ClipEncoder, Encoding
from tasks.dance.film_pass import FilmFrame, demand_decodable, film_frames
from tasks.dance.given_files import demand_same, sound_file
from tasks.dance.grid import last_shown
from tasks.dance.videos import PADDED_S
from tasks.music.sound_reader import SoundPart, SoundReader
from tasks.music.sound_scan import decibel, demand_sound
from tasks.music.sound_track import SoundError
from tasks.schema.clips import CLIP_FPS, CUT_SCHEMA
from tasks.schema.films import Film
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import StageOfWhole, StageOutput, Whole
from tasks.video.films import film_of_row
from tasks.video.probe import ProbeError

SEEK_S: Final = 10.0
"""Farther ahead than this a seek is cheaper than decoding on; the largest usual GOP lasts so long."""
MADE_BEHIND: Final = 4
"""Clips whose frames are all there and whose encoder may still run, or that wait for an earlier one."""

Row = dict[str, Any]


def _even(size: int) -> int:
    if size % 2:
        raise ValueError("the size of a clip is even: its colours come in blocks of 2 x 2")
    return size


class CutConfig(Frozen):
    """What a clip becomes: `size` pixels wide and high."""

    size: Annotated[int, Field(ge=64, le=2048), AfterValidator(_even)] = 512
    encoding: Encoding = Encoding()


@dataclass(frozen=True)
class CutClips(StageOfWhole):
    """Planned clips to MP4 files, one to one; the whole input is the shard of their video.

    Frame n of a clip shows what the video shows at `start_s + n / CLIP_FPS`: the last picture that began. The sound is
    cut at that time to the sample, with silence where there is none. All clips of a video are made in one pass over
    picture and sound, and what becomes of a clip depends on no other.

    Facts: `decoded` frames, `seconds` of clips, `bytes`.

    Attributes:
        video_path: where the video lies on this machine.
        sound_path: where the file with its sound lies; None: the sound is in the video.
        threads: of the decoder.
        careful: a child process decodes picture and sound first; clips of what it does not survive are rejected.

    Raises:
        SourceError: a file is not there, or is another one by now.
    """

    config: CutConfig
    video_path: Path
    sound_path: Path | None = None
    threads: int = 2
    careful: bool = False

    name: ClassVar[str] = "cut_clips"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return CUT_SCHEMA

    def execution(self) -> dict[str, str]:
        import av

        libraries = ("libavcodec", "libavformat", "libavutil", "libswscale", "libswresample")
        return {
            **{name: ".".join(str(part) for part in av.library_versions[name]) for name in libraries},
            **{name: version_of(name) for name in ("av", "numpy", "numba", "soxr")},
        }

    def cautious(self) -> "CutClips":
        return replace(self, careful=True)

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        rows = [row for batch in batches for row in batch.to_pylist()]
        if not rows:
            yield StageOutput(CUT_SCHEMA.empty_table(), (), {"decoded": 0, "seconds": 0.0, "bytes": 0})
            return
        (dance,) = whole[0].table().to_pylist()
        sound = sound_file(dance, self.video_path, self.sound_path)
        if sound != self.video_path:
            demand_same(self.video_path, dance["digest"])
        film = film_of_row(dance, self.video_path)
        try:
            if self.careful:
                demand_decodable(film, self.video_path, self.threads)
                demand_sound(sound, dance["sound_duration_s"])
        except (ProbeError, SoundError) as error:
            yield _none_of(rows, error.reason, error.detail)
            return
        with _Cutting(film, self.config, self.threads, sound, dance["sound_start_s"]) as cutting:
            yield from cutting.outputs(rows)


@dataclass(frozen=True, eq=False)
class _Sounding:
    """A clip, its place among the rows, and what is known of its sound."""

    number: int
    making: ClipMaking
    rms_db: float
    padded_s: float


class _Cutting:
    """One way through the clips of a video."""

    def __init__(self, film: Film, config: CutConfig, threads: int, sound: Path, sound_start_s: float) -> None:
        self._film, self._config, self._threads = film, config, threads
        self._crop = SquareCrop(film, config.size)
        self._sound_start_s = sound_start_s
        self._reader = SoundReader(sound, config.encoding.sound_rate, 2)
        self._active: list[_Sounding] = []
        self._behind: dict[int, _Sounding | Unmade] = {}
        self._decoded = self._bytes = self._frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()
        behind = (each for each in self._behind.values() if isinstance(each, _Sounding))
        for sounding in (*self._active, *behind):
            sounding.making.close()

    def outputs(self, rows: Sequence[Row]) -> Iterator[StageOutput]:
        """The rows in their order, whatever order their times have."""
        self._rows = rows
        given = 0
        for _ in self._passes(sorted(range(len(rows)), key=lambda n: (rows[n]["start_s"], n))):
            while given in self._behind and (len(self._behind) > MADE_BEHIND or self._is_made(given)):
                yield self._output(given)
                given += 1
        while given < len(rows):
            yield self._output(given)
            given += 1
        facts = {"decoded": self._decoded, "seconds": self._frames / CLIP_FPS, "bytes": self._bytes}
        yield StageOutput(CUT_SCHEMA.empty_table(), facts=facts)

    def _is_made(self, number: int) -> bool:
        behind = self._behind[number]
        return isinstance(behind, Unmade) or behind.making.made

    def _passes(self, order: Sequence[int]) -> Iterator[None]:
        """Make the clips group by group, groups being far apart; stops whenever some are complete."""
        waiting = deque(order)
        while waiting:
            group = deque([waiting.popleft()])
            end = self._end_s(group[0])
            while waiting and self._rows[waiting[0]]["start_s"] <= end + SEEK_S:
                group.append(waiting.popleft())
                end = max(end, self._end_s(group[-1]))
            yield from self._pass(group)

    def _end_s(self, number: int) -> float:
        row = self._rows[number]
        return float(row["start_s"] + row["frames"] / CLIP_FPS)

    def _pass(self, group: deque[int]) -> Iterator[None]:
        start_s = self._rows[group[0]]["start_s"]
        from_pts = last_shown(self._film, start_s) if start_s > SEEK_S else None
        shown: FilmFrame | None = None
        for each in film_frames(self._film, Path(self._film.path), from_pts, self._threads):
            self._decoded += 1
            if shown is not None:
                self._show(shown, each.pts, group, doubtful=shown.doubtful or each.doubtful)
                yield
            if not group and not self._active:
                return
            shown = each
        if shown is not None:
            self._show(shown, self._last_tick(shown.pts), group, doubtful=shown.doubtful)
        while group:
            self._begin(group.popleft())
        for sounding in self._active:
            sounding.making.end()
        self._settle()
        yield

    def _last_tick(self, pts: int) -> int:
        """Until when the last picture is shown."""
        film = self._film
        end = film.start_pts + round(film.duration_s / film.time_base)
        return max(end, pts + round(1 / (film.fps * film.time_base))) + 1

    def _show(self, shown: FilmFrame, until: int, group: deque[int], *, doubtful: bool) -> None:
        """Give a picture to all clips that show it before the tick `until`."""
        while group and last_shown(self._film, self._rows[group[0]]["start_s"]) < until:
            self._begin(group.popleft())
        if not self._active:
            return
        prepared = None
        for sounding in self._active:
            prepared = prepared or self._crop.prepared(shown.frame)
            sounding.making.show(partial(self._crop.cut, prepared), until, doubtful=doubtful)
        self._settle()

    def _settle(self) -> None:
        for sounding in self._active:
            if sounding.making.complete:
                self._behind[sounding.number] = sounding.making.unmade or sounding
        self._active = [sounding for sounding in self._active if not sounding.making.complete]

    def _begin(self, number: int) -> None:
        """Let a clip begin with its sound."""
        row, encoding = self._rows[number], self._config.encoding
        rate = encoding.sound_rate
        try:
            part = self._reader.read(
                round((row["start_s"] - self._sound_start_s) * rate), round(row["frames"] / CLIP_FPS * rate)
            )
        except SoundError as error:
            self._behind[number] = Unmade(error.reason, error.detail)
            return
        why = _too_little(part, rate)
        if why is not None:
            self._behind[number] = why
            return
        making = ClipMaking(row, self._film, ClipEncoder(self._config.size, self._crop.colours, encoding, part.samples))
        rms = decibel(float(np.sqrt(np.mean(np.square(part.samples, dtype=np.float64)))))
        self._active.append(_Sounding(number, making, rms, (part.before + part.after) / rate))

    def _output(self, number: int) -> StageOutput:
        row, made = self._rows[number], self._behind.pop(number)
        if isinstance(made, Unmade):
            why = Rejection(row["sample_id"], made.reason, made.detail, made.score, row["source_uri"])
            return StageOutput(CUT_SCHEMA.empty_table(), (why,))
        clip = made.making.result()
        self._bytes += len(clip)
        self._frames += row["frames"]
        columns = {
            **{name: row[name] for name in ("sample_id", "parent_id", "source_uri", "licence", "frames")},
            "clip": {"bytes": clip, "path": row["sample_id"].replace("/", "_") + ".mp4"},
            "clip_digest": blake3(clip).hexdigest(),
            "width": self._config.size,
            "height": self._config.size,
            "repeated_frames": made.making.repeated,
            "sound_rate": self._config.encoding.sound_rate,
            "sound_rms_db": made.rms_db,
            "sound_padded_s": made.padded_s,
        }
        return StageOutput(pa.Table.from_pylist([columns], schema=CUT_SCHEMA))


def _none_of(rows: Sequence[Row], reason: Reason, detail: str) -> StageOutput:
    why = tuple(Rejection(row["sample_id"], reason, detail, None, row["source_uri"]) for row in rows)
    return StageOutput(CUT_SCHEMA.empty_table(), why, {"decoded": 0, "seconds": 0.0, "bytes": 0})


def _too_little(part: SoundPart, rate: int) -> Unmade | None:
    """Whether a clip has too little sound to be one."""
    count = len(part.samples)
    if part.before + part.after >= count:
        return Unmade(Reason.SOUND_MISSING, "There is no sound while the clip lasts.")
    if part.after >= PADDED_S * rate:
        missing = part.after / rate
        return Unmade(Reason.SOUND_TOO_SHORT, f"The sound ends {missing:.2f} s before the clip.", -missing)
    return None
