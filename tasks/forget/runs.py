"""Which artifacts, parameters and logs of runs show samples that go. What asks the server is in `tasks.forget.task`."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from tasks.forget.doomed import Erased
from tasks.forget.exports_names import Names

_PICTURES: Final = "data:image"
"""In the text of an artifact: a sheet of several samples, which cannot be cut."""

_SHOWN: Final = 5
"""Runs that are told by name."""


@dataclass(frozen=True)
class ArtifactText:
    """An artifact of a run: what it says as text, tables as JSON, and its description."""

    id: UUID
    text: str


@dataclass(frozen=True)
class RunText:
    """A run: its name, and its parameters as JSON."""

    name: str
    parameters: str


def affected(artifacts: Iterable[ArtifactText], names: Names) -> list[ArtifactText]:
    """The artifacts that name a sample, or show pictures of samples."""
    return [each for each in artifacts if _PICTURES in each.text or names.named_in(each.text)]


def naming_runs(runs: Iterable[RunText], names: Names) -> tuple[str, ...]:
    """A sentence where parameters of runs name a sample."""
    found = [run.name for run in runs if names.named_in(run.parameters)]
    if not found:
        return ()
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    told = f"{', '.join(found[:_SHOWN])}{more}"
    return (f"Parameters of runs name what was forgotten ({told}): delete these runs in the UI.",)


def erased_artifacts(gone: Iterable[ArtifactText], problems: Iterable[str] = (), *, again: bool = False) -> Erased:
    """What went, for the receipt; the digests are those of the texts, SHA-256."""
    texts = [each.text for each in gone]
    digests = tuple(sha256(text.encode()).hexdigest() for text in texts)
    return Erased("Prefect artifacts", len(texts), len(texts), digests, tuple(problems), again)
