"""What is made from what: the stages between a source and the finished templates.

ingest -> inspect -> keypoints -> describe -> preview      one chain per part of a source
`-> select            all parts of a source
`-> combine    all sources: the templates
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tasks.body.keypoints import FindKeypoints, KeypointsConfig
from tasks.images.inspect import Inspect, InspectConfig
from tasks.ingest.mannequins import MannequinPhotos
from tasks.ingest.photos import IngestPhotos
from tasks.machine.places import Machine
from tasks.poses.config import PoseTemplatesForm
from tasks.poses.describe import Describe, DescribeConfig
from tasks.poses.preview import Preview, PreviewConfig
from tasks.poses.select import Combine, CombineConfig, Select, SelectConfig
from tasks.schema.forms import Form
from tasks.schema.sources import PhotoSource, SourceKind, SourceListing, SourcePart
from tasks.shards.derive import Derivation

MEGA = 1_000_000


class SourceRead(Form):
    """A source and what was read of it: its listing, cut after the parts that were read, complete if none was left."""

    source: PhotoSource
    listing: SourceListing

    @property
    def parts(self) -> tuple[SourcePart, ...]:
        return self.listing.parts

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @classmethod
    def upto(cls, source: PhotoSource, listing: SourceListing, parts: int) -> Self:
        """The source read up to the first `parts` of its listing."""
        complete = listing.complete and parts == len(listing.parts)
        return cls(
            source=source, listing=listing.model_copy(update={"parts": listing.parts[:parts], "complete": complete})
        )


@dataclass(frozen=True)
class PartChain:
    """The derivations of one part of a source."""

    photos: Derivation
    inspected: Derivation
    keypoints: Derivation
    described: Derivation
    preview: Derivation


def part_chain(read: SourceRead, part: SourcePart, form: PoseTemplatesForm, machine: Machine) -> PartChain:
    """All stages of one part of a source, from its photos to its previews."""
    photos = _photos(read, part, machine)
    rendered = read.source.kind is SourceKind.MANNEQUINS
    inspected = Derivation(
        Inspect(
            InspectConfig(min_side_px=form.photos.min_side_px, max_pixels=form.photos.max_megapixels * MEGA),
        ),
        (photos,),
    )
    keypoints = Derivation(
        FindKeypoints(
            KeypointsConfig(
                pose_model="" if rendered else form.keypoints.pose_model,
                drawings="auto" if form.keypoints.use_drawings else "never",
                min_joints=form.keypoints.min_joints,
                joint_floor=form.keypoints.joint_floor or None,
                person_floor=form.keypoints.person_floor or None,
            ),
            machine.zoo,
        ),
        (inspected,),
        (photos,),
    )
    described = Derivation(Describe(DescribeConfig()), (keypoints,), (inspected, photos))
    preview = Derivation(Preview(PreviewConfig()), (described,), (photos,))
    return PartChain(photos, inspected, keypoints, described, preview)


def _photos(read: SourceRead, part: SourcePart, machine: Machine) -> Derivation:
    if read.source.kind is SourceKind.MANNEQUINS:
        return Derivation(MannequinPhotos.of(read.source, part))
    return Derivation(IngestPhotos.of(read.source, read.listing, part, machine.hub))


def selection(read: SourceRead, form: PoseTemplatesForm, machine: Machine) -> Derivation:
    """The templates of one source: no duplicates, no more than its quotas."""
    config = SelectConfig(
        quotas=form.quotas(read.source),
        near_duplicate_distance=form.photos.near_duplicate_distance if read.source.drops_near_duplicates else -1,
    )
    described = tuple(part_chain(read, part, form, machine).described for part in read.parts)
    return Derivation(Select(config), described)


def templates(read: Sequence[SourceRead], form: PoseTemplatesForm, machine: Machine) -> Derivation:
    """The finished templates of all sources."""
    return Derivation(Combine(CombineConfig()), tuple(selection(each, form, machine) for each in read))
