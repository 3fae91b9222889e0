"""Faults in the flows of photos: pose templates, WebBody, runway to street."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.controls.pose_templates import check_pose_templates
from tasks.controls.runway_street import check_runway_street
from tasks.controls.webbody import check_webbody
from tasks.images.decode import DecodeError
from tasks.machine.places import Machine
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints
from tasks.schema.sources import SourceListing, SourcePart
from tests.controls.faults import Check, Fault
from tests.lineage.remake_builds import PURPOSE, machine

POSES, WEB, LOOKS = "pose_templates", "webbody", "runway_street"
SEEN = "pose_templates:photos"
"""Pose templates of photos without drawings, in which a real model looks for people."""


DRAWN = {"name": "drawn", "kind": "folder", "location": "/drawn", "columns": {"conditioning": "drawing"}}


def open_checks(folder: Path, real: Path | None) -> dict[str, Check]:
    """Flow -> how a clean build is controlled."""
    looks, form = _looks(folder / "looks")
    checks: dict[str, Check] = {
        POSES: poses_check(DRAWN, "", machine(folder / "poses")),
        LOOKS: lambda mark: check_runway_street(_looks_build(form, looks), looks, mark),
    }
    if real:
        here = machine(folder / "real", real / "models")
        photos = {"name": "photos", "kind": "folder", "location": "/photos", "category": "lifestyle"}
        web = _web_build(folder, here)
        checks |= {
            SEEN: poses_check(photos, "yolov8n-pose-dequantised", here),
            WEB: lambda mark: check_webbody(web, here, mark),
        }
    return checks


def poses_check(source: dict[str, Any], model: str, here: Machine) -> Check:
    from tasks.poses.build import Build
    from tasks.poses.config import PoseTemplatesForm
    from tasks.poses.derivations import SourceRead

    form = PoseTemplatesForm.model_validate({"sources": [source], "keypoints": {"pose_model": model}})
    part = SourcePart(uri="none", digest="none", first_row=0, rows=1)
    read = SourceRead(source=form.sources[0], listing=SourceListing(revision="", parts=(part,), columns=()))
    build = Build(config=form, read=(read,), manifest="", templates={}, rejected={})
    return lambda mark: check_pose_templates(build, here, mark)


def _web_build(folder: Path, here: Machine) -> Any:
    from tasks.ingest.url_lists import list_urls
    from tasks.webbody.config import WebBodyForm
    from tasks.webbody.derivations import ListRead, parts_of
    from tasks.webbody.joined import Build

    listed = folder / "web.lst"
    listed.write_text("1 somebody https://example.org/photo.jpg\n")

    form = WebBodyForm.model_validate(
        {
            "sources": [{"name": "web", "location": str(listed)}],
            "purpose": PURPOSE,
            "bodies": {"model": "yolov8n-pose-dequantised"},
            "faces": {"model": "retinaface-mobilenet0.25"},
            "recognition": {"model": "mobilefacenet-128"},
        }
    )
    (source,) = form.sources
    read = parts_of(ListRead(source=source, listing=list_urls(source, here.hub, here.store, part_rows=10)))
    return Build(config=form, read=read)


def _looks(folder: Path) -> tuple[Machine, dict[str, Any]]:
    from tests.fashion.coloured_looks import write_looks

    form = write_looks(folder, street=1, runway=1)
    return machine(folder / "store", folder / "models"), json.loads(json.dumps(form))


def _looks_build(form: dict[str, Any], here: Machine) -> Any:
    from tasks.runway_street.build import open_build
    from tasks.runway_street.config import RunwayStreetForm
    from tasks.runway_street.derivations import PartRead

    config = RunwayStreetForm.model_validate(form)
    part = SourcePart(uri="none", digest="none", first_row=0, rows=1)
    return open_build((PartRead(source=config.sources[0], part=part, revision=""),), config, here)


class Here:
    """What `Isolated` does, in this process, where faults are planted."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], *_: Any) -> None:
        self._function, self._options = function, options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, pictures: Sequence[bytes], options: Sequence[dict[str, Any]] | None = None) -> list[Any]:
        return [
            self._answer(picture, {**self._options, **own})
            for picture, own in zip(pictures, options or [{}] * len(pictures), strict=True)
        ]

    def _answer(self, picture: bytes, options: dict[str, Any]) -> Any:
        try:
            return self._function(picture, **options)
        except DecodeError as error:
            return error


Wrap = Callable[[Any], Any]


