"""What the sound of a file is, found out by decoding all of it in a process that may die or hang without us."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from tasks.images.decode import DecodeError
from tasks.images.isolate import Isolated, fatal
from tasks.music.sound_track import Decoding, SoundError, open_sound, sound_blocks
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason

SCAN_TIMEOUT_S: Final = 600.0
SILENCE_S: Final = 300.0
"""Between two packets of a trial."""
LONGEST_S: Final = 6 * 3600.0
"""No song and no evening of dance lasts longer: what goes on behind it is not looked at."""
DAMAGED_SHARE: Final = 0.01
"""Where more packets than these do not decode, the music has audible holes all over."""
SILENT_DB: Final = -60.0
"""Peak in dB of full scale below which nothing is heard beside music at a usual level (16 bits reach -90)."""


class SoundScan(Frozen):
    """`start_s` is the time of the first sample by the container's clock; `peak_db` and `rms_db` are of full scale.

    `hole_s`: silence that stands where sound is missing; `damaged`: share of packets that do not decode.
    """

    codec: str
    rate: int
    channels: int
    start_s: float
    duration_s: float
    peak_db: float
    rms_db: float
    hole_s: float
    damaged: float


def decibel(amplitude: float) -> float:
    """Of full scale, at least -120."""
    return float(20 * np.log10(max(amplitude, 1e-6)))


def scan_sound(path: Path, *, timeout_s: float = SCAN_TIMEOUT_S) -> SoundScan:
    """Decode all of a sound and tell what it is.

    Raises:
        SoundError: there is none, it does not decode, or it brings the decoder down.
    """
    with Isolated(sound_scan, {}, timeout_s) as child:
        answer = child.map([b""], [{"path": str(path.absolute())}])[0]
    if isinstance(answer, DecodeError):
        if answer.reason in (Reason.SOUND_MISSING, Reason.SOUND_UNREADABLE):
            raise SoundError(answer.reason, answer.detail)
        raise SoundError(Reason.SOUND_UNREADABLE, f"The sound of {path.name} does not decode: {answer.detail}.")
    return SoundScan.model_validate(answer, strict=False)


def demand_sound(path: Path, duration_s: float) -> None:
    """Let a child process decode all of a sound, for which this one may have died.

    Raises:
        SoundError: no child survives it, it takes longer than it sounds and the time of a scan, or longer than
            `SILENCE_S` for one packet.
    """
    died = fatal(decode_all, {"path": str(path.absolute())}, SCAN_TIMEOUT_S + duration_s, SILENCE_S)
    if died is not None:
        reason = Reason.SOUND_UNREADABLE if died.reason is Reason.IMAGE_BOMB else died.reason
        raise SoundError(reason, f"The sound of {path.name}: {died.detail}.")


def decode_all(_: bytes, path: str) -> int:
    """Decode all of a sound in a child process: how many samples come."""
    with suppress(SoundError):
        return sum(len(block) for block in sound_blocks(Path(path)))
    return 0


def sound_scan(_: bytes, path: str) -> dict[str, Any]:
    """`SoundScan` as JSON, called by `tasks.images.isolate`, which hands over no bytes.

    Raises:
        DecodeError: it cannot be used.
    """
    sound = Path(path)
    try:
        with open_sound(sound) as (container, stream):
            return _scan(Decoding(container, stream), sound.name).model_dump(mode="json")
    except SoundError as error:
        raise DecodeError(error.reason, error.detail) from None


def _scan(decoding: Decoding, name: str) -> SoundScan:
    peak, energy = 0.0, 0.0
    for sound in decoding:
        mono = sound.mean(axis=0, dtype=np.float32)
        if not np.isfinite(mono).all():
            raise SoundError(Reason.SOUND_UNREADABLE, f"The sound of {name} holds values that are no numbers.")
        peak = max(peak, float(np.abs(mono).max(initial=0.0)))
        energy += float(np.square(mono, dtype=np.float64).sum())
        if decoding.samples > LONGEST_S * decoding.rate:
            break
    if not decoding.samples:
        raise SoundError(Reason.SOUND_UNREADABLE, f"Nothing of the sound of {name} decodes.")
    damaged = decoding.damaged / max(decoding.packets, 1)
    if damaged > DAMAGED_SHARE:
        told = f"{decoding.damaged} of {decoding.packets} packets of the sound of {name} do not decode."
        raise SoundError(Reason.SOUND_UNREADABLE, told)
    return SoundScan(
        codec=decoding.stream.codec_context.codec.canonical_name,
        rate=decoding.rate,
        channels=decoding.channels,
        start_s=decoding.start_s,
        duration_s=decoding.samples / decoding.rate,
        peak_db=decibel(peak),
        rms_db=decibel((energy / decoding.samples) ** 0.5),
        hole_s=decoding.hole_samples / decoding.rate,
        damaged=damaged,
    )
