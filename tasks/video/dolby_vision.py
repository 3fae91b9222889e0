"""Dolby Vision: which of its streams are a plain picture without the metadata that only licensed players read."""

import re
from typing import Final

from tasks.schema.records import Frozen

_STREAM: Final = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
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
    of_input, *_ = re.split(r"^(?:Stream mapping:|Output #0)", log, maxsplit=1, flags=re.MULTILINE)
    starts = [(int(found[1]), found.start()) for found in _STREAM.finditer(of_input)]
    ends = [start for _, start in starts[1:]] + [len(of_input)]
    for (number, start), end in zip(starts, ends, strict=True):
        record = _RECORD.search(of_input, start, end) if number == stream else None
        if record is not None:
            return DolbyVision(
                profile=int(record["profile"]), base_layer=record["bl"] == "1", compatibility=int(record["id"])
            )
    return None


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
