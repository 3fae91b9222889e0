"""A build of pose templates, as tasks hand it to each other and as it is summed up for a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from tasks.catalog.seed import SeedReport
from tasks.poses.config import PoseTemplatesForm
from tasks.poses.derivations import SourceRead
from tasks.schema.forms import Form
from tasks.schema.sources import PhotoSource
from tasks.shards.manifest import Manifest

FLOW = "pose_templates"

PREVIEWS = "public/pose_templates"
"""Folder of the published previews, below the root of the store."""


class Build(Form):
    """What was made of what: enough to find every shard of it again.

    `manifest` is the digest of the build's manifest, `templates` counts by category, `rejected` by reason.
    """

    config: PoseTemplatesForm
    read: tuple[SourceRead, ...]
    manifest: str
    templates: dict[str, int]
    rejected: dict[str, int]
    flow: str = FLOW

    @classmethod
    def of(
        cls, config: PoseTemplatesForm, read: tuple[SourceRead, ...], manifest: Manifest, templates: Mapping[str, int]
    ) -> Self:
        rejected: dict[str, int] = {}
        for line in manifest.funnel.lines:
            for reason, count in line.rejected.items():
                rejected[reason] = rejected.get(reason, 0) + count
        return cls(config=config, read=read, manifest=manifest.digest, templates=dict(templates), rejected=rejected)


@dataclass(frozen=True)
class SourceFiles:
    """Whole shards of one source, one of a kind for each part that was read; and its rejected samples by reason.

    The limit of `source` is what was wanted of it in this build.
    """

    source: PhotoSource
    photos: tuple[Path, ...]
    inspected: tuple[Path, ...]
    rejected: dict[str, int]


class Seeded(Form):
    """What the seeding did to Postgres (see `SeedReport`); `psql` is a line that opens the database."""

    inserted: int
    updated: int
    unchanged: int
    retired: int
    reactivated: int
    foreign: int
    forgotten: int
    refused_to_retire: int
    total_owned: int
    total_active: int
    notices: tuple[str, ...]
    psql: str = Field(title="psql")

    @classmethod
    def of(cls, report: SeedReport, psql: str) -> Self:
        return cls(**{name: getattr(report, name) for name in cls.model_fields if name != "psql"}, psql=psql)


class BuildSummary(Form):
    """The end of a run, for a person."""

    manifest: str
    templates: dict[str, int]
    rejected: dict[str, int]
    pictures: str
    exports: tuple[str, ...] = Field(())
    seeded: Seeded | None = Field(None, title="Postgres")
