"""What is made from what: the stages between a URL list and the members of the finished dataset.

urls -> download                                     one chain per part of a list and attempt
          `-> people -> faces -> recognise -> gate
neighbours, identities                               all attempts of all parts
`-> clean -> members
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from tasks.body.people import FindPeople, PeopleConfig
from tasks.download.fetching import Machine as DownloadMachine
from tasks.download.retry import RetryPolicy, attempts
from tasks.download.reuse import DIRECTIVES, ReusePolicy
from tasks.download.stage import Download, DownloadConfig
from tasks.download.tracking import Tracking
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.face.faces import FacesConfig, FindFaces
from tasks.face.gate import Gate, GateConfig
from tasks.face.recognise import Recognise, RecogniseConfig
from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.identity.clean import Clean, Validation, ValidationConfig
from tasks.identity.clean_work import CleanConfig
from tasks.identity.identities import Identities, IdentitiesConfig
from tasks.identity.link_average import AverageLinkage
from tasks.identity.link_labels import PerLabel
from tasks.identity.members import Members, MembersConfig
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.identity.review_ledger import Verdicts, read_verdicts
from tasks.identity.split import SplitConfig
from tasks.identity.subsets import SubsetConfig
from tasks.ingest.url_lists import IngestUrls
from tasks.machine.places import Machine
from tasks.schema.errors import StoreError
from tasks.schema.forms import Form
from tasks.schema.records import InputRef
from tasks.schema.url_sources import UrlListing, UrlPart, UrlSource
from tasks.shards.derive import Derivation, Made, committed
from tasks.shards.manifest import Manifest, read_manifest
from tasks.webbody.config import WebBodyForm

FLOW = "webbody"

HOUR_S = 3600.0
PAUSE_GROWTH = 4.0
"""Each pause between attempts is this many times the one before."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class ListRead(Form):
    """A list of URLs and what it offers."""

    source: UrlSource
    listing: UrlListing


class PartRead(Form):
    """A part of a list, and how many attempts at its URLs were made."""

    source: UrlSource
    part: UrlPart
    file: str
    attempts: int = 1


@dataclass(frozen=True)
class AttemptChain:
    """The derivations of one attempt at one part of a list."""

    photos: Derivation
    people: Derivation
    faces: Derivation
    recognised: Derivation
    gated: Derivation

    def of(self, step: str) -> Derivation:
        """The derivation of a step."""
        found: Derivation = {
            "download": self.photos,
            "people": self.people,
            "faces": self.faces,
            "recognise": self.recognised,
            "gate": self.gated,
        }[step]
        return found


def parts_of(read: ListRead) -> tuple[PartRead, ...]:
    """The parts of a list, each by itself."""
    return tuple(
        PartRead(source=read.source, part=part, file=read.listing.files[part.uri]) for part in read.listing.parts
    )


def urls(read: PartRead) -> Derivation:
    """The URLs of a part."""
    listing = UrlListing(
        revision="", parts=(read.part,), files={read.part.uri: read.file}, rows=read.part.rows, malformed=0, repeated=0
    )
    return Derivation(IngestUrls.of(read.source, listing, read.part))


def retry_policy(form: WebBodyForm) -> RetryPolicy:
    """When failed URLs are due again."""
    first = form.download.first_pause_h * HOUR_S
    return RetryPolicy(pauses_s=tuple(first * PAUSE_GROWTH**n for n in range(form.download.max_tries - 1)))


def download_stage(form: WebBodyForm, machine: Machine) -> Download:
    """How URLs are fetched; its attempt is 0."""
    rules = form.download
    contact = machine.network.contact or "dataset builder"
    return Download(
        DownloadConfig(
            image_px=rules.image_px,
            jpeg_quality=rules.jpeg_quality,
            limits=TransportLimits(max_body_bytes=rules.max_megabytes << 20, total_timeout_s=rules.timeout_s),
            reuse=ReusePolicy(
                directives=DIRECTIVES if rules.respect_opt_out else (), tdm_reservation=rules.respect_opt_out
            ),
        ),
        access=NetworkAccess(
            allow_networks=machine.network.allow_networks, user_agent=f"MannequinBot/0.1 (+{contact})"
        ),
        machine=DownloadMachine(threads=rules.threads),
        tracking=Tracking() if rules.wandb else None,
    )


def downloads(read: PartRead, form: WebBodyForm, machine: Machine, now: datetime) -> tuple[Derivation, ...]:
    """All attempts at a part that were made or are due."""
    return attempts(machine.store, urls(read), download_stage(form, machine), now, retry_policy(form))


def chains(read: PartRead, form: WebBodyForm, machine: Machine) -> tuple[AttemptChain, ...]:
    """The chains of the attempts at a part that were made when it was read."""
    made = downloads(read, form, machine, LONG_AGO)[: read.attempts]
    return tuple(_chain(photos, form, machine) for photos in made)


def _chain(photos: Derivation, form: WebBodyForm, machine: Machine) -> AttemptChain:
    people = Derivation(
        FindPeople.of(
            PeopleConfig(
                pose_model=form.bodies.model,
                person_floor=form.bodies.person_floor,
                max_people=form.bodies.max_people,
                pad=form.bodies.padding,
            ),
            machine.zoo,
        ),
        (photos,),
    )
    faces = Derivation(
        FindFaces(
            FacesConfig(
                detector=form.faces.model,
                score_floor=form.faces.score_floor or None,
                min_side_px=form.faces.min_side_px,
            ),
            machine.zoo,
        ),
        (people,),
        (photos,),
    )
    recognised = Derivation(
        Recognise(
            RecogniseConfig(model=form.recognition.model, remote_code=form.recognition.allow_remote_code), machine.zoo
        ),
        (faces,),
    )
    gated = Derivation(Gate(GateConfig(model=form.recognition.model)), (recognised,))
    return AttemptChain(photos, people, faces, recognised, gated)


