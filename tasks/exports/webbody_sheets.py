"""Sample sheets: what a person looks at before the dataset is used."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.crop import INVISIBLE
from tasks.body.drawing import PALETTE
from tasks.exports.webbody_cut import CutConfig, cut_members
from tasks.exports.webbody_join import Plan, WebBodyShards, members_plan, open_shards
from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.sheet import contact_sheet
from tasks.schema.keypoints import COCO_17

Picture = NDArray[np.uint8]

_SHIFT: Final = 4
"""Coordinates reach OpenCV in 1/16 pixel."""
_PAPER: Final = 250
_BODY_PX, _FACE_PX = 176, 102


@dataclass(frozen=True, eq=False)
class FaceRow:
    """An identity on a sheet: its name, and faces (RGB uint8, (H, W, 3)) with a line under each."""

    name: str
    faces: Sequence[Picture]
    captions: Sequence[str]


def bodies_sheet(
    bodies: Sequence[Picture], keypoints: Sequence[NDArray[np.floating]], labels: Sequence[str]
) -> Picture:
    """Bodies of a bundle with their joints.

    Args:
        bodies: RGB uint8, (side, side, 3).
        keypoints: COCO-17 in pixels of each body, (17, 2); -1 where a joint is not seen.
    """
    drawn = [with_joints(body, xy) for body, xy in zip(bodies, keypoints, strict=True)]
    return contact_sheet(drawn, labels, columns=6, tile_px=_BODY_PX)


def with_joints(body: Picture, xy: NDArray[np.floating]) -> Picture:
    """A body with the limbs of COCO-17 between the joints that are seen, a new picture."""
    drawn = np.ascontiguousarray(body).copy()
    width = max(1, round(body.shape[0] / 128))
    seen = ~(np.asarray(xy) == INVISIBLE).all(axis=1)
    places = np.rint(np.asarray(xy, float) * 2**_SHIFT).astype(int)
    for limb, (start, end) in enumerate(COCO_17.limbs):
        if seen[start] and seen[end]:
            colour = PALETTE[limb % len(PALETTE)]
            cv2.line(drawn, places[start].tolist(), places[end].tolist(), colour, width, cv2.LINE_AA, _SHIFT)
    for joint in np.flatnonzero(seen).tolist():
        radius = (width + 1) * 2**_SHIFT
        cv2.circle(drawn, places[joint].tolist(), radius, PALETTE[joint], cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return drawn


def faces_sheet(faces: Sequence[Picture], labels: Sequence[str]) -> Picture:
    """Aligned faces."""
    return contact_sheet(faces, labels, columns=10, tile_px=_FACE_PX)


def identities_sheet(rows: Sequence[FaceRow], columns: int = 10) -> Picture:
    """One row of faces an identity, the name under the first."""
    blank = np.full((_FACE_PX, _FACE_PX, 3), _PAPER, np.uint8)
    tiles: list[Picture] = []
    labels: list[str] = []
    for row in rows:
        shown = list(zip(row.faces, row.captions, strict=True))[:columns]
        tiles += [face for face, _ in shown] + [blank] * (columns - len(shown))
        labels += [f"{row.name} {line}" if i == 0 else line for i, (_, line) in enumerate(shown)]
        labels += [""] * (columns - len(shown))
    return contact_sheet(tiles, labels, columns=columns, tile_px=_FACE_PX)


def sample_sheets(shards: WebBodyShards, config: CutConfig, samples: int = 24) -> Mapping[str, Picture]:
    """The sheets of a build by their titles; reads few row groups.

    Bodies and faces stand evenly over the build; doubtful are the identities whose faces are least like their centre.

    Args:
        samples: bodies, faces; a third as many identities.
    """
    members, faces, people, photos = open_shards(shards)
    plan = members_plan(members, faces, people, photos)
    spread = np.unique(np.linspace(0, max(0, len(plan) - 1), min(samples, len(plan))).astype(np.int64))
    largest, doubtful = _chosen(plan, max(1, samples // 3))
    wanted = np.unique(np.concatenate([spread, *largest, *doubtful]).astype(np.int64))
    with ThreadPoolExecutor(4) as pool:
        cut = cut_members(plan, wanted, faces, people, photos, config, pool).to_pylist()
    found = {number: row for number, row in zip(wanted.tolist(), cut, strict=True) if row["reason"] is None}
    shown = [found[i] for i in spread.tolist() if i in found]
    pictures = [_pixels(row["image"]["bytes"]) for row in shown]
    joints = [np.array(row["keypoints_xy"]).reshape(-1, 2) for row in shown]
    return {
        "Bodies with their joints": bodies_sheet(pictures, joints, [row["identity"] for row in shown]),
        "Their aligned faces, with scores": faces_sheet(
            [_pixels(row["face"]["bytes"]) for row in shown],
            [f"{row['face_score']:.2f}" for row in shown],
        ),
        "Largest identities, least alike faces first": identities_sheet([_row(plan, each, found) for each in largest]),
        "Doubtful identities: those whose faces are least alike": identities_sheet(
            [_row(plan, each, found) for each in doubtful]
        ),
    }


def _chosen(plan: Plan, count: int, faces: int = 10) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Members of the largest identities, and of those with the lowest mean similarity, least similar first."""
    codes = plan.identity.codes
    images = np.bincount(codes, minlength=len(plan.identity.values))
    mean = np.bincount(codes, plan.similarity, len(images)) / np.maximum(images, 1)
    order = np.lexsort((plan.similarity, codes))
    starts = np.concatenate([[0], np.cumsum(images)]).astype(np.int64)
    names = np.array(plan.identity.values, dtype=np.str_)
    of_size, of_doubt = np.lexsort((names, -images)), np.lexsort((names, mean))
    return (
        [order[starts[code] : starts[code + 1]][:faces] for code in of_size[:count]],
        [order[starts[code] : starts[code + 1]][:faces] for code in of_doubt[:count]],
    )


def _row(plan: Plan, members: NDArray[np.int64], found: Mapping[int, Mapping[str, Any]]) -> FaceRow:
    images = int((plan.identity.codes == plan.identity.codes[members[0]]).sum())
    rows = [found[i] for i in members.tolist() if i in found]
    return FaceRow(
        f"{plan.identity.values[plan.identity.codes[members[0]]]} ({images})",
        [_pixels(row["face"]["bytes"]) for row in rows],
        [f"{row['similarity']:.2f}" for row in rows],
    )


def _pixels(data: bytes) -> Picture:
    """The picture; a grey square where a face does not decode."""
    try:
        return decode_rgb(data)
    except DecodeError:
        return np.full((64, 64, 3), 128, np.uint8)
