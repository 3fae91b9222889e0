"""Rendered mannequins with known joints: photos and OpenPose drawings that need no network."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.body.drawing import draw_openpose
from tasks.ingest.mannequin_poses import POSES, Body, Vector, add, apply, mix, pose_body, rotation
from tasks.ingest.mannequin_shading import Capsule, Colour, Scene, backdrop, cast_shadow, shade
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tasks.schema.records import Frozen
from tasks.schema.sources import Category, PhotoSource, SourceListing, SourcePart
from tasks.schema.templates import PHOTO_SCHEMA
from tasks.shards.stage import Stage, StageOutput

LICENCE: Final = "CC0-1.0 (rendered)"

SECOND_SHARE: Final = 0.2
CLOSE_UP_SHARE: Final = 0.1
"""Shares of pictures with a second mannequin behind, and with a part of the body outside of the picture."""

_WOODS: Final[tuple[Colour, ...]] = ((232, 188, 136), (214, 160, 106), (244, 208, 162), (184, 126, 82), (226, 176, 140))
_ROOMS: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((222, 226, 232), (196, 194, 190)), ((196, 210, 214), (172, 168, 160)), ((232, 222, 208), (190, 172, 152)),
    ((152, 172, 186), (146, 142, 138)), ((214, 220, 206), (168, 172, 158)), ((108, 118, 136), (132, 128, 124)),
)  # fmt: skip

_RODS: Final = (
    ("chest", "left_shoulder", "ribs", 0.044, 0.062), ("chest", "right_shoulder", "ribs", 0.044, 0.062),
    ("chest", "left_shoulder", "right_shoulder", 0.042, 0.042), ("chest", "ribs", "neck", 0.07, 0.05),
    ("belly", "waist", "pelvis", 0.056, 0.062),
    ("pelvis", "left_hip", "right_hip", 0.058, 0.058), ("throat", "neck", "head", 0.03, 0.028),
    ("head", "crown", "chin", 0.058, 0.044), ("head", "nose", "nose", 0.009, 0.009),
    *((f"{side}_{part}", f"{side}_{a}", f"{side}_{b}", r, s)
      for side in ("left", "right")
      for part, a, b, r, s in (
          ("shoulder", "shoulder", "shoulder", 0.042, 0.042), ("upper_arm", "shoulder", "elbow", 0.034, 0.025),
          ("elbow", "elbow", "elbow", 0.028, 0.028), ("forearm", "elbow", "wrist", 0.026, 0.018),
          ("hand", "wrist", "hand", 0.02, 0.022), ("thigh", "hip", "knee", 0.056, 0.036),
          ("knee", "knee", "knee", 0.039, 0.039), ("shank", "knee", "ankle", 0.037, 0.022),
          ("foot", "heel", "toe", 0.024, 0.018)))
)  # fmt: skip
"""Part, from joint, to joint, radius there and there in body heights. Our choice, after wooden artists' figures."""

_PARTS: Final = (*dict.fromkeys(part for part, *_ in _RODS), "seat")

_MEETING: Final = {
    "neck": ("chest", "throat"),
    **{f"{side}_{joint}": tuple(f"{side}_{p}" for p in parts) + trunk
       for side in ("left", "right")
       for joint, parts, trunk in (
           ("shoulder", ("shoulder", "upper_arm"), ("chest",)), ("elbow", ("upper_arm", "elbow", "forearm"), ()),
           ("wrist", ("forearm", "hand"), ()), ("hip", ("thigh",), ("pelvis",)),
           ("knee", ("thigh", "knee", "shank"), ()), ("ankle", ("shank", "foot"), ()))},
}  # fmt: skip
"""The parts that meet in a joint; a joint of the face is a point of the head's surface."""

_JOINT_RADIUS: Final = 0.03
_SURFACE: Final = 0.03
"""Body heights: where we look for a body joint's parts, and how deep below a surface a face joint still shows."""


