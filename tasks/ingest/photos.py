"""Photos of any source: what it offers, in parts, and the stage that turns one part into a shard."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pyarrow as pa

from tasks.ingest.folders import folder_part, list_folder
from tasks.ingest.hub import HubAccess
from tasks.ingest.hub_datasets import hub_part, list_hub
from tasks.ingest.parquet import list_parquet, parquet_part
from tasks.ingest.rows import IngestConfig, SourceRow, photo_batches
from tasks.ingest.video_frames import decoder_build, list_video, video_part
from tasks.schema.errors import ConfigError
from tasks.schema.sources import PhotoSource, SourceKind, SourceListing, SourcePart
from tasks.schema.templates import PHOTO_SCHEMA
from tasks.shards.stage import Stage, StageOutput


def list_source(source: PhotoSource, access: HubAccess, part_rows: int) -> SourceListing:
    """What a source offers now, in parts of about `part_rows` rows; reads listings, footers and digests, no photo.

    A part of a Parquet file keeps row groups whole where they are not larger than `part_rows`; slices of a larger row
    group grow (see `tasks.ingest.table.row_parts`).

    Raises:
        SourceError: the source is not there, refuses us, is empty, or does not have the columns of the mapping.
        ConfigError: mannequins, which are rendered and not read.
    """
    if part_rows < 1:
        raise ConfigError(f"A part has at least one row, not {part_rows}.")
    match source.kind:
        case SourceKind.HUB:
            return list_hub(source, access, part_rows)
        case SourceKind.FOLDER:
            return list_folder(source, part_rows)
        case SourceKind.PARQUET:
            return list_parquet(source, part_rows)
        case SourceKind.VIDEO:
            return list_video(source, part_rows)
        case SourceKind.MANNEQUINS:
            raise ConfigError(f"Source {source.name}: mannequins are rendered, there is nothing to list.")


@dataclass(frozen=True)
class IngestPhotos(Stage):
    """The photos of one part of a source, as they came.

    `config` says which bytes; the other fields say where those bytes lie now and how to get there, and are no part of
    the key: the same part found at another place or revision is the same work. `careful`: child processes decode the
    frames of a video first, and what they do not survive is rejected.
    """

    config: IngestConfig
    location: str
    conditioning_location: str = ""
    revision: str = ""
    access: HubAccess = field(default_factory=HubAccess)
    careful: bool = False

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 2

    @classmethod
    def of(
        cls, source: PhotoSource, listing: SourceListing, part: SourcePart, access: HubAccess | None = None
    ) -> "IngestPhotos":
        """The stage for one part of a listing."""
        config = IngestConfig(
            source=source.name,
            kind=source.kind,
            category=source.category,
            columns=source.columns,
            licence=source.licence,
            part=part,
        )
        return cls(
            config,
            location=source.location,
            conditioning_location=source.conditioning_location,
            revision=listing.revision,
            access=access or HubAccess(),
        )

    @property
    def schema(self) -> pa.Schema:
        return PHOTO_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source has none
        yield from photo_batches(self.config, self._rows())

    def cautious(self) -> "IngestPhotos | None":
        return replace(self, careful=True) if self.config.kind is SourceKind.VIDEO else None

    def execution(self) -> dict[str, str]:
        return decoder_build() if self.config.kind is SourceKind.VIDEO else {}

    def _rows(self) -> Iterator[SourceRow]:
        match self.config.kind:
            case SourceKind.HUB:
                return hub_part(self.config, self.location, self.revision, self.access)
            case SourceKind.FOLDER:
                return folder_part(self.config, self.location)
            case SourceKind.PARQUET:
                return parquet_part(self.config, self.location)
            case SourceKind.VIDEO:
                return video_part(self.config, self.location, self.conditioning_location, careful=self.careful)
            case SourceKind.MANNEQUINS:
                raise ConfigError(f"Source {self.config.source}: mannequins are rendered by a stage of their own.")
