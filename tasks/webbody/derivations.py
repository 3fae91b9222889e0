"""What is made from what, one part of a list at a time: from its URLs to the faces that are good enough to be linked.

urls -> download -> consent                          one chain per part of a list and attempt
                      `-> people -> faces -> recognise -> gate
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.body.people import FindPeople, PeopleConfig
from tasks.download.consent import Consent
from tasks.download.consented import Consented
from tasks.download.fetching import Machine as DownloadMachine
from tasks.download.released import released
from tasks.download.retry import RetryPolicy, attempts
from tasks.download.stage import Download, DownloadConfig
from tasks.download.tracking import Tracking
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.face.faces import FacesConfig, FindFaces
from tasks.face.gate import Gate, GateConfig
from tasks.face.recognise import Recognise, RecogniseConfig
from tasks.face.remembered import remembered_faces, remembers_anybody
from tasks.ingest.url_lists import IngestUrls
from tasks.machine.places import Machine
from tasks.schema.forms import Form
from tasks.schema.url_sources import UrlListing, UrlPart, UrlSource
from tasks.shards.derive import Derivation, StageNotRunError, committed, realise
from tasks.webbody.config import WebBodyForm

HOUR_S = 3600.0
PAUSE_GROWTH = 4.0
"""Each pause between attempts is this many times the one before."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""At this time nothing is due that was not made already."""


class ListRead(Form):
    """A list of URLs and what it offers."""

    source: UrlSource
    listing: UrlListing


class PartRead(Form):
    """A part of a list, how many attempts at its URLs were made, and the keys of those at URLs that were released."""

    source: UrlSource
    part: UrlPart
    file: str
    attempts: int = 1
    released: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptChain:
    """The derivations of one attempt at one part of a list."""

    downloaded: Derivation
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
        ),
        access=NetworkAccess(
            allow_networks=machine.network.allow_networks, user_agent=f"MannequinBot/0.1 (+{contact})"
        ),
        machine=DownloadMachine(threads=rules.threads),
        tracking=Tracking() if rules.wandb else None,
        consent=consent(form),
    )


def consent(form: WebBodyForm) -> Consent:
    """Which opt-outs count."""
    return Consent.of(form.download.consent, respect=form.download.respect_opt_out)


@dataclass(frozen=True)
class Downloads:
    """All attempts at a part that were made or are due; `released`: at URLs that a stricter policy had refused."""

    attempts: tuple[Derivation, ...]
    released: tuple[Derivation, ...]

    @property
    def every(self) -> tuple[Derivation, ...]:
        return (*self.attempts, *self.released)


def downloads(read: PartRead, form: WebBodyForm, machine: Machine, now: datetime) -> Downloads:
    """All attempts at a part that were made or are due."""
    stage, policy = download_stage(form, machine), retry_policy(form)
    made = attempts(machine.store, urls(read), stage, now, policy)
    return Downloads(made, released(machine.store, made, stage, now, policy))


def read_as(part: PartRead, made: Downloads, machine: Machine) -> PartRead:
    """A part with the attempts at it, all of them made."""
    keys = (committed(each, machine.store) for each in made.released)
    released = tuple(record.key for record in keys if record is not None)
    return part.model_copy(update={"attempts": len(made.attempts), "released": released})


def consented(download: Derivation, form: WebBodyForm) -> Derivation:
    """What the policy of today keeps of a download."""
    return Derivation(Consented.of(consent(form)), (download,))


def fetched(part: PartRead, form: WebBodyForm, machine: Machine) -> tuple[PartRead, bool]:
    """A part with all attempts made that are due now, and whether all of them were found.

    Raises:
        StageNotRunError: something is due, and downloads were not asked for.
    """
    asked, found = "download" in form.steps, True
    while True:
        planned = downloads(part, form, machine, datetime.now(UTC) if asked else LONG_AGO)
        due = [each for each in planned.every if committed(each, machine.store) is None]
        if due and not asked:
            raise StageNotRunError("download")
        for each in due:
            found = realise(each, machine.store).cached and found
        if not due:
            kept = [realise(consented(each, form), machine.store) for each in planned.every] if asked else []
            return read_as(part, planned, machine), found and all(outcome.cached for outcome in kept)


def chains(read: PartRead, form: WebBodyForm, machine: Machine) -> tuple[AttemptChain, ...]:
    """The chains of the attempts at a part that were made when it was read."""
    made = downloads(read, form, machine, LONG_AGO)
    known = {record.key: each for each in made.released if (record := committed(each, machine.store)) is not None}
    again = (known[key] for key in read.released if key in known)
    return tuple(_chain(each, form, machine) for each in (*made.attempts[: read.attempts], *again))


def _chain(downloaded: Derivation, form: WebBodyForm, machine: Machine) -> AttemptChain:
    photos = consented(downloaded, form)
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
    recognise = Recognise(
        RecogniseConfig(model=form.recognition.model, remote_code=form.recognition.allow_remote_code), machine.zoo
    )
    recognised = Derivation(recognise, (faces,))
    known_again = (
        remembered_faces(machine.store, recognise.recogniser.sha256) if remembers_anybody(machine.store) else None
    )
    gated = Derivation(Gate(GateConfig(model=form.recognition.model), known_again), (recognised,))
    return AttemptChain(downloaded, photos, people, faces, recognised, gated)
