"""What the stages after the joints say: descriptions, previews, and which templates stay."""

import io
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.controls.finding import Finding
from tasks.controls.joints import Person
from tasks.controls.passage import Came, Row
from tasks.poses.select import ANY, Select
from tasks.schema.ids import template_id
from tasks.schema.rejections import Reason

COLOUR: Final = 12.0
"""Levels of 255 by which thumbnails may differ from the photo made small: 3 are measured, JPEG at the edges."""

ON_LIMBS: Final = 0.9
"""Share of joints that lie on something that is drawn."""


def described_findings(
    told: Came, inspected: Came, found: Came, captions: Mapping[str, str], genders: Mapping[str, str]
) -> list[Finding]:
    """Whether each template has its own photo's words, size, hash and joints, and turned photos equal descriptions."""
    stage = "describe"
    rows = told.kept
    of_inspect = ("width", "height", "sha256", "phash")
    of_joints = ("keypoints_xy", "keypoints_confidence", "people", "person_xyxy", "keypoints_from")
    words = ("pose_class", "difficulty", "difficulty_score", "tags")
    turned = {name: rows[f"{name}-turned"] for name in rows if f"{name}-turned" in rows}
    scores = {
        name: all(0 <= row[part] <= 1 for part in ("quality", "difficulty_score")) and row["tags"] != []
        for name, row in rows.items()
    }
    return [
        Finding.none_wrong(stage, "captions", {n: row["caption"] == captions[n] for n, row in rows.items()}),
        Finding.none_wrong(stage, "what inspection said", _as(rows, inspected.kept, of_inspect)),
        Finding.none_wrong(stage, "joints", _as(rows, found.kept, of_joints)),
        Finding.none_wrong(stage, "gender in the caption", {n: row["gender"] == genders[n] for n, row in rows.items()}),
        Finding.none_wrong(stage, "scores between 0 and 1", scores),
        Finding.none_wrong(
            stage,
            "photos turned by EXIF",
            {name: all(rows[name][word] == row[word] for word in words) for name, row in turned.items()},
            "Described as the upright ones.",
        ),
        Finding.at_most(
            stage,
            "quality of photos turned by EXIF",
            max((abs(rows[name]["quality"] - row["quality"]) for name, row in turned.items()), default=0.0),
            0.01,
        ),
    ]


def _as(rows: Mapping[str, Row], others: Mapping[str, Row], columns: tuple[str, ...]) -> dict[str, bool]:
    return {name: all(row[column] == others[name][column] for column in columns) for name, row in rows.items()}


def preview_findings(shown: Came, found: Came, uprights: Mapping[str, NDArray[np.uint8]]) -> list[Finding]:
    """Whether previews are of their own photo: colours, shape, and a skeleton where the joints are."""
    stage = "preview"
    off: list[float] = []
    shapes: dict[str, bool] = {}
    joints: list[bool] = []
    names = {}
    for name, row in shown.kept.items():
        upright = uprights[name]
        height, width = upright.shape[:2]
        small = _opened(row["thumbnail"])
        off.append(
            float(np.abs(cv2.resize(upright, small.shape[1::-1], interpolation=cv2.INTER_AREA) - 1.0 * small).mean())
        )
        skeleton, overlay = _opened(row["skeleton"]), _opened(row["overlay"])
        shapes[name] = all(
            abs(each.shape[1] / each.shape[0] - width / height) < 2 / min(each.shape[:2])
            for each in (small, skeleton, overlay)
        )
        drawn = skeleton.max(axis=2) > 0
        for x, y in Person.of_row(found.kept[name]).xy:
            if np.isfinite(x):
                column, row_ = (
                    round(v * n / m) for v, n, m in ((x, drawn.shape[1], width), (y, drawn.shape[0], height))
                )
                inside = 0 <= column < drawn.shape[1] and 0 <= row_ < drawn.shape[0]
                joints += [bool(drawn[row_, column])] if inside else []
        names[name] = row["skeleton"]["path"].startswith(template_id(name))
    return [
        Finding.none_wrong(stage, "names of previews", names),
        Finding.none_wrong(stage, "shapes of previews", shapes, "Width to height as in the photo."),
        Finding.at_most(
            stage, "colours of thumbnails", max(off, default=0.0), COLOUR, "levels", "Mean over the worst."
        ),
        Finding.at_least(stage, "joints on the skeleton", float(np.mean(joints)) if joints else 1.0, ON_LIMBS, "share"),
    ]


def _opened(image: Row) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB"), np.uint8)


def select_findings(chosen: Came, told: Came, stage: Select) -> list[Finding]:
    """Whether the first of equal templates stays, and as many as are wanted."""
    expected = _chosen(told, stage)
    right = {
        name: chosen.rejected.get(name, {}).get("reason") == (reason and reason.value)
        and (name in chosen.kept) == (reason is None)
        for name, reason in expected.items()
    }
    order = [name for name in told.kept if name in chosen.kept]
    same = {name: chosen.kept[name] == told.kept[name] for name in order}
    return [
        Finding.none_wrong(
            "select", "duplicates and quotas", right, "Planted repeats go with their reason, the rest stays."
        ),
        Finding.none_wrong("select", "rows as they were", same),
        Finding.none_wrong("select", "order", {"kept rows": order == [*chosen.kept]}),
    ]


def _chosen(told: Came, stage: Select) -> dict[str, Reason | None]:
    """Sample -> why it must go, None: it stays; counted bit by bit."""
    expected: dict[str, Reason | None] = {}
    kept: list[Row] = []
    for name, row in told.kept.items():
        reason = None
        limits = {quota: stage.config.quotas.get(quota) for quota in (row["category"], ANY)}
        counts = {quota: sum(quota in (each["category"], ANY) for each in kept) for quota in limits}
        distances = [(row["phash"] ^ each["phash"]).bit_count() for each in kept]
        if any(row["sha256"] == each["sha256"] for each in kept):
            reason = Reason.DUPLICATE_EXACT
        elif any(limit is not None and counts[quota] >= limit for quota, limit in limits.items()):
            reason = Reason.OVER_LIMIT
        elif any(bits <= stage.config.near_duplicate_distance for bits in distances):
            reason = Reason.DUPLICATE_NEAR
        expected[name] = reason
        if reason is None:
            kept.append(row)
    return expected
