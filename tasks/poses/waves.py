"""How much of a source to read so that enough templates are kept: in waves, each sized by what the last ones gave."""

from collections.abc import Mapping
from math import ceil

from tasks.schema.sources import SourceListing, SourcePart

FIRST_RATE = 0.9
"""Share of rows kept that is assumed before anything was read."""

LOWEST_RATE = 0.02
"""A category rarer than this among the rows read so far is looked for in steps, not in one leap."""

GROWTH = 4
"""A wave reads at most this many times what was read before it."""


def missing(quotas: Mapping[str, int], kept: Mapping[str, int]) -> dict[str, int]:
    """How many templates each quota still lacks; the quota `any` counts all categories together."""
    have = {**kept, "any": sum(kept.values())}
    lacking = {name: quota - have.get(name, 0) for name, quota in quotas.items()}
    return {name: count for name, count in lacking.items() if count > 0}


def rows_wanted(quotas: Mapping[str, int], kept: Mapping[str, int], rows_read: int) -> int:
    """How many more rows of a source to read; 0 when all quotas are filled.

    Args:
        kept: templates by category after `rows_read` rows.
    """
    have = {**kept, "any": sum(kept.values())}
    wanted = 0
    for name, count in missing(quotas, kept).items():
        rate = max(have.get(name, 0) / rows_read, LOWEST_RATE) if rows_read else FIRST_RATE
        wanted = max(wanted, ceil(count / rate))
    return min(wanted, GROWTH * rows_read) if rows_read else wanted


def next_wave(
    listing: SourceListing, parts_read: int, quotas: Mapping[str, int], kept: Mapping[str, int]
) -> tuple[SourcePart, ...]:
    """The parts to read next, in order; empty when the quotas are filled or the source has no more."""
    wanted = rows_wanted(quotas, kept, sum(part.rows for part in listing.parts[:parts_read]))
    wave: list[SourcePart] = []
    for part in listing.parts[parts_read:]:
        if wanted <= 0:
            break
        wave.append(part)
        wanted -= part.rows
    return tuple(wave)
