"""What ffmpeg prints about the streams of a film before it decodes any."""

import re
from typing import Final

TRACED: Final = ("h264", "hevc", "av1")
"""Codecs whose headers ffmpeg's `trace_headers` spells out and that say where chroma lies."""

_STREAM: Final = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_H26X: Final = re.compile(r"chroma_sample_loc_type_top_field\s+\d+ = (\d+)")
_AV1: Final = re.compile(r"chroma_sample_position\s+\d+ = (\d+)")
_H26X_LOCATIONS: Final = ("left", "center", "topleft", "top", "bottomleft", "bottom")
"""By their number. Source: ITU-T H.265, figure E.1."""
_AV1_LOCATIONS: Final = ("left", "left", "topleft")
"""Unknown, vertical, colocated. Source: AV1 bitstream specification, 6.4.2."""


def stream_section(log: str, stream: int) -> str:
    """The lines on one stream of the input; empty: there is none."""
    of_input, *_ = re.split(r"^(?:Stream mapping:|Output #0)", log, maxsplit=1, flags=re.MULTILINE)
    starts = [(int(found[1]), found.start()) for found in _STREAM.finditer(of_input)]
    ends = [start for _, start in starts[1:]] + [len(of_input)]
    sections = (of_input[start:end] for (number, start), end in zip(starts, ends, strict=True) if number == stream)
    return next(sections, "")


def chroma_location(log: str) -> str:
    """Where chroma lies between luma samples, in ffmpeg's words; "left", which it assumes, where nothing is said.

    Args:
        log: with the headers of the film's stream, as `trace_headers` spells them out.
    """
    for pattern, locations in ((_H26X, _H26X_LOCATIONS), (_AV1, _AV1_LOCATIONS)):
        found = pattern.search(log)
        if found and int(found[1]) < len(locations):
            return locations[int(found[1])]
    return "left"
