"""What a film says about its colours, in ffmpeg's words, and whether that can be true."""

from collections.abc import Sequence
from typing import Final

from tasks.schema.films import Transfer
from tasks.schema.records import Frozen

UNKNOWN: Final = "unknown"

_PRIMARIES: Final = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFER: Final = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_MATRIX: Final = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2",
    16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
"""Code points of ITU-T H.273 with the names that ffmpeg prints."""

_HDR_PRIMARIES: Final = ("bt2020", "smpte431", "smpte432", UNKNOWN)
"""BT.2100 knows BT.2020 only; masters in P3 (SMPTE RP 431, EG 432) use the same curves."""
_HDR_MATRICES: Final = ("bt2020nc", UNKNOWN)
"""BT.2100 knows ICtCp too, which is not read here: nothing but Dolby Vision is delivered in it."""
_SDR_MATRICES: Final = ("bt709", "bt470bg", "smpte170m", "fcc", "smpte240m", "bt2020nc", "gbr", UNKNOWN)
_NO_LOOK: Final = ("linear", "log100", "log316", "smpte428")
"""Neither SDR nor HDR as displays take it: made for grading, and for cinema servers in XYZ."""
_HLG_FOR_OLD_RECEIVERS: Final = ("bt2020-10", "bt2020-12")
"""Broadcast HLG may call itself this and say HLG in a message beside. Source: ETSI TS 101 154, 5.14.4."""
_WIDE: Final = ("bt2020", "bt2020nc", "bt2020c", "ictcp")


class ColourTags(Frozen):
    """Tags of a frame, `unknown` where there is none."""

    transfer: str
    primaries: str
    matrix: str
    full_range: bool

    @classmethod
    def of_codes(cls, transfer: int, primaries: int, matrix: int, *, full_range: bool) -> "ColourTags":
        """From the numbers of H.273; those that it keeps free count as no tag."""
        return cls(
            transfer=_TRANSFER.get(transfer, UNKNOWN),
            primaries=_PRIMARIES.get(primaries, UNKNOWN),
            matrix=_MATRIX.get(matrix, UNKNOWN),
            full_range=full_range,
        )

    @property
    def kind(self) -> Transfer:
        """How code values become light, by the transfer tag alone."""
        return {"smpte2084": Transfer.PQ, "arib-std-b67": Transfer.HLG}.get(self.transfer, Transfer.SDR)

    def __str__(self) -> str:
        span = "full" if self.full_range else "limited"
        return f"transfer {self.transfer}, primaries {self.primaries}, matrix {self.matrix}, {span} range"


def told(declared: ColourTags, frames: ColourTags) -> ColourTags:
    """What frames say, and where they say nothing, what their container declares."""
    filled = {
        name: getattr(declared, name)
        for name in ("transfer", "primaries", "matrix")
        if getattr(frames, name) == UNKNOWN
    }
    return frames.model_copy(update=filled)


def contradiction(declared: ColourTags, seen: Sequence[ColourTags]) -> str | None:
    """One sentence that says why the tags cannot all be true, or cannot be followed; None: they can.

    - All frames say the same.
    - Container and frames agree on SDR, PQ or HLG, and on whether colours are those of BT.2020. (Among the standards of
      SDR they often do not, and players follow the frames.)
    - PQ and HLG go with BT.2020 or P3 primaries and the BT.2020 matrix: anything else is light read by a wrong curve or
      colour read by wrong primaries, and nobody can say which.
    - BT.2020 without a transfer tag may be SDR, PQ or HLG.
    - Linear, logarithmic and XYZ pictures have no look that a display would show.

    Args:
        declared: by the container.
        seen: the different tags of frames all over the film, at least one.
    """
    if len(seen) > 1:
        return f"Its tags change on the way: {'; then '.join(str(each) for each in seen)}."
    if _disagree(declared, seen[0]):
        return f"Its container declares {declared}; its frames say {seen[0]}."
    tags = told(declared, seen[0])
    if tags.kind is not Transfer.SDR:
        name = tags.kind.value.upper()
        if tags.primaries not in _HDR_PRIMARIES:
            return f"It claims {name} light with {tags.primaries} primaries ({tags})."
        if tags.matrix not in _HDR_MATRICES:
            return f"It claims {name} light with the matrix {tags.matrix} ({tags})."
        return None
    if tags.transfer == UNKNOWN and (tags.primaries in _WIDE or tags.matrix in _WIDE):
        return f"BT.2020 colours without a transfer tag may be SDR, PQ or HLG ({tags})."
    if tags.transfer in _NO_LOOK:
        return f"Its transfer {tags.transfer} is not made for displays ({tags})."
    if tags.matrix not in _SDR_MATRICES:
        return f"Its matrix {tags.matrix} cannot be read here ({tags})."
    return None


def _disagree(declared: ColourTags, frames: ColourTags) -> bool:
    veiled = frames.kind is Transfer.HLG and declared.transfer in _HLG_FOR_OLD_RECEIVERS
    if UNKNOWN not in (declared.transfer, frames.transfer) and declared.kind is not frames.kind and not veiled:
        return True
    pairs = ((declared.primaries, frames.primaries), (declared.matrix, frames.matrix))
    return any(UNKNOWN not in pair and (pair[0] in _WIDE) != (pair[1] in _WIDE) for pair in pairs)