def wrong(place: str, wrap: Wrap, *, loads: bool = False) -> Callable[[], AbstractContextManager[None]]:
    """Something of the code, named as `module:attribute`, replaced by what `wrap` makes of it; decoders run here.

    `loads`: models are loaded anew.
    """

    @contextmanager
    def plant() -> Iterator[None]:
        module, _, attribute = place.partition(":")
        owner: Any = import_module(module)
        *way, name = attribute.split(".")
        for step in way:
            owner = getattr(owner, step)
        with ExitStack() as stack:
            stack.enter_context(patch("tasks.images.inspect.Isolated", Here))
            stack.enter_context(patch("tasks.download.fetching.Isolated", Here))
            if loads:
                stack.enter_context(patch("tasks.models.loaded._loaded", {}))
            stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
            _forget(module)
            stack.callback(_forget, module)
            yield

    return plant


def _forget(module: str) -> None:
    """What functions of a module remember was made without the fault, or with it."""
    for each in vars(import_module(module)).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


def after(change: Callable[[Any], Any]) -> Wrap:
    """The function, with its result changed."""
    return lambda original: lambda *given, **named: change(original(*given, **named))


def before(change: Callable[..., tuple[Any, ...]]) -> Wrap:
    """The function, with its positional arguments changed."""
    return lambda original: lambda *given, **named: original(*change(*given), **named)


def swapped(pixels: Any) -> Any:
    """Red and blue change places."""
    return np.ascontiguousarray(pixels[..., ::-1])


def _first(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda result: (change(result[0]), *result[1:])


def _permuted(order: Sequence[int]) -> Callable[[Keypoints], Keypoints]:
    return lambda k: Keypoints(k.layout, k.xy[:, order], k.confidence[:, order])


def _with(**changes: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A row with some of its columns changed."""
    return lambda row: {**row, **{name: change(row[name]) for name, change in changes.items()}}


def _moved(values: Sequence[float | None]) -> list[float | None]:
    return [None if v is None else v + 1 for v in values]


def _each(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Any], Any]:
    """Kept rows of (kept, rejected), each changed."""
    return lambda result: ([change(row) for row in result[0]], result[1])


def _without_last(outputs: Iterator[Any]) -> Iterator[Any]:
    return iter(list(outputs)[:-1])


def _doubled(outputs: Iterator[Any]) -> Iterator[Any]:
    for output in outputs:
        yield output
        yield output


def _slipped(original: Any) -> Any:
    """The columns of side inputs are those of the row before."""

    def batches(stage: Any, inputs: Any, sides: Any, store: Any) -> Iterator[pa.RecordBatch]:
        own = (
            {name for each in inputs for name in pa.parquet.read_schema(store.data_path(each)).names}
            if sides
            else set()
        )
        for batch in original(stage, inputs, sides, store):
            at = pa.array(np.roll(np.arange(batch.num_rows), 1))
            columns = {
                name: batch[name] if name in own or not sides else batch[name].take(at) for name in batch.schema.names
            }
            yield pa.RecordBatch.from_pydict(columns, schema=batch.schema)

    return batches


def _stale(stage: str) -> Wrap:
    """A stage's output is found, whatever its key."""

    def wrap(original: Any) -> Any:
        def find(store: Any, name: str, key: str) -> Any:
            made = original(store, name, key)
            others = [record for record in store.records() if record.stage == stage] if name == stage else []
            return made or (others[0] if others else None)

        return find

    return wrap


def _keyed_by_name(stage: Any, inputs: Any, sides: Any) -> str:
    del inputs, sides
    return sha256(stage.name.encode()).hexdigest()


def _squashed(pixels: Any, side: Any) -> Any:
    return cv2.resize(pixels, (side, side))


def _skipping(original: Any) -> Any:
    def bmp(pixels: Any, module: Any) -> bytes:
        longest = max(pixels.shape[:2])
        scale = min(1.0, 640 / longest)
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        return bytes(original(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), module))

    return bmp


def _borderless(row: Any, photo: Any, *rest: Any) -> tuple[Any, ...]:
    return row, replace(photo, content=(0, 0, photo.content[2], photo.content[3])), *rest


def _mirrored_sides(people: Any) -> Any:
    return [replace(each, keypoints=_permuted(COCO_17.mirror)(each.keypoints)) for each in people]


def _moved_people(people: Any) -> Any:
    return [
        replace(
            each,
            boxes=Boxes(each.boxes.xyxy + np.float32(1), each.boxes.score),
            keypoints=Keypoints(each.keypoints.layout, each.keypoints.xy + np.float32(1), each.keypoints.confidence),
        )
        for each in people
    ]


def _dark(images: Any) -> Any:
    """Divided by 255 once more."""
    return [np.zeros_like(image) + (image > 254) for image in images]


def _eyes_swapped(candidates: Any) -> Any:
    return [replace(each, landmarks=each.landmarks[[1, 0, 2, 4, 3]]) for each in candidates]


def _negative(found: Any) -> Any:
    return replace(found, cosine=-found.cosine)


def _rolled(table: Any) -> Any:
    at = table.schema.get_field_index("identity")
    return table.set_column(at, "identity", pa.array(np.roll(table["identity"].to_numpy(zero_copy_only=False), 1)))


def _next_category(original: Any) -> Any:
    names = list(original)
    return (*names[1:], names[0])


def _nearest_pixels(rgb: Any, spec: Any) -> Any:
    from tasks.fashion.embedder import picture_for

    return picture_for(rgb, spec.model_copy(update={"interpolation": "nearest"}))


def _off_by_one(picture: Any) -> Any:
    return np.roll(picture, 1, axis=1)


def _unnormalised(network: Any, spec: Any) -> tuple[Any, Any]:
    return network, spec.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})


