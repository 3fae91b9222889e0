"""What is made from what.

looks -> inspect -> labels -> embed            one chain for each part of a source
labels of all parts -> groups
groups, embed of all parts -> classifier -> predict, a part at a time
groups, verdicts of people, predict of all parts -> trends
"""

from dataclasses import dataclass

from tasks.fashion.embed import Embed
from tasks.fashion.labels import Labels, LabelsConfig
from tasks.fashion.looks import Looks
from tasks.fashion.predict import PredictConfig, PredictLooks
from tasks.fashion.sources import LookSource
from tasks.images.inspect import Inspect, InspectConfig
from tasks.machine.places import Machine
from tasks.runway_street.config import RunwayStreetForm
from tasks.schema.forms import Form
from tasks.schema.sources import SourceListing, SourcePart
from tasks.shards.derive import Derivation, Made


class SourceRead(Form):
    """A source and what it offers."""

    source: LookSource
    listing: SourceListing


class PartRead(Form):
    """A part of a source, and which state of the source it is of."""

    source: LookSource
    part: SourcePart
    revision: str


@dataclass(frozen=True)
class PartChain:
    """The derivations of one part, by the names of their steps."""

    looks: Derivation
    inspect: Derivation
    labels: Derivation
    embed: Derivation

    def of(self, step: str) -> Derivation:
        """The derivation of a step."""
        found: Derivation = getattr(self, step)
        return found


def parts_of(read: SourceRead) -> tuple[PartRead, ...]:
    """The parts of a source, each by itself."""
    revision = read.listing.revision
    return tuple(PartRead(source=read.source, part=part, revision=revision) for part in read.listing.parts)


def chain(read: PartRead, config: RunwayStreetForm, machine: Machine) -> PartChain:
    """Everything that is made of one part alone."""
    listing = SourceListing(revision=read.revision, parts=(read.part,), columns=())
    looks = Derivation(Looks.of(read.source, listing, read.part, machine.hub))
    inspect = Derivation(Inspect(InspectConfig(min_side_px=config.min_side_px)), (looks,))
    labels = Derivation(Labels(LabelsConfig()), (inspect,), (looks,))
    embed = Derivation(Embed(config.embedding, machine.zoo), (labels,), (looks,))
    return PartChain(looks, inspect, labels, embed)


def prediction(part: PartChain, classifier: Derivation | Made) -> Derivation:
    """What the photos of a part are taken for."""
    return Derivation(PredictLooks(PredictConfig()), (part.embed,), whole=(classifier,))
