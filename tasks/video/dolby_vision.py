"""Dolby Vision: which of its streams are a plain picture without the metadata that only licensed players read."""

import re
from typing import Final

from tasks.schema.records import Frozen
from tasks.video.headers import stream_section

_RECORD: Final = re.compile(
    r"DOVI configuration record: .*?profile: (?P<profile>\d+),.*? bl flag: (?P<bl>\d+),.*?compatibility id: (?P<id>\d+)"
)


class DolbyVision(Frozen):
    """The configuration record. `compatibility` says what the base layer is: 0 nothing else reads it."""

    profile: int
    base_layer: bool
    compatibility: int


def dolby_vision(log: str, stream: int) -> DolbyVision | None:
    """The record of a stream in what ffmpeg prints about its input; None: it is no Dolby Vision."""
    record = _RECORD.search(stream_section(log, stream))
    if record is None:
        return None
    return DolbyVision(profile=int(record["profile"]), base_layer=record["bl"] == "1", compatibility=int(record["id"]))


def why_unsupported(record: DolbyVision | None, *, metadata: bool, tagged: bool) -> str | None:
    """One sentence; None: it is no Dolby Vision, or its base layer is HDR10, HLG or SDR and used as it is tagged.

    Args:
        record: the container's.
        metadata: frames carry Dolby Vision metadata, whether or not there is a record.
        tagged: the base layer says what its transfer and its matrix are.
    """
    if record is None:
        if metadata and not tagged:
            return "Dolby Vision metadata without a record of its profile, and colour tags that do not say what it is."
        return None
    if not record.base_layer:
        return f"Dolby Vision profile {record.profile} without a base layer holds no picture of its own."
    if record.compatibility == 0:
        return (
            f"Dolby Vision profile {record.profile} without a compatible base layer: its colours (IPTPQc2, reshaped) "
            "would come out pink and green."
        )
    return None
