"""The stage that finds out what a dance video is and where its music comes from: one row, or one reason."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
from pydantic import JsonValue

from tasks.music.sound_scan import SILENT_DB, SoundScan, scan_sound
from tasks.music.sound_track import SoundError
from tasks.schema.clips import DANCE_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.films import Film
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput
from tasks.video.films import FilmConfig, film_digest, film_row
from tasks.video.probe import ProbeError, probe

VIDEO_SUFFIXES: Final = (".mp4", ".avi", ".mov", ".mkv", ".wmv", ".webm", ".m4v")
"""Source: the seed's list, WebM and the MP4 of Apple's programs."""
SOUND_SUFFIXES: Final = (".wav", ".flac", ".m4a", ".mp3", ".ogg")
"""Looked for beside a video in this order: the ones that lose nothing first."""

PADDED_S: Final = 0.5
"""Sound that ends earlier than this before the video is no sound for it. Source: the flow's contract."""
SHORTEST_S: Final = 1.0
"""Source: the seed, 24 frames at 24 frames a second."""
TELEVISION: Final = Fraction(1001, 1000)
"""24000/1001 frames a second count as 24, and so on."""

_FROM_FILM: Final = {
    Reason.FILM_MISSING: Reason.VIDEO_MISSING,
    Reason.FILM_TOO_SHORT: Reason.VIDEO_TOO_SHORT,
    Reason.FILM_TOO_SMALL: Reason.VIDEO_TOO_SMALL,
}


class UnfitError(ProbeError):
    """A video that decodes and is of no use; `score` is what decided."""

    def __init__(self, reason: Reason, detail: str, score: float) -> None:
        super().__init__(reason, detail)
        self.score = score


class SoundFile(Frozen):
    """A sound beside a video, as it is known everywhere; `digest` is empty where the file was not there.

    `paired`: somebody said that this is the video's sound, so it counts instead of the sound inside; else it lies
    beside the video under the same name, and counts where there is none inside.
    """

    file_name: str
    digest: str
    paired: bool


class Unfetched(Frozen):
    """Why a video or its sound, named by address, could not be had; `evidence` as of a rejection."""

    reason: Reason
    detail: str
    evidence: str = ""


class DanceRules(Frozen):
    """What a video must have.

    `min_fps`: frames a second on average; lower it to take slower videos, whose frames are shown more than once.
    `short_sound`: "reject" a video whose sound ends half a second or more before it, or keep it for the "clips" that
    the sound reaches. `silent_db`: sound whose peak is lower is silence.
    """

    min_fps: float = 24.0
    short_sound: Literal["reject", "clips"] = "reject"
    silent_db: float = SILENT_DB


class DanceConfig(Frozen):
    """A video as it is known everywhere: its short name, its file's name without folder, the digest of its bytes.

    `group` is the folder it came from, or what the list says; `digest` is `film_digest` of the file, empty where the
    file was not there.
    """

    name: str
    file_name: str
    digest: str
    licence: str
    group: str
    sound: SoundFile | None = None
    rules: DanceRules = DanceRules()
    unfetched: Unfetched | None = None


def sound_beside(video: Path) -> Path | None:
    """The sound file of the same name in a video's folder, of whatever letters; None: there is none."""
    try:
        beside = {each.name.casefold(): each for each in sorted(video.parent.iterdir(), reverse=True)}
    except OSError:
        return None
    names = ((video.stem + suffix).casefold() for suffix in SOUND_SUFFIXES)
    return next((beside[name] for name in names if name in beside and beside[name].is_file()), None)


