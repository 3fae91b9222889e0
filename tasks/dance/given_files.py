"""The files of a dance video on this machine, checked to be those that were looked at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.schema.errors import SourceError
from tasks.video.digest import film_digest


def sound_file(dance: Mapping[str, Any], video: Path, sound: Path | None) -> Path:
    """The file that a video's sound is in.

    Args:
        dance: a row of `DANCE_SCHEMA`.
        video: where the video lies.
        sound: where the file with its sound lies, if there is one.

    Raises:
        SourceError: nobody said where it lies; or it cannot be read, or has other bytes than it had.
    """
    path = video if dance["sound_from"] == "video" else sound
    if path is None:
        raise SourceError(f"The sound of {dance['source_uri']} is in {dance['sound_uri']}: say where that file lies.")
    demand_same(path, dance["sound_digest"])
    return path


def demand_same(path: Path, digest: str) -> None:
    """See that a file is still the one that it was; a disk that is gone says nothing about what is on it.

    Raises:
        SourceError: it cannot be read, or has other bytes.
    """
    try:
        found = film_digest(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): is its disk mounted? Run again.") from error
    if found != digest:
        raise SourceError(f"{path} has changed since it was looked at. Run again when it is complete.")