@dataclass(frozen=True, eq=False)
class Mannequin:
    """One rendered picture.

    A joint is missing where it lies outside of the picture or is hidden. A body joint is hidden if of the parts that
    meet in it no pixel shows within 3 % of the body height around it; a joint of the face if it lies more than that
    behind the nearest surface.

    Args:
        photo: RGB uint8, (S, S, 3).
        drawing: OpenPose drawing of `keypoints`, RGB uint8, (S, S, 3).
        keypoints: `OPENPOSE_18` of all mannequins, confidence 1.
        main: the index of the one that the caption speaks of.
        pose: its name in `POSES`.
        caption: one sentence part, "a mannequin squatting with raised arms".
    """

    photo: NDArray[np.uint8]
    drawing: NDArray[np.uint8]
    keypoints: Keypoints
    main: int
    pose: str
    caption: str


@dataclass(frozen=True)
class _Camera:
    """Looks at the origin's surroundings from (0, height, distance), tilted down; focal length and centre in pixels."""

    height: float
    distance: float
    tilt: float
    focal: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)

    def see(self, point: Vector) -> Vector:
        """Pixels x, y, rounded to 1/64 so that no machine's sine decides a pixel, and the depth in body heights."""
        sin, cos = math.sin(self.tilt), math.cos(self.tilt)
        up, away = point[1] - self.height, self.distance - point[2]
        depth = max(away * cos - up * sin, 0.2)
        x = self.centre[0] + self.focal * point[0] / depth
        y = self.centre[1] - self.focal * (up * cos + away * sin) / depth
        return (round(x * 64) / 64, round(y * 64) / 64, round(depth * 4096) / 4096)

    def unscaled(self, point: Vector) -> tuple[float, float]:
        sin, cos = math.sin(self.tilt), math.cos(self.tilt)
        up, away = point[1] - self.height, self.distance - point[2]
        depth = max(away * cos - up * sin, 0.2)
        return (point[0] / depth, -(up * cos + away * sin) / depth)


def render_mannequin(seed: int, index: int, size: int = 512) -> Mannequin:
    """Picture `index` of the endless series `seed`: the same on every machine. Poses take turns over the indices.

    Args:
        size: width and height, pixels.
    """
    rng = np.random.default_rng([seed, index])
    pose = POSES[index % len(POSES)]
    bodies = [_turned(pose_body(rng, pose), _yaw(rng), (0.0, 0.0, 0.0))]
    if rng.random() < SECOND_SHARE:
        aside = math.copysign(0.42 + 0.3 * float(rng.random()), float(rng.random()) - 0.5)
        place = (aside, 0.0, -0.5 - 0.8 * float(rng.random()))
        standing = [p for p in POSES if p.arms and not p.pitch and not p.lift]
        bodies.append(_turned(pose_body(rng, standing[int(rng.random() * len(standing))]), _yaw(rng), place))
    camera = _frame(rng, bodies, size, close_up=bool(rng.random() < CLOSE_UP_SHARE))
    wall, floor = _ROOMS[int(rng.random() * len(_ROOMS))]
    picture = backdrop(size, camera.see((0.0, 0.0, -1.9))[1], wall, floor)
    cast_shadow(picture, [segment for body in bodies for segment in _shadow(body, camera)])
    first_wood = int(rng.random() * len(_WOODS))
    capsules = [c for k, body in enumerate(bodies) for c in _capsules(body, camera, k, (first_wood + k) % len(_WOODS))]
    scene = shade(picture, capsules)
    keypoints = _keypoints(bodies, camera, scene)
    caption = f"a mannequin {bodies[0].words}" + (", another one behind" if len(bodies) > 1 else "")
    return Mannequin(
        photo=(np.clip(scene.rgb, 0, 255) + np.float32(0.5)).astype(np.uint8),
        drawing=draw_openpose(keypoints, size, size, stick_width=4 * size / 512),
        keypoints=keypoints,
        main=0,
        pose=pose.name,
        caption=caption,
    )


def _yaw(rng: np.random.Generator) -> float:
    """Degrees; three of four look more or less at the camera."""
    reach = 55 if rng.random() < 0.75 else 180
    return reach * (2 * float(rng.random()) - 1)