def all_chains(read: Sequence[PartRead], form: WebBodyForm, machine: Machine) -> tuple[AttemptChain, ...]:
    """The chains of all parts, in the order of the lists."""
    return tuple(chain for part in read for chain in chains(part, form, machine))


class Previous(Form):
    """Outputs of the build before that this one goes on from; empty where there was none.

    `gated`: the faces that it linked, in its order.
    """

    gated: tuple[InputRef, ...] = ()
    neighbours: tuple[InputRef, ...] = ()
    identities: tuple[InputRef, ...] = ()
    members: tuple[InputRef, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        return cls(**{name: manifest.outputs.get(name, ()) for name in cls.model_fields})


class Build(Form):
    """What was made of what: enough to find every shard of it again.

    `previous` is what this build goes on from; `manifest` the digest of its manifest, under the name `flow`.
    """

    config: WebBodyForm
    read: tuple[PartRead, ...]
    previous: Previous = Previous()
    flow: str = FLOW
    manifest: str = ""


def open_previous(gated: Sequence[InputRef], machine: Machine) -> Previous:
    """What a build over these faces goes on from: the build before, or what that one went on from if it had the same.

    So a run that finds nothing new finds its identities too. Outputs that the store lost are not gone on from.
    """
    try:
        latest = read_manifest(machine.store, FLOW)
    except StoreError:
        return Previous()
    before = Previous.of(latest)
    if set(before.gated) == set(gated):
        before = Previous.model_validate(latest.params["previous"])
    there = {
        name: tuple(ref for ref in getattr(before, name) if machine.store.find(ref.stage, ref.key) is not None)
        for name in ("neighbours", "identities", "members")
    }
    return before.model_copy(update=there)


def _faces_in_order(build: Build, machine: Machine) -> tuple[tuple[Derivation, ...], bool]:
    """The gated faces of a build, those of the build before first, and whether all of those are still there."""
    every = [chain.gated for chain in all_chains(build.read, build.config, machine)]
    known = {record.ref: each for each in every if (record := committed(each, machine.store)) is not None}
    before = build.previous.gated
    if not before or not build.previous.neighbours or not set(before) <= known.keys():
        return tuple(every), False
    first = [known[ref] for ref in before]
    return (*first, *(each for each in every if each not in first)), True


def neighbours(build: Build, machine: Machine) -> Derivation:
    """The nearest neighbours of every face; those of the build before are extended."""
    faces, extends = _faces_in_order(build, machine)
    known = tuple(Made(ref) for ref in build.previous.neighbours) if extends else ()
    return Derivation(FindNeighbours(NeighboursConfig(extends=extends)), faces, whole=known)


def linked(build: Build, machine: Machine) -> Derivation:
    """Whose every face is."""
    faces, _ = _faces_in_order(build, machine)
    known = tuple(Made(ref) for ref in build.previous.identities)
    model = _recogniser(build.config, machine)
    rules = build.config.identities
    config = IdentitiesConfig(
        model=model.sha256,
        default_cosine=model.card.thresholds["match"],
        false_match_rate=rules.false_match_rate or None,
        linker=PerLabel() if rules.linkage == "per_label" else AverageLinkage(),
        continues=bool(known),
    )
    return Derivation(Identities(config), faces, whole=(neighbours(build, machine), *known))


def cleaned(build: Build, machine: Machine) -> Derivation:
    """The identities that are one person each."""
    every = all_chains(build.read, build.config, machine)
    rules = build.config.cleaning
    reference = CleanConfig.reference() if rules.reference_thresholds else CleanConfig()
    config = reference.model_copy(update={"face_score_floor": rules.face_floor, "min_images": rules.min_images})
    whole: list[Derivation | Made] = [chain.gated for chain in every]
    whole += [chain.people for chain in every]
    verdicts = read_verdicts(machine.store)
    if verdicts:
        whole.append(Derivation(Verdicts.of(verdicts)))
    if rules.validation:
        whole.append(_validation(rules.validation, build.config, machine))
    return Derivation(Clean(config), (linked(build, machine),), whole=tuple(whole))


def _validation(digest: str, form: WebBodyForm, machine: Machine) -> Derivation:
    outputs = read_manifest(machine.store, FLOW, digest).outputs
    return Derivation(
        Validation(ValidationConfig(), _recogniser(form, machine).spec.width),
        tuple(Made(ref) for ref in outputs["clean"]),
        whole=tuple(Made(ref) for ref in outputs["gated"]),
    )


def members(build: Build, machine: Machine) -> Derivation:
    """The members of the finished dataset, with splits and subsets."""
    people = [chain.people for chain in all_chains(build.read, build.config, machine)]
    splits, subsets = build.config.splits, build.config.subsets
    config = MembersConfig(
        split=SplitConfig(test=splits.test, validation=splits.validation),
        subsets=SubsetConfig(
            testing_identities=subsets.testing_identities,
            covered_images=(subsets.testing_min_hidden, subsets.testing_max_hidden),
            testing_images=(subsets.testing_min_images, subsets.testing_max_images),
            pool_share=subsets.pool_share,
            wb12m_share=subsets.wb12m_share,
            wb4m_share=subsets.wb4m_share,
        ),
        min_images=build.config.cleaning.min_images,
    )
    former = tuple(Made(ref) for ref in build.previous.members)
    return Derivation(Members(config), (cleaned(build, machine),), whole=(*people, *former))


def _recogniser(form: WebBodyForm, machine: Machine) -> Recogniser:
    rules = form.recognition
    return open_recogniser(rules.model, machine.zoo, remote_code=rules.allow_remote_code)
