"""Small pictures of samples of a build, of kept and of rejected ones, found in whatever shard holds them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

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

BOX: Final = "person_xyxy"
"""A person's box on the picture of the sample that the person's is made from."""

_BOX_COLOUR: Final = (255, 60, 60)


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


@dataclass(frozen=True)
class _Chosen:
    """Where the picture of a sample is; `box_xyxy` of the person on it that the sample is about, in its pixels."""

    place: _Place
    box_xyxy: tuple[float, ...] = ()


def pictures_of(build: BuildFacts, wanted: Sequence[Wanted], most_bytes: int = MOST_BYTES) -> dict[Wanted, str]:
    """A data URI for each sample that has a picture: its own, or that of what it was made from; a clip's first frame.

    The latest picture before the sample was rejected is taken: a face rather than the photo; of a person on a photo,
    that with the box around the person. What does not decode, and what comes after `most_bytes`, has none.
    """
    places, boxes = _places(build, {each for sample in wanted for each in sample.ids})
    order = {stage: number for number, stage in enumerate(build.stages)}
    chosen: dict[Wanted, _Chosen] = {}
    for sample in wanted:
        limit = order.get(sample.before, len(order))
        for generation, sample_id in enumerate(sample.ids):
            found = [place for place in places.get(sample_id, ()) if place.order < limit]
            if found:
                place = max(found, key=lambda place: (place.order, place.path.name, place.row))
                box = boxes.get(sample.ids[generation - 1], ()) if generation else ()
                chosen[sample] = _Chosen(place, box)
                break
    return _shown(chosen, most_bytes)


def small_picture(data: bytes, side_px: int, box_xyxy: Sequence[float] = ()) -> str:
    """A picture, or the first frame of a clip, as the data URI of a small JPEG.

    Args:
        box_xyxy: drawn onto it, in pixels of the picture; none where it is empty.
    Raises:
        DecodeError: it does not decode.
    """
    is_clip = data[4:8] == b"ftyp" and picture_format(data) is None
    rgb = _first_frame(data) if is_clip else decode_rgb(data)
    small = thumbnail(rgb, side_px)
    if box_xyxy:
        scale = small.shape[1] / rgb.shape[1]
        drawn = Image.fromarray(small)
        ImageDraw.Draw(drawn).rectangle([scale * each for each in box_xyxy], outline=_BOX_COLOUR, width=2)
        small = np.array(drawn)
    return data_uri(encode_jpeg(small, QUALITY))


def _first_frame(clip: bytes) -> Any:
    import av

    try:
        with av.open(BytesIO(clip), "r") as container:
            for frame in container.decode(video=0):
                return frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"the clip does not decode: {error}") from error
    raise DecodeError(Reason.VIDEO_UNREADABLE, "the clip has no pictures")


def _places(build: BuildFacts, ids: set[str]) -> tuple[Mapping[str, list[_Place]], Mapping[str, tuple[float, ...]]]:
    """Where the build holds pictures of samples, and the boxes of those that are people on a picture."""
    found: defaultdict[str, list[_Place]] = defaultdict(list)
    boxes: dict[str, tuple[float, ...]] = {}
    values = pa.array(sorted(ids), pa.string())
    for order, stage in enumerate(build.stages if ids else ()):
        shards = [shard for shard in build.all_shards_of(stage) if shard.data.rows]
        paths = [path for shard in shards if (path := build.path(shard)) is not None]
        schema = pq.read_schema(paths[0]) if paths else pa.schema([])
        column = next((field.name for field in schema if field.type == IMAGE), "")
        boxed = [BOX] if BOX in schema.names else []
        for path in paths if column or boxed else ():
            read = pq.read_table(path, columns=["sample_id", *boxed])
            for row in pc.indices_nonzero(pc.is_in(read["sample_id"], value_set=values)).to_pylist():
                sample_id = read["sample_id"][row].as_py()
                if column:
                    found[sample_id].append(_Place(order, path, column, row))
                if boxed:
                    boxes[sample_id] = tuple(read[BOX][row].as_py())
    return found, boxes


def _shown(chosen: Mapping[Wanted, _Chosen], most_bytes: int) -> dict[Wanted, str]:
    """Read and decode, one row group at a time, whatever decodes badly in a process of its own."""
    files: defaultdict[tuple[Path, str], dict[int, set[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(set))
    for each in chosen.values():
        files[each.place.path, each.place.column][each.place.row].add(each.box_xyxy)
    if not files:
        return {}
    made: dict[tuple[Path, int, tuple[float, ...]], str] = {}
    with Isolated(small_picture, {"side_px": SIDE_PX}, timeout_s=SECONDS_EACH) as decoder:
        for (path, column), rows in files.items():
            for some in _encoded(path, column, rows):
                asked = [(row, box) for row in some for box in sorted(rows[row])]
                pictures, options = [some[row] for row, _ in asked], [{"box_xyxy": box} for _, box in asked]
                answers = decoder.map(pictures, options)
                made |= {(path, *of): uri for of, uri in zip(asked, answers, strict=True) if isinstance(uri, str)}
    shown: dict[Wanted, str] = {}
    room = most_bytes
    for sample, each in chosen.items():
        uri = made.get((each.place.path, each.place.row, each.box_xyxy))
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