def _negated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "difference": None if row["difference"] is None else -row["difference"]} for row in rows]


def _longer(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("embedding")
    column = table["embedding"].combine_chunks()
    flat = pa.FixedSizeListArray.from_arrays(
        pc.multiply(column.flatten().cast(pa.float32()), 3.0).cast(pa.float16()), column.type.list_size
    )
    return table.set_column(at, table.schema.field(at), flat)


def _half(batch: Any, floors: dict[str, float]) -> tuple[Any, Any]:
    return batch, {name: 0.5 * value for name, value in floors.items()}


_FOUND = "tasks.body.keypoints:_output_row"
_PEOPLE = "tasks.body.people:people_of"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "red and blue swapped at decode", POSES, "inspect", wrong("tasks.images.examine:decode", after(_first(swapped)))
    ),
    Fault("EXIF orientation ignored", POSES, "inspect", wrong("tasks.images.decode:_orientation", after(lambda _: 1))),
    Fault(
        "digest of other bytes", POSES, "inspect", wrong("tasks.images.decode:sha256", before(lambda data: (data[1:],)))
    ),
    Fault(
        "left and right swapped in drawings",
        POSES,
        "keypoints",
        wrong("tasks.body.keypoints:read_for_photo", after(_permuted(OPENPOSE_18.mirror))),
    ),
    Fault(
        "joints in the wrong order",
        POSES,
        "keypoints",
        wrong("tasks.body.keypoints:read_for_photo", after(_permuted((*range(1, 18), 0)))),
    ),
    Fault("joints one pixel off", POSES, "keypoints", wrong(_FOUND, after(_with(keypoints_xy=_moved)))),
    Fault(
        "confidences zeroed",
        POSES,
        "keypoints",
        wrong(_FOUND, after(_with(keypoints_confidence=lambda each: [0.0] * len(each)))),
    ),
    Fault("side columns slipped by a row", POSES, "keypoints", wrong("tasks.shards.derive:_input_batches", _slipped)),
    Fault("last batch dropped", POSES, "describe", wrong("tasks.poses.describe:each_photo", after(_without_last))),
    Fault("batch given twice", POSES, "select", wrong("tasks.poses.select:choose", after(_doubled))),
    Fault(
        "red and blue swapped in previews", POSES, "preview", wrong("tasks.poses.preview:decode_rgb", after(swapped))
    ),
    Fault(
        "previews squashed to squares", POSES, "preview", wrong("tasks.poses.preview:thumbnail", lambda _: _squashed)
    ),
    Fault(
        "near duplicates not seen",
        POSES,
        "select",
        wrong("tasks.poses.select:hamming", after(lambda bits: bits + np.uint8(20))),
    ),
    Fault(
        "stale cache of one stage",
        POSES,
        "describe",
        wrong("tasks.shards.store:Store.find", _stale("describe")),
        twice=True,
    ),
    Fault(
        "key without inputs and parameters",
        POSES,
        "controls",
        wrong("tasks.shards.derive:stage_key", lambda _: _keyed_by_name),
        twice=True,
    ),
    Fault(
        "red and blue swapped before the pose model",
        SEEN,
        "keypoints",
        wrong("tasks.body.keypoints:decode_rgb", after(swapped)),
        real=True,
    ),
    Fault(
        "joint floor off",
        SEEN,
        "keypoints",
        wrong(
            "tasks.body.keypoints:found_by_model",
            lambda original: lambda *given, **named: original(*given, **{**named, "joint_floor": 0.05}),
        ),
        real=True,
    ),
    Fault(
        "left and right swapped in the pose model",
        SEEN,
        "keypoints",
        wrong("tasks.body.yolo:YoloPose.detect", after(_mirrored_sides)),
        real=True,
    ),
    Fault(
        "pixels scaled twice before the pose model",
        SEEN,
        "keypoints",
        wrong("tasks.body.yolo:YoloPose.detect", before(lambda model, images: (model, _dark(images)))),
        real=True,
    ),
    Fault(
        "one pixel off inside the pose model (below its own error on rendered people)",
        SEEN,
        "keypoints",
        wrong("tasks.body.yolo:YoloPose.detect", after(_moved_people)),
        real=True,
        missed=True,
    ),
    Fault(
        "photos squashed to squares",
        WEB,
        "download",
        wrong("tasks.download.prepare:_bmp", before(lambda pixels, module: (_squashed(pixels, 640), module))),
        real=True,
    ),
    Fault(
        "photos made small without antialiasing",
        WEB,
        "download",
        wrong("tasks.download.prepare:_bmp", _skipping),
        real=True,
    ),
    Fault(
        "photo one pixel off in its border",
        WEB,
        "download",
        wrong("tasks.download.prepare:content_box", after(lambda box: [v + 1 for v in box])),
        real=True,
    ),
    Fault("border forgotten", WEB, "people", wrong(_PEOPLE, before(_borderless)), real=True),
    Fault("people one pixel off", WEB, "people", wrong(_PEOPLE, after(_each(_with(keypoints_xy=_moved)))), real=True),
    Fault("person floor off", WEB, "people", wrong("tasks.body.people:_refusal", after(lambda _: None)), real=True),
    Fault("eyes swapped", WEB, "faces", wrong("tasks.face.faces:candidates_of", after(_eyes_swapped)), real=True),
    Fault(
        "red and blue swapped in aligned faces",
        WEB,
        "faces",
        wrong("tasks.face.faces:encode_jpeg", before(lambda rgb, quality: (swapped(rgb), quality))),
        real=True,
    ),
    Fault(
        "red and blue swapped before recognition",
        WEB,
        "recognise",
        wrong("tasks.face.recognise:decode_rgb", after(swapped)),
        real=True,
    ),
    Fault(
        "faces normalised wrongly",
        WEB,
        "recognise",
        wrong("tasks.face.recogniser_onnx:model_input", after(lambda planes: planes / np.float32(2) + np.float32(0.5))),
        real=True,
    ),
    Fault(
        "embeddings not of length one",
        WEB,
        "recognise",
        wrong("tasks.face.recognise:_table", after(_longer)),
        real=True,
    ),
    Fault("floors of the gate halved", WEB, "gate", wrong("tasks.face.gate:_output", before(_half)), real=True),
    Fault(
        "sign of likeness flipped",
        WEB,
        "neighbours",
        wrong("tasks.identity.neighbour_stage:nearest", after(_negative)),
        real=True,
    ),
    Fault(
        "identities slipped by a face",
        WEB,
        "identities",
        wrong("tasks.identity.identities:_kept", after(_rolled)),
        real=True,
    ),
    Fault("categories slipped by one", LOOKS, "labels", wrong("tasks.fashion.labels:CATEGORIES", _next_category)),
    Fault(
        "red and blue swapped before the embedder",
        LOOKS,
        "embed",
        wrong("tasks.fashion.embed:decode_rgb", after(swapped)),
    ),
    Fault(
        "photos made small without antialiasing",
        LOOKS,
        "embed",
        wrong("tasks.fashion.embed:picture_for", lambda _: _nearest_pixels),
    ),
    Fault("crop one pixel off", LOOKS, "embed", wrong("tasks.fashion.embed:picture_for", after(_off_by_one))),
    Fault(
        "mean and deviation forgotten",
        LOOKS,
        "embed",
        wrong("tasks.fashion.embedder:_of_pixels", before(_unnormalised), loads=True),
    ),
    Fault(
        "predictions slipped by a class", LOOKS, "predict", wrong("tasks.fashion.predict:CATEGORIES", _next_category)
    ),
    Fault(
        "runway less street turned around", LOOKS, "trends", wrong("tasks.fashion.trends:trend_rows", after(_negated))
    ),
    Fault("side columns slipped by a row", LOOKS, "labels", wrong("tasks.shards.derive:_input_batches", _slipped)),
)