@dataclass(frozen=True)
class DanceVideo(Stage):
    """A video to its row. `path` and `sound_path` say where things lie on this machine, and are no part of the key.

    Facts: `sound`: what decoding all of it showed.
    """

    config: DanceConfig
    path: Path
    sound_path: Path | None = None

    name: ClassVar[str] = "dance"
    version: ClassVar[int] = 1

    @classmethod
    def of(
        cls,
        path: Path,
        name: str,
        *,
        group: str = "",
        licence: str = "",
        sound: Path | None = None,
        rules: DanceRules | None = None,
        unfetched: Unfetched | None = None,
    ) -> "DanceVideo":
        """The stage for a video on this machine.

        Args:
            path: the video.
            name: its short name, the first part of all ids.
            group: by default the name of its folder.
            licence: as the list says.
            sound: the file that is paired with it; None: what is inside, or lies beside it under the same name.
            rules: what it must have.
            unfetched: why there is nothing at `path`.
        """
        beside = sound or sound_beside(path)
        file = None
        if beside is not None:
            file = SoundFile(file_name=beside.name, digest=_digest(beside), paired=sound is not None)
        config = DanceConfig(
            name=name,
            file_name=path.name,
            digest=_digest(path),
            licence=licence,
            group=group or path.absolute().parent.name,
            sound=file,
            rules=rules or DanceRules(),
            unfetched=unfetched,
        )
        return cls(config, path, beside)

    @property
    def schema(self) -> pa.Schema:
        return DANCE_SCHEMA

    def execution(self) -> dict[str, str]:
        import av

        return {
            name: ".".join(str(part) for part in av.library_versions[name])
            for name in ("libavcodec", "libavformat", "libavfilter", "libswresample")
        }

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source has none
        config = self.config
        try:
            film = self._film()
            sound, source = self._sound()
            row = dance_row(film, sound, source, config)
        except (ProbeError, SoundError) as error:
            reason, detail = error.reason, error.detail
            if reason is Reason.FILM_TOO_SHORT:
                detail = f"{config.file_name} has hardly a frame."
            score = error.score if isinstance(error, UnfitError) else None
            told = config.unfetched.evidence if config.unfetched else ""
            why = Rejection(config.name, _FROM_FILM.get(reason, reason), detail, score, config.file_name, told or None)
            yield StageOutput(DANCE_SCHEMA.empty_table(), (why,))
        else:
            facts: dict[str, JsonValue] = {"sound": sound.model_dump(mode="json")}
            yield StageOutput(pa.Table.from_pylist([row], schema=DANCE_SCHEMA), facts=facts)

    def _film(self) -> Film:
        unfetched = self.config.unfetched
        if unfetched is not None:
            raise ProbeError(unfetched.reason, unfetched.detail)
        _demand_same(self.path, self.config.digest, Reason.VIDEO_MISSING)
        film = probe(self.path)
        demand_fit(film, self.config)
        return film

    def _sound(self) -> tuple[SoundScan, SoundFile | None]:
        """The sound that counts, and the file that it is in; None: inside the video."""
        beside = self.config.sound
        if beside is None or self.sound_path is None:
            return scan_sound(self.path), None
        _demand_same(self.sound_path, beside.digest, Reason.SOUND_MISSING)
        if not beside.paired:
            with suppress(SoundError):
                inside = scan_sound(self.path)
                if inside.peak_db >= self.config.rules.silent_db:
                    return inside, None
        return scan_sound(self.sound_path), beside


def demand_fit(film: Film, config: DanceConfig) -> None:
    """See whether the pictures of a video are enough.

    Raises:
        UnfitError: they are too few, or too few a second.
    """
    name, least = config.file_name, config.rules.min_fps
    if film.fps * TELEVISION < Fraction(least).limit_denominator(10_000):
        told = f"{name} has {float(film.fps):.4g} frames a second, {least:g} are asked for (less can be allowed)."
        raise UnfitError(Reason.FRAME_RATE_LOW, told, float(film.fps))
    if film.duration_s < SHORTEST_S:
        raise UnfitError(Reason.VIDEO_TOO_SHORT, f"{name} lasts {film.duration_s:.2f} s.", film.duration_s)


def dance_row(film: Film, sound: SoundScan, source: SoundFile | None, config: DanceConfig) -> dict[str, Any]:
    """A video and its sound as a row of `DANCE_SCHEMA`: the same on every machine.

    Args:
        film: what probing found out.
        sound: what decoding all of it showed.
        source: the file that it is in; its first sample sounds with the first frame. None: inside the video.
        config: of the stage.

    Raises:
        UnfitError: the sound is silence, or too short.
    """
    name, rules = config.file_name, config.rules
    if sound.peak_db < rules.silent_db:
        told = f"The sound of {name} is silence: its peak is {sound.peak_db:.0f} dB of full scale."
        raise UnfitError(Reason.SOUND_SILENT, told, sound.peak_db)
    start = 0.0 if source else sound.start_s - float(film.start_pts * film.time_base)
    end = start + sound.duration_s
    heard = min(end, film.duration_s) - max(start, 0.0)
    if heard < SHORTEST_S:
        raise UnfitError(Reason.SOUND_TOO_SHORT, f"{max(heard, 0):.2f} s of {name} have sound.", heard)
    missing = max(0.0, film.duration_s - end)
    if missing >= PADDED_S and rules.short_sound == "reject":
        told = f"The sound of {name} ends {missing:.2f} s before the video (the clips before can be kept)."
        raise UnfitError(Reason.SOUND_TOO_SHORT, told, -missing)
    known = FilmConfig(name=config.name, file_name=name, digest=config.digest, licence=config.licence)
    return {
        **film_row(film, known),
        "group": config.group,
        "sound_from": "file" if source else "video",
        "sound_uri": source.file_name if source else name,
        "sound_digest": source.digest if source else config.digest,
        "sound_codec": sound.codec,
        "sound_rate": sound.rate,
        "sound_channels": sound.channels,
        "sound_start_s": start,
        "sound_duration_s": sound.duration_s,
        "sound_padded_s": missing,
    }


def _digest(path: Path) -> str:
    """Of a file; empty where there is none."""
    try:
        return film_digest(path) if path.is_file() else ""
    except OSError:
        return ""


def _demand_same(path: Path, digest: str, missing: Reason) -> None:
    """A file that moved or changed after its digest was taken is no property of the video: nothing is committed."""
    try:
        found = film_digest(path)
    except OSError as error:
        if not digest:
            raise ProbeError(missing, f"There is no file {path.name} where the list says.") from error
        raise SourceError(
            f"{path} was there and cannot be read now ({error.strerror}): is its disk mounted? Run again."
        ) from error
    if found != digest:
        raise SourceError(f"{path} has changed since this run began. Run again when it is complete.")
