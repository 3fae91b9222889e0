"""A build of WebBody, as tasks hand it to each other and as it is summed up for a person."""

from collections.abc import Sequence

from pydantic import Field

from tasks.schema.forms import Form
from tasks.webbody.config import Share
from tasks.webbody.derivations import PartRead

UNFINISHED = "webbody_unfinished"
"""Builds that did not come to their members: kept apart, so that the latest whole one is found."""


class Summary(Form):
    """The end of a run, for a person."""

    manifest: str = ""
    urls: dict[str, int] = Field(default_factory=dict, title="URLs")
    rows: dict[str, int] = Field(default_factory=dict, title="Kept")
    identities: int | None = None
    splits: dict[str, int] = Field(default_factory=dict)
    subsets: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    exports: tuple[str, ...] = ()


def shared_out(parts: Sequence[PartRead], share: Share) -> tuple[PartRead, ...]:
    """The parts that this run works on."""
    return tuple(parts[share.index :: share.count])
