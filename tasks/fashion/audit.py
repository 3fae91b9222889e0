"""Audit sheets of looks: what the person in a photo wears, ticked by a person (see `tasks.audit.sheet`)."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from tasks.audit.questions import Answer, Question
from tasks.audit.sheet import Shown, read_sheet, write_sheet
from tasks.fashion.audit_ledger import LookVerdict
from tasks.schema.fashion import GARMENTS

NOTHING: Final = "none"
"""Said of a photo that shows no garment."""

WORN: Final = Question(
    "garments", "", (*(Answer(each, each) for each in GARMENTS), Answer(NOTHING, "none of these", alone=True))
)

_ADVICE: Final = (
    "Tick all that the person in the middle of the picture wears or carries, also what is partly covered. Where there "
    "is nothing of the list, tick “none of these”; a photo without a tick counts as not judged."
)


def look_sheet(folder: Path, photos: Iterable[Shown], title: str) -> int:
    """Write a sheet; returns how many photos are on it. Of each `image_id` and `image_path` are told."""
    return write_sheet(folder, photos, title, _ADVICE, (WORN,))


def read_looks(path: Path, known: Collection[str]) -> list[LookVerdict]:
    """What was said in a table of a sheet; photos that were not judged are left out.

    Args:
        path: the table.
        known: the sample ids of the build.
    Raises:
        SourceError: the table cannot be read, or has faults; the message lists them.
    """
    return [
        LookVerdict(
            sample_id=said.sample_id,
            garments=tuple(each for each in said.answers[WORN.name] if each != NOTHING),
            reviewer=said.reviewer,
        )
        for said in read_sheet(path, (WORN,), known)
    ]
