"""Controls of WebBody: planted photos, rendered people, drawn faces and known identities through a build's stages."""

from collections.abc import Callable
from time import perf_counter
from typing import Final

from tasks.body.people import FindPeople
from tasks.controls.finding import ControlReport, Finding
from tasks.controls.passage import ALL, Passage, stage_as
from tasks.controls.planted import planted
from tasks.controls.web_faces import PlantedFaces, face_findings, recognise_findings
from tasks.controls.web_identities import (
    PlantedIdentities,
    clean_findings,
    identity_findings,
    member_findings,
    neighbour_findings,
)
from tasks.controls.web_people import PlantedPeople, people_findings
from tasks.controls.web_photos import PlantedUrls, download_findings, local_urls
from tasks.face.faces import FindFaces
from tasks.face.gate import Gate
from tasks.face.recognise import Recognise
from tasks.identity.clean import Clean
from tasks.machine.places import Machine
from tasks.schema.webbody import PERSON_SCHEMA, WEB_PHOTO_SCHEMA, embedding_schema
from tasks.shards.derive import Derivation
from tasks.webbody.config import STEPS
from tasks.webbody.derivations import AttemptChain, chains, download_stage
from tasks.webbody.joined import Build, Joined, Previous

REVISION: Final = 1


def check_webbody(build: Build, machine: Machine, mark: str) -> ControlReport:
    """Send controls through the stages of a build as far as it went, and compare what comes back.

    Each part has samples of its own: photos that a server on this machine gives, rendered people, drawn faces, and
    embeddings of known identities.

    Args:
        build: whose parameters and models hold.
        machine: its store receives the shards of the controls, which no build names.
        mark: names the build: another mark sends all controls through anew.
    Raises:
        StoreError: the store cannot be written.
    """
    began = perf_counter()
    alone = build.model_copy(update={"read": build.read[:1], "previous": Previous()})
    passage = Passage(machine.store)
    steps = chains(build.read[0], build.config, machine)[0]
    parts: tuple[tuple[str, Callable[[], None]], ...] = (
        ("download", lambda: _downloads(alone, steps, machine, mark, passage)),
        ("people", lambda: _people(steps, mark, passage)),
        ("faces", lambda: _faces(alone, steps, mark, passage)),
        ("gate", lambda: _identities(alone, steps, machine, mark, passage)),
    )
    for step, send in parts:
        if _reaches(build, step):
            send()
    return ControlReport(findings=tuple(passage.findings), samples=passage.samples, seconds=perf_counter() - began)


def _reaches(build: Build, step: str) -> bool:
    return step in STEPS[: STEPS.index(build.config.until) + 1]


def _downloads(build: Build, steps: AttemptChain, machine: Machine, mark: str, passage: Passage) -> None:
    stage = download_stage(build.config, machine)
    known = PlantedUrls(stage)
    with local_urls(known, stage, machine.store, mark) as (urls, downloads):
        passage.through(urls, ALL, known.ids)
        came = passage.through(downloads, known.rejected, known.ids - known.rejected.keys())
    if came:
        passage.add(*download_findings(came, known))
    held = passage.through(Derivation(steps.photos.stage, (downloads,)), ALL, {*came.kept} if came else None)
    if held and came:
        as_they_came = {name: row == came.kept[name] for name, row in held.kept.items()}
        passage.add(Finding.none_wrong(steps.photos.stage.name, "photos as they came", as_they_came))


def _people(steps: AttemptChain, mark: str, passage: Passage) -> None:
    known = PlantedPeople()
    photos = planted("people", REVISION, mark, WEB_PHOTO_SCHEMA, known.rows)
    passage.through(photos, ALL, {*known.photos})
    came = passage.through(Derivation(steps.people.stage, (photos,)))
    if came:
        passage.add(*people_findings(came, known, stage_as(steps.people, FindPeople)))


def _faces(build: Build, steps: AttemptChain, mark: str, passage: Passage) -> None:
    known = PlantedFaces()
    photos = planted("faces", REVISION, mark, WEB_PHOTO_SCHEMA, known.photo_rows)
    people = planted("people with faces", REVISION, mark, PERSON_SCHEMA, known.person_rows)
    passage.through(photos, ALL, {*known.photos})
    passage.through(people, ALL, {*known.people})
    faces = Derivation(steps.faces.stage, (people,), (photos,))
    came = passage.through(faces)
    if came:
        passage.add(*face_findings(came, known, stage_as(faces, FindFaces)))
    if came and _reaches(build, "recognise"):
        recognise = stage_as(steps.recognised, Recognise)
        seen = passage.through(Derivation(recognise, (faces,)), ALL, {*came.kept})
        if seen:
            passage.add(*recognise_findings(seen, came, recognise))


def _identities(build: Build, steps: AttemptChain, machine: Machine, mark: str, passage: Passage) -> None:
    joined = Joined(build, machine)
    gate, clean = stage_as(steps.gated, Gate), stage_as(joined.clean, Clean)
    width = gate.schema.field("embedding").type.list_size
    known = PlantedIdentities(width, gate.floors, clean.config)
    sizes = {"width": width, "faces": known.per_person}
    embedded = planted("identities", REVISION, mark, embedding_schema(width), known.embedding_rows, **sizes)
    people = planted("people of identities", REVISION, mark, PERSON_SCHEMA, known.person_rows, **sizes)
    passage.through(embedded, ALL, known.ids)
    passage.through(people, ALL)
    gated = Derivation(gate, (embedded,))
    passage.through(gated, known.gated_out, known.ids - known.gated_out.keys())
    if not _reaches(build, "identities"):
        return
    neighbours = Derivation(joined.neighbours.stage, (gated,))
    near = passage.through(neighbours, ALL, known.ids - known.gated_out.keys())
    if near:
        passage.add(*neighbour_findings(near, known))
    identities = Derivation(joined.identities.stage, (gated,), whole=(neighbours,))
    linked = passage.through(identities, known.alone, known.linked)
    if linked:
        passage.add(*identity_findings(linked, known))
    if not _reaches(build, "clean"):
        return
    cleaned = Derivation(clean, (identities,), whole=(gated, people))
    kept = passage.through(cleaned, known.repeats, known.linked - known.repeats.keys())
    if kept and linked:
        passage.add(*clean_findings(kept, linked, known))
    if not _reaches(build, "members"):
        return
    members = passage.through(Derivation(joined.members.stage, (cleaned,), whole=(people,)))
    if members and kept:
        passage.add(*member_findings(members, kept))
