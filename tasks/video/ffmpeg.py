"""The ffmpeg binary: found once, checked for the filters that we need, run with a time limit."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tasks.schema.errors import MannequinError

FFMPEG_VARIABLE: Final = "MANNEQUIN_FFMPEG"
NEEDED_FILTERS: Final = ("zscale", "tonemap")
ASKING_TIMEOUT_S: Final = 30.0


class FFmpegMissingError(MannequinError):
    """There is no ffmpeg binary that can do what we need."""


class FFmpegTimeoutError(MannequinError):
    """ffmpeg took longer than it may, and was ended."""


@dataclass(frozen=True)
class Said:
    """How a run of ffmpeg ended: its exit code (negative: the signal), and what it said on both channels."""

    code: int
    out: bytes
    log: str


def ffmpeg_exe() -> Path:
    """The binary of `MANNEQUIN_FFMPEG`, else the one that came with imageio-ffmpeg; it has zscale and tonemap.

    Raises:
        FFmpegMissingError: there is none, it does not run, or it lacks a filter.
    """
    return _checked(os.environ.get(FFMPEG_VARIABLE, "")).path


def ffmpeg_version() -> str:
    """The version that the binary states, such as `9.0.2` or `n9.0.2-17-g2a571b6068`.

    Raises:
        FFmpegMissingError: as `ffmpeg_exe`.
    """
    return _checked(os.environ.get(FFMPEG_VARIABLE, "")).version


def run_ffmpeg(stream: Any, timeout_s: float) -> Said:
    """Run a command line that was put together with ffmpeg-python, with nothing to read from standard input.

    Raises:
        FFmpegMissingError: as `ffmpeg_exe`.
        FFmpegTimeoutError: it took longer than `timeout_s`; it is gone.
    """
    command = stream.global_args("-hide_banner", "-nostdin").compile(cmd=str(ffmpeg_exe()))
    return _run(command, timeout_s)


def file_argument(path: Path) -> str:
    """A local file as ffmpeg takes it, whatever its name looks like."""
    return f"file:{path.absolute()}"


@dataclass(frozen=True)
class _Binary:
    path: Path
    version: str


@cache
def _checked(named: str) -> _Binary:
    path = _named(named) if named else _bundled()
    try:
        version = re.match(r"ffmpeg version (\S+)", _ask(path, "-version"))
        filters = set(re.findall(r"^ *[A-Z.|]{2,3} (\w+) ", _ask(path, "-filters"), re.MULTILINE))
    except (OSError, FFmpegTimeoutError) as error:
        raise FFmpegMissingError(f"{path} does not run ({error}). {_ADVICE}") from error
    if version is None:
        raise FFmpegMissingError(f"{path} is no ffmpeg: it does not state its version. {_ADVICE}")
    lacking = [name for name in NEEDED_FILTERS if name not in filters]
    if lacking:
        raise FFmpegMissingError(f"{path} was built without {' and '.join(lacking)}. {_ADVICE}")
    return _Binary(path, version[1])


_ADVICE: Final = (
    f"Unset {FFMPEG_VARIABLE} to use the binary of the package imageio-ffmpeg, or let it name an ffmpeg that was built "
    "with libzimg (zscale)."
)


def _named(named: str) -> Path:
    found = shutil.which(named)
    if found is None:
        raise FFmpegMissingError(f"{FFMPEG_VARIABLE}={named} is no program. {_ADVICE}")
    return Path(found).absolute()


def _bundled() -> Path:
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return Path(get_ffmpeg_exe())
    except RuntimeError as error:
        raise FFmpegMissingError(f"There is no ffmpeg for this machine in imageio-ffmpeg. {_ADVICE}") from error


def _ask(path: Path, question: str) -> str:
    return _run([str(path), "-hide_banner", question], ASKING_TIMEOUT_S).out.decode(errors="replace")


def _run(command: list[str], timeout_s: float) -> Said:
    try:
        ended = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FFmpegTimeoutError(f"ffmpeg did not end within {timeout_s:g} s") from error
    return Said(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))
