"""What a source should look like, beside what was found: rows of a table for people."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tasks.poses.captions import garment_family
from tasks.schema.columns import IMAGE
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoSource, SourceKind

MEGABYTE: Final = 1_000_000

BYTES_PER_SAMPLE: Final = {
    "fashion": (150 * MEGABYTE / 800, 200 * MEGABYTE / 800),
    "lifestyle": (100 * MEGABYTE / 300, 150 * MEGABYTE / 300),
}
"""Smallest and largest mean over all files of a sample. Source: the seed's plan, 150 to 200 MB for 800 samples of three
pictures and 100 to 150 MB for 300 samples of two."""

GENDERS: Final = {"female": 0.6, "male": 0.4}
"""Shares in fashion. Source: the seed's expected statistics; its first run gave 696 women and 104 men (87 and 13 %)."""

CLOTHES: Final = {"dress": 0.25, "shirt": 0.2, "jacket": 0.15, "pants": 0.15, "other": 0.25}
"""Shares in fashion. Source: the seed's expected statistics."""

SCENES: Final = {"sports": 0.4, "urban": 0.3, "outdoor": 0.2, "indoor": 0.1}
"""Shares in lifestyle. Source: the seed's expected statistics."""

TOLERANCE: Final = 0.05
"""The seed says `about`: a share differs when even this much beside it lies outside of the 95 % interval of what was
found."""

FEWEST: Final = 30
"""Samples under which shares are not judged."""

_UNREADABLE: Final = (
    Reason.IMAGE_MISSING, Reason.IMAGE_UNREADABLE, Reason.IMAGE_TRUNCATED, Reason.IMAGE_BOMB, Reason.IMAGE_EMPTY,
    Reason.IMAGE_FORMAT_UNSUPPORTED, Reason.DECODER_CRASHED, Reason.DECODER_TIMED_OUT,
)  # fmt: skip

_Z95: Final = 1.959964
"""Normal quantile of a two-sided 95 % interval."""


class Verdict(StrEnum):
    """What comparing gave."""

    OK = "ok"
    DIFFERS = "differs"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Expectation:
    """One line of the table; `expected` and `found` are words and numbers for people."""

    check: str
    expected: str
    found: str
    verdict: Verdict

    def as_row(self) -> dict[str, str]:
        return {"check": self.check, "expected": self.expected, "found": self.found, "verdict": self.verdict.value}


def expectations(
    source: PhotoSource, templates: pa.Table, inspected: pa.Table, rejected: Mapping[str, int], stored_bytes: int | None
) -> list[Expectation]:
    """Compare a source with what was promised for it.

    Args:
        source: as it was asked for.
        templates: its templates that were kept, `TEMPLATE_SCHEMA`.
        inspected: its photos that decode, `INSPECTED_SCHEMA`; at least width, height and exif_orientation.
        rejected: how many samples of the source were left out, by reason.
        stored_bytes: of all files of the templates' samples; None where they were not measured.
    """
    kept = templates.num_rows
    return [
        _count(source, kept),
        *_readable(rejected),
        _orientation(inspected),
        _size(source, inspected),
        _storage(source, kept, stored_bytes),
        *_shares(source, templates),
        *_categories(source, templates),
        *_duplicates(source, rejected),
    ]


def picture_bytes(photos: pa.Table) -> int:
    """Encoded bytes in all picture columns of photos: what their files take."""
    return sum(
        pc.sum(pc.binary_length(pc.struct_field(photos[field.name], "bytes"))).as_py() or 0
        for field in photos.schema
        if field.type == IMAGE
    )


def _count(source: PhotoSource, kept: int) -> Expectation:
    return Expectation(
        "templates", f"{source.limit}", f"{kept}", Verdict.OK if kept == source.limit else Verdict.DIFFERS
    )


def _size(source: PhotoSource, inspected: pa.Table) -> Expectation:
    check, width, height = "photo size", source.expected_width, source.expected_height
    if not (width and height):
        return Expectation(check, "any", _sizes(inspected), Verdict.NOT_APPLICABLE)
    if not inspected.num_rows:
        return Expectation(check, f"{width} x {height}", "no photos", Verdict.NOT_APPLICABLE)
    fits = pc.and_(pc.equal(inspected["width"], width), pc.equal(inspected["height"], height))
    verdict = Verdict.OK if pc.all(fits).as_py() else Verdict.DIFFERS
    return Expectation(check, f"{width} x {height}", _sizes(inspected), verdict)


def _readable(rejected: Mapping[str, int]) -> list[Expectation]:
    """Photos that do not decode; metadata without files, and files without metadata."""
    counts = {
        "photos that do not decode": sum(rejected.get(reason, 0) for reason in _UNREADABLE),
        "metadata without a file": rejected.get(Reason.METADATA_WITHOUT_FILE, 0),
        "files without metadata": rejected.get(Reason.METADATA_MISSING, 0),
    }
    return [
        Expectation(check, "0", f"{count}", Verdict.DIFFERS if count else Verdict.OK) for check, count in counts.items()
    ]