def _turned(body: Body, yaw: float, place: Vector) -> Body:
    turn = rotation("y", yaw)
    middle = mix(body.joints["pelvis"], body.joints["neck"], 0.5)
    centre = (-middle[0], 0.0, -middle[2])
    joints = {name: add(place, apply(turn, add(position, centre))) for name, position in body.joints.items()}
    joints["ribs"] = mix(joints["waist"], joints["neck"], 0.35)
    return replace(body, joints=joints)


def _frame(rng: np.random.Generator, bodies: list[Body], size: int, *, close_up: bool) -> _Camera:
    """Step back, then choose focal length and centre so that everybody fills the picture."""
    middle = bodies[0].joints["pelvis"][1] * 0.9
    distance = 2.4 + 1.4 * float(rng.random())
    height = middle + 0.15 + 0.55 * float(rng.random())
    tilt = math.atan2(height - middle, distance)
    camera = _Camera(height, distance, tilt)
    seen = np.array([camera.unscaled(p) for body in bodies for p in body.joints.values()])
    if close_up:
        seen = np.array([camera.unscaled(p) for p in bodies[0].joints.values()])
    low, high = seen.min(axis=0), seen.max(axis=0)
    fill = (0.74 + 0.14 * float(rng.random())) * size
    focal = fill / float(max(high[0] - low[0], high[1] - low[1], 0.16))
    centre = (low + high) / 2
    if close_up:
        focal *= 1.35 + 0.5 * float(rng.random())
        centre = centre + (high - low) * np.array([0.3 * float(rng.random()) - 0.15, -0.2 * float(rng.random())])
    nudge = [(float(rng.random()) - 0.5) * 0.06 * size for _ in range(2)]
    x, y = (size / 2 + nudge[k] - focal * float(centre[k]) for k in range(2))
    return replace(camera, focal=round(focal * 64) / 64, centre=(x, y))


def _capsules(body: Body, camera: _Camera, person: int, wood: int) -> Iterator[Capsule]:
    colour = _WOODS[wood]
    darker = (colour[0] * 0.8, colour[1] * 0.76, colour[2] * 0.74)
    for part, a, b, start_radius, end_radius in _RODS:
        start, end = camera.see(body.joints[a]), camera.see(body.joints[b])
        yield Capsule(
            start,
            end,
            start_radius * camera.focal / start[2],
            end_radius * camera.focal / end[2],
            (start_radius + end_radius) / 2,
            person * len(_PARTS) + _PARTS.index(part),
            darker if a == b or part in ("throat", "belly") else colour,
        )
    if body.seat_height:
        pelvis = body.joints["pelvis"]
        radius = min(0.15, body.seat_height / 2)
        top = camera.see((pelvis[0], body.seat_height - radius, pelvis[2]))
        foot = camera.see((pelvis[0], radius * 0.5, pelvis[2]))
        yield Capsule(
            top,
            foot,
            radius * camera.focal / top[2],
            radius * camera.focal / foot[2],
            radius,
            person * len(_PARTS) + _PARTS.index("seat"),
            (122, 140, 150),
            0.1,
        )


def _shadow(body: Body, camera: _Camera) -> list[tuple[tuple[float, float], tuple[float, float], float]]:
    def on_floor(point: Vector) -> Vector:
        return camera.see((point[0] + 0.3 * point[1], 0.0, point[2] - 0.22 * point[1]))

    segments = []
    for _, a, b, start_radius, end_radius in _RODS:
        start, end = on_floor(body.joints[a]), on_floor(body.joints[b])
        segments.append((start[:2], end[:2], (start_radius + end_radius) * camera.focal / start[2]))
    return segments


def _keypoints(bodies: list[Body], camera: _Camera, scene: Scene) -> Keypoints:
    xy = np.full((len(bodies), len(OPENPOSE_18), 2), np.nan, np.float32)
    confidence = np.zeros((len(bodies), len(OPENPOSE_18)), np.float32)
    for k, body in enumerate(bodies):
        for j, name in enumerate(OPENPOSE_18.joints):
            position = body.joints[name]
            if name == "neck":
                position = mix(body.joints["left_shoulder"], body.joints["right_shoulder"], 0.5)
            x, y, depth = camera.see(position)
            if _shows(scene, k, name, x, y, depth, _JOINT_RADIUS * camera.focal / depth):
                xy[k, j], confidence[k, j] = (x, y), 1
    return Keypoints(OPENPOSE_18, xy, confidence)


