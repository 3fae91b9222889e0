"""Small pictures of samples of a build, of kept and of rejected ones, found in whatever shard holds them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.headers import picture_format
from tasks.images.isolate import Isolated
from tasks.images.sheet import encode_jpeg, thumbnail
from tasks.reports.build_facts import BuildFacts
from tasks.reports.elements import data_uri
from tasks.schema.columns import IMAGE
from tasks.schema.rejections import Reason

SIDE_PX: Final = 200
QUALITY: Final = 78
MOST_BYTES: Final = 7 << 20
"""Of all pictures on a page together, as data URIs: what leaves room for its text below 10 MB."""

SECONDS_EACH: Final = 10.0
NEVER_SHOWN: Final = frozenset({Reason.DECODER_CRASHED, Reason.DECODER_TIMED_OUT})
"""Reasons that say what decoding would do."""


@dataclass(frozen=True)
class Wanted:
    """A sample to be shown; `before`: only what stages before this one hold (where it was rejected), empty: all."""

    sample_id: str
    before: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Its own id and those of what it was made from, which it extends."""
        found = self.sample_id
        return (found, *(found[:at] for at in range(len(found) - 1, 0, -1) if found[at] == "/"))


@dataclass(frozen=True)
class _Place:
    """A row with a picture: `order` of its stage, from the sources on."""

    order: int
    path: Path
    column: str
    row: int


def pictures_of(build: BuildFacts, wanted: Sequence[Wanted], most_bytes: int = MOST_BYTES) -> dict[Wanted, str]:
    """A data URI for each sample that has a picture: its own, or that of what it was made from; a clip's first frame.

    The latest picture before the sample was rejected is taken: a face rather than the photo. What does not decode, and
    what comes after `most_bytes`, has none.
    """
    places = _places(build, {each for sample in wanted for each in sample.ids})
    order = {stage: number for number, stage in enumerate(build.stages)}
    chosen: dict[Wanted, _Place] = {}
    for sample in wanted:
        limit = order.get(sample.before, len(order))
        for sample_id in sample.ids:
            found = [place for place in places.get(sample_id, ()) if place.order < limit]
            if found:
                chosen[sample] = max(found, key=lambda place: (place.order, place.path.name, place.row))
                break
    return _shown(chosen, most_bytes)


def small_picture(data: bytes, side_px: int) -> str:
    """A picture, or the first frame of a clip, as the data URI of a small JPEG.

    Raises:
        DecodeError: it does not decode.
    """
    is_clip = data[4:8] == b"ftyp" and picture_format(data) is None
    rgb = _first_frame(data) if is_clip else decode_rgb(data)
    return data_uri(encode_jpeg(thumbnail(rgb, side_px), QUALITY))


def _first_frame(clip: bytes) -> Any:
    import av

    try:
        with av.open(BytesIO(clip), "r") as container:
            for frame in container.decode(video=0):
                return frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"the clip does not decode: {error}") from error
    raise DecodeError(Reason.VIDEO_UNREADABLE, "the clip has no pictures")


def _places(build: BuildFacts, ids: set[str]) -> Mapping[str, list[_Place]]:
    """Where the build holds pictures of samples."""
    found: defaultdict[str, list[_Place]] = defaultdict(list)
    values = pa.array(sorted(ids), pa.string())
    for order, stage in enumerate(build.stages if ids else ()):
        shards = [shard for shard in build.all_shards_of(stage) if shard.data.rows]
        paths = [path for shard in shards if (path := build.path(shard)) is not None]
        column = next((field.name for field in pq.read_schema(paths[0]) if field.type == IMAGE), "") if paths else ""
        for path in paths if column else ():
            read = pq.read_table(path, columns=["sample_id"])["sample_id"]
            rows = pc.indices_nonzero(pc.is_in(read, value_set=values)).to_pylist()
            for row in rows:
                found[read[row].as_py()].append(_Place(order, path, column, row))
    return found


def _shown(chosen: Mapping[Wanted, _Place], most_bytes: int) -> dict[Wanted, str]:
    """Read and decode, one row group at a time, whatever decodes badly in a process of its own."""
    files: defaultdict[tuple[Path, str], dict[int, None]] = defaultdict(dict)
    for place in chosen.values():
        files[place.path, place.column][place.row] = None
    if not files:
        return {}
    made: dict[tuple[Path, int], str] = {}
    with Isolated(small_picture, {"side_px": SIDE_PX}, timeout_s=SECONDS_EACH) as decoder:
        for (path, column), rows in files.items():
            for some in _encoded(path, column, rows):
                answers = decoder.map(list(some.values()))
                made |= {(path, row): uri for row, uri in zip(some, answers, strict=True) if isinstance(uri, str)}
    shown: dict[Wanted, str] = {}
    room = most_bytes
    for sample, place in chosen.items():
        uri = made.get((place.path, place.row))
        if uri is not None and len(uri) <= room:
            shown[sample] = uri
            room -= len(uri)
    return shown


def _encoded(path: Path, column: str, rows: Iterable[int]) -> Iterable[dict[int, bytes]]:
    """Row -> encoded picture of the rows asked for, a row group at a time."""
    wanted, first = sorted(rows), 0
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.metadata.num_row_groups):
            stop = first + file.metadata.row_group(group).num_rows
            here = [row for row in wanted if first <= row < stop]
            if here:
                values = file.read_row_group(group, columns=[column])[column].take([row - first for row in here])
                read = zip(here, values.to_pylist(), strict=True)
                yield {row: picture["bytes"] for row, picture in read if picture is not None and picture["bytes"]}
            first = stop