def _orientation(inspected: pa.Table) -> Expectation:
    turned = pc.sum(pc.not_equal(inspected["exif_orientation"], 1)).as_py() or 0
    return Expectation("photos turned upright by EXIF", "any number", f"{turned}", Verdict.NOT_APPLICABLE)


def _sizes(inspected: pa.Table, shown: int = 3) -> str:
    counts = inspected.select(["width", "height"]).group_by(["width", "height"]).aggregate([([], "count_all")])
    rows = sorted(counts.to_pylist(), key=lambda row: (-row["count_all"], row["width"], row["height"]))
    told = [f"{row['width']} x {row['height']}: {row['count_all']}" for row in rows[:shown]]
    return ", ".join([*told, *([f"{len(rows) - shown} other sizes"] if len(rows) > shown else [])]) or "no photos"


def _storage(source: PhotoSource, kept: int, stored_bytes: int | None) -> Expectation:
    rendered = source.kind is SourceKind.MANNEQUINS
    known = None if rendered else BYTES_PER_SAMPLE.get(source.category)
    if known is None or stored_bytes is None or not kept:
        found = "not measured" if stored_bytes is None else _megabytes(stored_bytes)
        return Expectation(
            "storage", "no expectation" if known is None else "in proportion", found, Verdict.NOT_APPLICABLE
        )
    low, high = (per_sample * kept for per_sample in known)
    verdict = Verdict.OK if low <= stored_bytes <= high else Verdict.DIFFERS
    return Expectation("storage", f"{_megabytes(low)} to {_megabytes(high)}", _megabytes(stored_bytes), verdict)


def _megabytes(size: float) -> str:
    return f"{size / MEGABYTE:.1f} MB"


def _shares(source: PhotoSource, templates: pa.Table) -> list[Expectation]:
    if source.kind is SourceKind.MANNEQUINS:
        return []
    if source.category == "fashion":
        cloth = [_cloth(word) for word in templates["cloth"].to_pylist()]
        return [
            *_shares_of("gender", GENDERS, templates["gender"].to_pylist()),
            *_shares_of("cloth", CLOTHES, cloth),
        ]
    if source.category == "lifestyle":
        scenes = [word if word in SCENES else None for word in templates["subcategory"].to_pylist()]
        return _shares_of("scene", SCENES, scenes)
    return []


def _cloth(word: str | None) -> str | None:
    if not word:
        return None
    family = garment_family(word)
    return family if family in CLOTHES else "other"


def _shares_of(check: str, expected: Mapping[str, float], found: list[str | None]) -> list[Expectation]:
    """One line a word; rows whose word is unknown are left out of the shares and counted in a line of their own."""
    known = [word for word in found if word is not None]
    lines = [_share(f"{check}: {word}", share, known.count(word), len(known)) for word, share in expected.items()]
    unknown = len(found) - len(known)
    if unknown:
        lines.append(Expectation(f"{check}: unknown", "0", f"{unknown} of {len(found)}", Verdict.DIFFERS))
    return lines


def _share(check: str, expected: float, count: int, total: int) -> Expectation:
    if total < FEWEST:
        found = f"{count} of {total}" if total else "none known"
        return Expectation(check, f"about {expected:.0%}", found, Verdict.NOT_APPLICABLE)
    low, high = wilson(count, total)
    verdict = Verdict.OK if low - TOLERANCE <= expected <= high + TOLERANCE else Verdict.DIFFERS
    return Expectation(check, f"about {expected:.0%}", f"{count / total:.0%} ({count} of {total})", verdict)


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson 1927, without continuity correction."""
    share, z2 = count / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return centre - half, centre + half


def _categories(source: PhotoSource, templates: pa.Table) -> list[Expectation]:
    """A lifestyle source may give sports, too; every other only its own."""
    allowed = {source.category, "sports"} if source.category == "lifestyle" else {source.category}
    counts = dict.fromkeys(sorted(allowed), 0) | {
        row["category"]: row["count_all"]
        for row in templates.select(["category"]).group_by("category").aggregate([([], "count_all")]).to_pylist()
    }
    return [
        Expectation(
            f"category: {name}",
            "any number" if name in allowed else "0",
            f"{count}",
            Verdict.NOT_APPLICABLE if name in allowed else Verdict.DIFFERS,
        )
        for name, count in sorted(counts.items())
    ]


def _duplicates(source: PhotoSource, rejected: Mapping[str, int]) -> list[Expectation]:
    exact, near = rejected.get(Reason.DUPLICATE_EXACT, 0), rejected.get(Reason.DUPLICATE_NEAR, 0)
    near_verdict = Verdict.DIFFERS if near else Verdict.OK
    return [
        Expectation("exact duplicates left out", "0", f"{exact}", Verdict.DIFFERS if exact else Verdict.OK),
        Expectation("near duplicates left out", "0", f"{near}", near_verdict)
        if source.drops_near_duplicates
        else Expectation("near duplicates left out", "not looked for", f"{near}", Verdict.NOT_APPLICABLE),
    ]
