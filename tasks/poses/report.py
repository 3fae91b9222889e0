"""What a build hands to Postgres and shows to a person, read from its shards."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.catalog.rows import KeypointsForm, TagsForm, template_rows
from tasks.exports.previews import preview_path, preview_url
from tasks.exports.rows import pick
from tasks.images.decode import decode_rgb
from tasks.images.sheet import contact_sheet
from tasks.poses.build import SourceFiles
from tasks.poses.config import Seeding
from tasks.poses.expectations import expectations, picture_bytes
from tasks.poses.rows import joints
from tasks.poses.similar import SIZE, pose_vector
from tasks.schema.columns import IMAGE
from tasks.schema.ids import template_id
from tasks.schema.templates import INSPECTED_SCHEMA, PHOTO_SCHEMA
from tasks.shards.parquet import read_batches

SHEET_TEMPLATES = 24
SHEET_COLUMNS = 6
SHEET_TILE_PX = 180
"""A sheet of 1100 pixels width: what the UI gives an artifact."""

BATCH_ROWS = 4096

_INSPECTED = ["width", "height", "exif_orientation"]
_NOTHING = INSPECTED_SCHEMA.empty_table().select(_INSPECTED).replace_schema_metadata(None)
_PICTURES = tuple(field.name for field in PHOTO_SCHEMA if field.type == IMAGE)


def sample_uris(templates: Path) -> dict[str, str]:
    """Sample -> `source_uri` of all templates."""
    table = pq.read_table(templates, columns=["sample_id", "source_uri"])
    return dict(zip(table["sample_id"].to_pylist(), table["source_uri"].to_pylist(), strict=True))


def seed_rows(templates: Path, public_url: str, seeding: Seeding) -> Iterator[pa.Table]:
    """The rows for Postgres, in batches."""
    for batch in read_batches(templates, BATCH_ROWS):
        urls = {i: preview_url(public_url, preview_path(i)) for i in batch["sample_id"].to_pylist()}
        yield template_rows(batch, urls, KeypointsForm(seeding.keypoints_form), TagsForm(seeding.tags_form))


def pose_vectors(templates: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Ids of the templates and the vectors of their poses, float32 (N, D)."""
    ids: list[str] = []
    vectors = [np.zeros((0, SIZE), np.float32)]
    for batch in read_batches(templates, BATCH_ROWS, ("sample_id", "keypoints_xy", "keypoints_confidence")):
        rows = batch.to_pylist()
        ids += [template_id(row["sample_id"]) for row in rows]
        vectors.append(np.array([pose_vector(*joints(row)) for row in rows], np.float32))
    return ids, np.concatenate(vectors)


def expected_and_found(templates: Path, sources: Sequence[SourceFiles]) -> list[dict[str, str]]:
    """A table: for every source what was expected of it and what was found."""
    everything = pq.read_table(templates)
    uris = sample_uris(templates)
    rows = []
    for each in sources:
        kept = everything.filter(pc.equal(everything["source"], each.source.name))
        inspected = pa.concat_tables([_NOTHING, *(pq.read_table(path, columns=_INSPECTED) for path in each.inspected)])
        pictures = pick(each.photos, {i: uris[i] for i in kept["sample_id"].to_pylist()}, _PICTURES)
        stored = sum(picture_bytes(group) for group in pictures)
        found = expectations(each.source, kept, inspected, each.rejected, stored)
        rows += [{"source": each.source.name, **line.as_row()} for line in found]
    return rows


def sheet_picture(templates: Path, previews: Sequence[Path]) -> NDArray[np.uint8]:
    """A contact sheet of templates evenly spread over the build, RGB uint8 (H, W, 3)."""
    table = pq.read_table(templates, columns=["sample_id", "source_uri", "category", "pose_class", "difficulty"])
    step = max(1, table.num_rows // SHEET_TEMPLATES)
    chosen = {row["sample_id"]: row for row in table.to_pylist()[::step][:SHEET_TEMPLATES]}
    pictures: dict[str, NDArray[np.uint8]] = {}
    uris = {sample_id: row["source_uri"] for sample_id, row in chosen.items()}
    for group in pick(previews, uris, ("overlay",)):
        for row in group.to_pylist():
            pictures[row["sample_id"]] = decode_rgb(row["overlay"]["bytes"])
    labels = [f"{row['category']}: {row['pose_class']}, {row['difficulty']}" for row in chosen.values()]
    return contact_sheet([pictures[i] for i in chosen], labels, SHEET_COLUMNS, SHEET_TILE_PX)
