"""Small shards of templates, photos and previews with real encoded pictures."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.schema.templates import PHOTO_SCHEMA, PREVIEW_SCHEMA, TEMPLATE_SCHEMA
from tasks.shards.parquet import ShardWriter


def picture(seed: int, kind: str = "JPEG", size: tuple[int, int] = (48, 64), orientation: int = 1) -> bytes:
    """Smooth colours, encoded; size is width x height as stored."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack([(x * 3 + seed * 40) % 256, (y * 2 + seed * 17) % 256, (x + y + seed) % 256], -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = BytesIO()
    image = Image.fromarray(pixels.astype(np.uint8))
    image.save(stream, kind, exif=exif) if orientation != 1 else image.save(stream, kind)
    return stream.getvalue()


def mask(seed: int) -> bytes:
    pixels = np.zeros((64, 48), np.uint8)
    pixels[10 : 40 + seed % 20, 12:36] = 255
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def template(index: int, category: str = "fashion", **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "sample_id": f"{category}/{index:04d}",
        "source_uri": f"made://{category}/{index}",
        "licence": "DeepFashion: research only" if category == "fashion" else "CC0-1.0",
        "source": "fashion" if category == "fashion" else "lifestyle",
        "category": category,
        "subcategory": "general",
        "width": 48,
        "height": 64,
        "sha256": "0" * 64,
        "phash": 2**64 - 1 - index,
        "keypoints_xy": [float(v) for v in range(36)],
        "keypoints_confidence": [1.0] * 17 + [0.0],
        "keypoints_from": "drawing",
        "people": 1,
        "person_xyxy": [0.0, 0.0, 48.0, 64.0],
        "pose_class": "standing",
        "tags": ["standing", "frontal"],
        "difficulty": "easy",
        "difficulty_score": 0.2,
        "difficulty_parts": "{}",
        "quality": 0.9,
        "quality_parts": "{}",
        "gender": "female",
        "caption": f"woman in dress number {index}",
        "source_gender": "WOMEN",
        "source_pose": "front",
        "cloth": "dress",
        "pid": f"id_{index}",
    }
    return row | changes


def photo(row: dict[str, object], **changes: object) -> dict[str, object]:
    """The photo of a template, with what its source gives: masks for fashion, a drawing for the others."""
    index = int(str(row["sample_id"]).rpartition("/")[2])
    given: dict[str, object] = {
        "sample_id": row["sample_id"],
        "source_uri": row["source_uri"],
        "licence": row["licence"],
        "source": row["source"],
        "category": row["category"],
        "image": {"bytes": picture(index), "path": "photo.jpg"},
    }
    if row["category"] == "fashion":
        given["mask"] = {"bytes": mask(index), "path": "m.png"}
        given["mask_overlay"] = {"bytes": picture(index + 7, "PNG"), "path": "../../o.png"}
    else:
        given["conditioning"] = {"bytes": picture(index + 9, "PNG"), "path": "/etc/c.png"}
    return given | changes


def write_shard(path: Path, rows: Sequence[dict[str, object]], schema: pa.Schema) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream, ShardWriter(stream, schema) as writer:
        writer.write(pa.Table.from_pylist(list(rows), schema=schema))
        writer.finish("shard")
    return path


def write_build(
    folder: Path,
    rows: Sequence[dict[str, object]],
    photos: Sequence[dict[str, object]] | None = None,
    per_shard: int = 5,
) -> tuple[list[Path], list[Path]]:
    """Paths of the template shards and of the photo shards."""
    given = [photo(row) for row in rows] if photos is None else list(photos)
    return (
        [write_shard(folder / "templates.parquet", rows, TEMPLATE_SCHEMA)],
        [
            write_shard(folder / f"photos-{start}.parquet", given[start : start + per_shard], PHOTO_SCHEMA)
            for start in range(0, max(1, len(given)), per_shard)
        ],
    )


def mixed_rows(fashion: int = 6, lifestyle: int = 4, sports: int = 2) -> list[dict[str, object]]:
    counts = {"fashion": fashion, "lifestyle": lifestyle, "sports": sports}
    return [template(i, category) for category, count in counts.items() for i in range(count)]


def write_previews(path: Path, sample_ids: Sequence[str]) -> Path:
    rows = [
        {
            "sample_id": sample_id,
            "source_uri": "made://preview",
            "licence": "CC0-1.0",
            "overlay": {"bytes": picture(i), "path": "o.jpg"},
            "skeleton": {"bytes": picture(i, "PNG"), "path": "s.png"},
            "thumbnail": {"bytes": picture(i, size=(12, 16)), "path": "t.jpg"},
        }
        for i, sample_id in enumerate(sample_ids)
    ]
    return write_shard(path, rows, PREVIEW_SCHEMA)
