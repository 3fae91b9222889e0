"""Photos of the runway and of the street: what a source offers, in parts, and the stage that reads one part."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from tasks.fashion.labels import garments_of, unknown_names
from tasks.fashion.sources import SIDE_COLUMNS, LookColumns, LookKind, LookSource
from tasks.ingest.coco import CocoRow, coco_part, list_coco
from tasks.ingest.coco_file import clean_text
from tasks.ingest.folders import folder_part, list_folder
from tasks.ingest.hub import HubAccess
from tasks.ingest.hub_datasets import hub_part, list_hub
from tasks.ingest.rows import SourceRow, named_batches
from tasks.schema.errors import ConfigError, SourceError
from tasks.schema.fashion import GARMENTS, LOOK_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.sources import SourceListing, SourcePart
from tasks.shards.stage import Stage, StageOutput


def list_looks(source: LookSource, access: HubAccess, part_rows: int) -> SourceListing:
    """What a source offers now, in parts of about `part_rows` rows, up to its limit.

    Raises:
        SourceError: the source is not there, refuses us, is empty, or does not have the columns of the mapping.
    """
    if part_rows < 1:
        raise ConfigError(f"A part has at least one row, not {part_rows}.")
    match source.kind:
        case LookKind.COCO:
            listing = list_coco(source, part_rows, source.limit)
        case LookKind.FOLDER:
            listing = list_folder(source, part_rows, source.limit)
        case LookKind.HUB:
            listing = _upto(list_hub(source, access, part_rows), source.limit)
    for role in SIDE_COLUMNS:
        name = getattr(source.columns, role)
        if name and name not in listing.columns:
            told = ", ".join(listing.columns) or "none"
            raise SourceError(f"Source {source.name} has no column {name!r} for `{role}`; it has: {told}.")
    return listing


def _upto(listing: SourceListing, limit: int) -> SourceListing:
    """The first rows of a listing whose parts may be cut anywhere."""
    rows = sum(part.rows for part in listing.parts)
    if not limit or rows <= limit:
        return listing
    parts: list[SourcePart] = []
    for part in listing.parts:
        if limit > 0:
            parts.append(part.model_copy(update={"rows": min(part.rows, limit)}))
        limit -= part.rows
    return listing.model_copy(update={"parts": tuple(parts), "complete": False})


class LooksConfig(Frozen):
    """All that decides the rows of one part; no limit, revision or place, so that equal bytes are found again.

    `split`: of a hub dataset; COCO exports know the split of each photo.
    """

    source: str
    kind: LookKind
    side: Literal["runway", "street"]
    original_dataset: str
    columns: LookColumns
    path_pattern: str
    licence: str
    split: str
    part: SourcePart


@dataclass(frozen=True)
class Looks(Stage):
    """The photos of one part of a source, as they came, with what is said of them.

    `config` says which bytes; the other fields say where those bytes lie now and how to get there, and are no part of
    the key.
    """

    config: LooksConfig
    location: str
    images: str = ""
    revision: str = ""
    access: HubAccess = field(default_factory=HubAccess)

    name: ClassVar[str] = "looks"
    version: ClassVar[int] = 1

    @classmethod
    def of(
        cls, source: LookSource, listing: SourceListing, part: SourcePart, access: HubAccess | None = None
    ) -> "Looks":
        """The stage for one part of a listing."""
        config = LooksConfig(
            source=source.name,
            kind=source.kind,
            side=source.side,
            original_dataset=source.dataset,
            columns=source.columns,
            path_pattern=source.path_pattern,
            licence=source.licence,
            split=source.split if source.kind is LookKind.HUB else "",
            part=part,
        )
        return cls(config, source.location, source.images, listing.revision, access or HubAccess())

    @property
    def schema(self) -> pa.Schema:
        return LOOK_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source has none
        """Facts of an annotated part: `unknown_labels`, photos by each label that is no garment; `missing_garments`,
        those that no annotation file of the part knows; `annotated`, whether any garment is known.
        """
        labels = _LabelCount()
        yield from named_batches(self.config.source, labels.watch(self._rows()), self._record, LOOK_SCHEMA)
        yield StageOutput(LOOK_SCHEMA.empty_table(), facts=labels.facts())

    def _rows(self) -> Iterator[SourceRow]:
        match self.config.kind:
            case LookKind.COCO:
                return iter(coco_part(self.config, self.location, self.images))
            case LookKind.FOLDER:
                return folder_part(self.config, self.location)
            case LookKind.HUB:
                return hub_part(self.config, self.location, self.revision, self.access)

    def _record(self, sample_id: str, row: SourceRow) -> dict[str, Any]:
        photo = row.images["image"]
        return {
            "sample_id": sample_id,
            "parent_id": None,
            "source_uri": row.uri,
            "licence": self.config.licence or (row.licence if isinstance(row, CocoRow) else "") or "unknown",
            "source": self.config.side,
            "original_dataset": self.config.original_dataset,
            "image_path": row.locator,
            "split": (row.split if isinstance(row, CocoRow) else self.config.split) or None,
            **self._said(row),
            "garments": _garments(row),
            "image": photo and {"bytes": photo.data, "path": photo.name},
        }

    def _said(self, row: SourceRow) -> dict[str, str | None]:
        """Designer, season and author: of the columns, else of the path."""
        found = re.search(self.config.path_pattern, row.locator) if self.config.path_pattern else None
        of_path = found.groupdict() if found else {}
        said = {name: row.texts.get(name) or of_path.get(name) for name in SIDE_COLUMNS}
        return {name: clean_text(text).strip() or None if text else None for name, text in said.items()}


def _garments(row: SourceRow) -> list[str] | None:
    """Those that a photo is labelled with; None: it is not, or its labels are of another kind altogether."""
    if not isinstance(row, CocoRow) or row.labels is None or not garments_of(row.vocabulary):
        return None
    return list(garments_of(row.labels))


@dataclass
class _LabelCount:
    """What a part's annotations say that no row can tell."""

    unknown: Counter[str] = field(default_factory=Counter)
    vocabularies: set[tuple[str, ...]] = field(default_factory=set)

    def watch(self, rows: Iterator[SourceRow]) -> Iterator[SourceRow]:
        for row in rows:
            if isinstance(row, CocoRow):
                self.vocabularies.add(row.vocabulary)
                self.unknown.update(unknown_names(row.labels or ()))
            yield row

    def facts(self) -> dict[str, Any]:
        if not self.vocabularies:
            return {}
        known = garments_of(name for vocabulary in self.vocabularies for name in vocabulary)
        return {
            "annotated": bool(known),
            "unknown_labels": dict(sorted(self.unknown.items())),
            "missing_garments": [name for name in GARMENTS if name not in known],
        }
