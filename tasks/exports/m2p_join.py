"""The samples of a finished dataset with all that is known of them, one after the other, in bounded memory."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.m2p_files import SPLITS
from tasks.schema.clips import (
    AUDIT_SCHEMA,
    CLIP_SCHEMA,
    CUT_SCHEMA,
    DANCE_SCHEMA,
    MUSIC_SCHEMA,
    POSE_SCHEMA,
    REFERENCE_SCHEMA,
    SAMPLE_SCHEMA,
    WHOLEBODY_JOINTS,
)
from tasks.schema.columns import SAMPLE_FIELDS, shard_schema
from tasks.schema.errors import StoreError
from tasks.shards.parquet import Lookup, read_batches

Row = dict[str, Any]
Moved = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Places (frames, 134, 2), NaN where missing, and confidences (frames, 134), to places as an export wants them."""

_SCHEMAS: Final = {
    "dance": DANCE_SCHEMA,
    "clips": CLIP_SCHEMA,
    "cut": CUT_SCHEMA,
    "music": MUSIC_SCHEMA,
    "poses": POSE_SCHEMA,
    "reference": REFERENCE_SCHEMA,
    "audit": AUDIT_SCHEMA,
}
_TAKEN: Final[dict[str, dict[str, str]]] = {
    "dance": {
        "group": "source_group", "fps": "source_fps", "width": "source_width", "height": "source_height",
        "sound_from": "sound_from", "sound_uri": "sound_uri",
    },
    "clips": {name: name for name in (
        "dancer", "shot", "start_s", "crop", "crop_centre_xy", "crop_side", "dancer_xyxy", "dancer_score",
    )},
    "cut": {name: name for name in (
        "frames", "width", "height", "repeated_frames", "sound_rate", "sound_rms_db", "sound_padded_s", "clip",
        "clip_digest",
    )},
    "music": {
        "frames": "music_frames", "features": "music_features", "layout": "music_layout", "beats_s": "beats_s",
        "tempo_bpm": "tempo_bpm",
    },
    "poses": {
        "frames": "pose_frames", "keypoints_xy": "keypoints_xy", "confidence": "confidence", "raw_score": "raw_score",
        "produced": "produced", "pose_model": "pose_model",
    },
    "reference": {
        "reference": "reference", "reference_frame": "reference_frame", "face_xyxy": "face_xyxy",
        "face_score": "face_score", "sharpness": "reference_sharpness", "frontality": "reference_frontality",
        "embedding": "embedding", "embedding_model": "embedding_model", "embedding_missing": "embedding_missing",
    },
    "audit": {
        "score": "audit_score", "confident_share": "confident_share", "largest_jump": "largest_jump", "jumps": "jumps",
        "loop_share": "loop_share", "sound_offset_s": "sound_offset_s", "findings": "findings",
    },
}  # fmt: skip
"""Shard -> its columns -> their names here."""

_OF_SPLIT: Final = ("video", "split", "song_group", "person_group", "group")
_CHECKED: Final = ("music_frames", "pose_frames")

PIXELS: Final = ("clip", "reference")
ARRAYS: Final = (
    "crop_centre_xy", "crop_side", "dancer_xyxy", "dancer_score", "music_features", "music_layout", "keypoints_xy",
    "keypoints_raw_xy", "confidence", "raw_score", "produced", "embedding",
)  # fmt: skip


def _joined_schema() -> pa.Schema:
    fields = [SAMPLE_SCHEMA.field(name) for name in _OF_SPLIT]
    for shard, names in _TAKEN.items():
        fields += [_SCHEMAS[shard].field(name).with_name(new) for name, new in names.items() if new not in _CHECKED]
    fields.append(pa.field("keypoints_raw_xy", pa.list_(pa.float32())))
    return shard_schema(pa.field("folder", pa.string(), nullable=False), *fields)


def _with_pixels(schema: pa.Schema) -> pa.Schema:
    """The same with pixels as `datasets` wants them: nullable, and a clip as `Video`, an `Image` to Arrow."""
    for name in PIXELS:
        schema = schema.set(schema.get_field_index(name), schema.field(name).with_nullable(True))
    said = json.loads(schema.metadata[b"huggingface"])
    said["info"]["features"]["clip"] = {"_type": "Video"}
    return schema.with_metadata({"huggingface": json.dumps(said)})


