"""Templates whose poses are like that of a template, or of the person on a photo."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.body.keypoints import Found, NotFound, found_by_model, found_in_drawing
from tasks.body.pose_model import open_pose_model
from tasks.catalog.read import StoredTemplate, load_templates
from tasks.catalog.similar import Similar, similar_to_template, similar_to_vector
from tasks.exports.previews import PUBLIC
from tasks.images.decode import DecodeError, decode_rgb
from tasks.models.zoo import Zoo
from tasks.poses.config import KeypointRules
from tasks.poses.similar import pose_vector
from tasks.schema.errors import SourceError
from tasks.schema.keypoints import Keypoints

_TEMPLATE_ID: Final = re.compile(r"pt_[0-9a-f]{24}")
"""As `tasks.schema.ids.template_id` makes them."""


@dataclass(frozen=True)
class SimilarPose:
    """A template as the database holds it, and the cosine of its pose to the one asked for, -1 to 1."""

    similarity: float
    template: StoredTemplate


def similar_to_id(database: str, template: str, k: int = 10) -> tuple[SimilarPose, ...]:
    """The `k` active templates most like a template, which is not among them; best first.

    Raises:
        DatabaseError: the database is out of reach, or has no vectors, or none of `template`.
    """
    return _loaded(database, similar_to_template(database, template, k))


def similar_to_pose(database: str, person: Keypoints, k: int = 10) -> tuple[SimilarPose, ...]:
    """The `k` active templates most like a person, `OPENPOSE_18`; best first.

    Raises:
        SourceError: the joints give no direction to compare.
        DatabaseError: the database is out of reach, or has no vectors.
    """
    vector = pose_vector(person.xy[0], person.confidence[0])
    if not vector.any():
        raise SourceError("The joints that were found belong to no common limb: take a photo that shows more of it.")
    return _loaded(database, similar_to_vector(database, vector, k))


def pose_on_photo(data: bytes, zoo: Zoo, pose_model: str | None = None) -> Found:
    """The main person of a picture: as its OpenPose drawing says if it is one, else as a model sees it.

    Args:
        data: an encoded photo or drawing.
        pose_model: name of a model card, whose thresholds hold; None: that of `KeypointRules`; empty: drawings only.
    Returns:
        Joints in pixels of the upright picture.
    Raises:
        SourceError: the picture does not decode, or shows nobody, or too little of somebody.
        ModelError: no pose model has that name, or its weights cannot be had.
    """
    try:
        photo = decode_rgb(data)
    except DecodeError as error:
        raise SourceError(f"The picture cannot be used: {error.detail}.") from error
    height, width = photo.shape[:2]
    rules = KeypointRules() if pose_model is None else KeypointRules(pose_model=pose_model)
    found: Found | NotFound = found_in_drawing(data, width, height, rules.min_joints)
    if isinstance(found, NotFound) and rules.pose_model:
        model = open_pose_model(rules.pose_model, zoo)
        (people,) = model.detect([photo])
        floors = {f"{name}_floor": model.card.thresholds[name] for name in ("joint", "person")}
        found = found_by_model(people, photo.shape[:2], model.name, rules.min_joints, **floors)
    if isinstance(found, NotFound):
        raise SourceError(f"There is no pose on the picture: {found.detail}. Take one that shows more of a person.")
    return found


def photo_unless_id(what: str) -> bytes | None:
    """The bytes of the file that a person named; None: it is the id of a template.

    Raises:
        SourceError: it is neither.
    """
    if _TEMPLATE_ID.fullmatch(what):
        return None
    try:
        return Path(what).read_bytes()
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise SourceError(
            f"{what!r} is no id of a template (pt_ and 24 hex digits), and no photo that can be read: {why}."
        ) from error


def as_rows(hits: Sequence[SimilarPose], root: Path) -> list[dict[str, str]]:
    """Hits for a person to read, best first; `preview` is a file below the root of a store, or else an address."""
    return [
        {
            "rank": str(rank),
            "similarity": f"{hit.similarity:.3f}",
            "template": hit.template.id,
            "category": hit.template.category,
            "difficulty": hit.template.difficulty,
            "tags": ", ".join(hit.template.tags),
            "preview": _preview(hit.template.preview_url, root),
        }
        for rank, hit in enumerate(hits, 1)
    ]


def _preview(url: str, root: Path) -> str:
    path = root / PUBLIC / url
    return str(path) if "://" not in url and path.is_file() else url


def _loaded(database: str, hits: Sequence[Similar]) -> tuple[SimilarPose, ...]:
    """With their rows; templates that went away between both queries are left out."""
    rows = load_templates(database, [hit.id for hit in hits])
    return tuple(SimilarPose(hit.similarity, rows[hit.id]) for hit in hits if hit.id in rows)