def _shows(scene: Scene, person: int, joint: str, x: float, y: float, depth: float, radius: float) -> bool:
    height, width = scene.depth.shape
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        return False
    if joint not in _MEETING:
        return bool(scene.depth[round(y), round(x)] > depth - _SURFACE)
    rows, columns = np.ogrid[
        max(int(y - radius), 0) : min(int(y + radius) + 2, height),
        max(int(x - radius), 0) : min(int(x + radius) + 2, width),
    ]
    near = (rows - y) ** 2 + (columns - x) ** 2 <= radius * radius
    owners = [person * len(_PARTS) + _PARTS.index(part) for part in _MEETING[joint]]
    return bool(np.isin(scene.parts[rows, columns][near], owners).any())


def list_mannequins(source: PhotoSource, rows: int, part_rows: int) -> SourceListing:
    """The first `rows` mannequins of a source's series, in parts of `part_rows`."""
    uri = f"mannequin://seed{source.seed}"
    parts = tuple(
        SourcePart(uri=uri, digest=uri, first_row=first, rows=min(part_rows, rows - first))
        for first in range(0, rows, part_rows)
    )
    return SourceListing(revision=uri, parts=parts, columns=("image", "conditioning", "caption", "pose"))


class MannequinConfig(Frozen):
    """Rows [first_row, first_row + rows) of the series `seed`, listed under `source` and `category`."""

    source: str
    category: Category
    seed: int
    first_row: int
    rows: int
    size: int = 512


@dataclass(frozen=True)
class MannequinPhotos(Stage):
    """Source of rendered photos (JPEG) with their OpenPose drawings (PNG)."""

    config: MannequinConfig
    name: ClassVar[str] = "ingest_mannequins"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 32

    @classmethod
    def of(cls, source: PhotoSource, part: SourcePart) -> Self:
        """The stage for one part of a listing."""
        return cls(
            MannequinConfig(
                source=source.name,
                category=source.category,
                seed=source.seed,
                first_row=part.first_row,
                rows=part.rows,
            )
        )

    @property
    def schema(self) -> pa.Schema:
        return PHOTO_SCHEMA

    def execution(self) -> dict[str, str]:
        return {"opencv": cv2.__version__}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        del batches
        end = self.config.first_row + self.config.rows
        for first in range(self.config.first_row, end, self.batch_rows):
            rows = [self._row(index) for index in range(first, min(first + self.batch_rows, end))]
            yield StageOutput(pa.RecordBatch.from_pylist(rows, schema=PHOTO_SCHEMA))

    def _row(self, index: int) -> dict[str, Any]:
        config = self.config
        mannequin = render_mannequin(config.seed, index, config.size)
        name = f"seed{config.seed}-{index:06d}"
        return {
            "sample_id": f"{config.source}/{name}",
            "source_uri": f"mannequin://seed{config.seed}/{index}",
            "licence": LICENCE,
            "source": config.source,
            "category": config.category,
            "image": {"bytes": _encode(".jpg", mannequin.photo, cv2.IMWRITE_JPEG_QUALITY, 95), "path": f"{name}.jpg"},
            "conditioning": {
                "bytes": _encode(".png", mannequin.drawing, cv2.IMWRITE_PNG_COMPRESSION, 6),
                "path": f"{name}_openpose.png",
            },
            "caption": mannequin.caption,
            "pose": mannequin.pose,
        }


def _encode(suffix: str, rgb: NDArray[np.uint8], option: int, value: int) -> bytes:
    encoded, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [option, value])
    if not encoded:
        raise ValueError(f"OpenCV could not encode {rgb.shape} as {suffix}")
    return bytes(data.tobytes())