def part_of(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Some columns of a schema, with what Hugging Face is told of them."""
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    said = {"info": {"features": {name: features[name] for name in names}}}
    return pa.schema([schema.field(name) for name in names], metadata={"huggingface": json.dumps(said)})


JOINED_SCHEMA: Final = _with_pixels(_joined_schema())
"""A sample with the columns of all its shards; `folder` is its name in exports.

`keypoints_raw_xy`: places as the model gave them, where `keypoints_xy` were moved for the export; else null.
"""


@dataclass(frozen=True)
class VideoShards:
    """The shards of one video: `DANCE_SCHEMA`, `CLIP_SCHEMA` and so on to `AUDIT_SCHEMA`, in `tasks.schema.clips`."""

    dance: Path
    clips: Path
    cut: Path
    music: Path
    poses: Path
    reference: Path
    audit: Path


@dataclass(frozen=True, eq=False)
class Sample:
    """One row of `JOINED_SCHEMA`. `facts` are its columns that are neither pixels nor long."""

    row: pa.RecordBatch

    @property
    def facts(self) -> Row:
        names = [name for name in JOINED_SCHEMA.names if name not in (*PIXELS, *ARRAYS)]
        (found,) = self.row.select(names).to_pylist()
        return dict(found)

    def text(self, name: str) -> str:
        return str(self.row[name][0].as_py())

    @property
    def frames(self) -> int:
        return int(self.row["frames"][0].as_py())

    @property
    def clip(self) -> bytes:
        return self._bytes("clip")

    @property
    def reference(self) -> bytes:
        return self._bytes("reference")

    @property
    def layout(self) -> tuple[str, ...]:
        """A name for each column of the music features."""
        return tuple(self.row["music_layout"][0].as_py())

    @property
    def music(self) -> NDArray[np.float32]:
        """Music features, (frames, width)."""
        return _floats(self.row["music_features"]).reshape(self.frames, -1)

    @property
    def keypoints(self) -> NDArray[np.float32]:
        """x, y in pixels (NaN where missing) and confidence, (frames, 134, 3)."""
        shape = (self.frames, WHOLEBODY_JOINTS)
        xy, confidence = _floats(self.row["keypoints_xy"]), _floats(self.row["confidence"])
        return np.concatenate([xy.reshape(*shape, 2), confidence.reshape(*shape, 1)], axis=2)

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        return _floats(self.row["embedding"]) if self.row["embedding"][0].is_valid else None

    def _bytes(self, name: str) -> bytes:
        return bytes(self.row[name].field("bytes")[0].as_py())


def folder_name(sample_id: str) -> str:
    """The name of a sample in exports, from its id alone: `<video>_c003` of `<video>/c003`.

    It has letters, digits, `_` and `-` only; ids that have others, or another form, get some digits of their digest.
    """
    if re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,99}/c\d+(_d\d+)?", sample_id):
        return sample_id.replace("/", "_")
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", sample_id).lstrip("-")[:100]
    return f"{readable}-{sha256(sample_id.encode()).hexdigest()[:12]}"


def joined_samples(videos: Sequence[VideoShards], split: Path, moved: Moved | None = None) -> Iterator[Sample]:
    """The samples of a split shard, in the order of the videos and of their clips.

    Holds a few row groups of one video at once, and the names of all samples.

    Args:
        videos: of all samples of the split, and maybe of more.
        split: a shard of `SAMPLE_SCHEMA`.
        moved: what is done to the places of joints, such as smoothing; None: nothing.
    Raises:
        StoreError: a sample is not in all of the shards, is there twice, or its shards do not fit each other.
    """
    wanted = _wanted(split)
    for shards in videos:
        (dance,) = _dance(shards.dance) or (None,)
        beside = {
            name: Lookup(getattr(shards, name), tuple(columns))
            for name, columns in _TAKEN.items()
            if name not in ("dance", "audit")
        }
        columns = (*(field.name for field in SAMPLE_FIELDS), *_TAKEN["audit"])
        for batch in read_batches(shards.audit, 256, columns):
            for place, sample_id in enumerate(batch["sample_id"].to_pylist()):
                if sample_id not in wanted:
                    continue
                if dance is None:
                    raise StoreError(f"{shards.dance} is empty, and yet {sample_id} is of it: make the build again.")
                told = wanted.pop(sample_id)
                found = _found(sample_id, beside, shards) | {"audit": batch.slice(place, 1)}
                yield _joined(sample_id, told, dance, found, moved)
    if wanted:
        raise StoreError(
            f"{len(wanted)} samples are in no shard given, {min(wanted)!r} among them: pass the shards of all videos."
        )


def _wanted(split: Path) -> dict[str, Row]:
    rows = _read(split, ("sample_id", *_OF_SPLIT)).to_pylist()
    wanted = {row["sample_id"]: row for row in rows}
    if len(wanted) < len(rows):
        raise StoreError(f"{split} has {len(rows) - len(wanted)} samples twice: make the build again.")
    unknown = {row["split"] for row in rows} - set(SPLITS)
    if unknown:
        raise StoreError(f"{split} has the splits {sorted(unknown)}, there are folders for {', '.join(SPLITS)}.")
    return wanted


def _dance(path: Path) -> list[Row]:
    return [
        {new: row[name] for name, new in _TAKEN["dance"].items()}
        for row in _read(path, tuple(_TAKEN["dance"])).to_pylist()
    ]


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    return pq.read_table(
        path, columns=list(columns), pre_buffer=False, page_checksum_verification=True, partitioning=None
    )


def _found(sample_id: str, beside: Mapping[str, Lookup], shards: VideoShards) -> dict[str, pa.RecordBatch]:
    found = {}
    for name, lookup in beside.items():
        try:
            batch, place, _ = lookup.find(sample_id)
        except LookupError as error:
            raise StoreError(f"{getattr(shards, name)} does not fit its video: {error}.") from error
        found[name] = batch.slice(place, 1)
    return found


def _joined(sample_id: str, told: Row, dance: Row, found: dict[str, pa.RecordBatch], moved: Moved | None) -> Sample:
    columns = {field.name: found["audit"][field.name] for field in SAMPLE_FIELDS}
    columns |= {name: pa.array([value], JOINED_SCHEMA.field(name).type) for name, value in _single(told, dance)}
    for shard, batch in found.items():
        columns |= {new: batch[name] for name, new in _TAKEN[shard].items()}
    frames = columns["frames"][0].as_py()
    lengths = [columns[name][0].as_py() for name in _CHECKED]
    lengths += [len(columns[name][0]) / of for name, of in (("confidence", WHOLEBODY_JOINTS), ("crop_side", 1))]
    lengths.append(len(columns["music_features"][0]) / max(1, len(columns["music_layout"][0])))
    if any(length != frames for length in lengths):
        raise StoreError(f"{sample_id} has {frames} frames, but {lengths} of music, poses and crop: make it again.")
    columns["keypoints_raw_xy"] = pa.nulls(1, JOINED_SCHEMA.field("keypoints_raw_xy").type)
    if moved is not None:
        columns["keypoints_raw_xy"] = columns["keypoints_xy"]
        columns["keypoints_xy"] = _moved(columns["keypoints_xy"], columns["confidence"], moved)
    return Sample(pa.RecordBatch.from_arrays([columns[name] for name in JOINED_SCHEMA.names], schema=JOINED_SCHEMA))


def _moved(places: pa.Array, confidence: pa.Array, moved: Moved) -> pa.Array:
    xy = _floats(places).reshape(-1, WHOLEBODY_JOINTS, 2)
    values = moved(xy, _floats(confidence).reshape(-1, WHOLEBODY_JOINTS)).ravel()
    flat = pa.array(values, pa.float32(), mask=np.isnan(values))
    return pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat)


def _floats(column: pa.Array) -> NDArray[np.float32]:
    """The numbers of the only row; NaN for null."""
    return np.asarray(column[0].values.to_numpy(zero_copy_only=False), np.float32)


def _single(told: Row, dance: Row) -> list[tuple[str, Any]]:
    of_split = [(name, told[name]) for name in _OF_SPLIT]
    return [("folder", folder_name(told["sample_id"])), *of_split, *dance.items()]
