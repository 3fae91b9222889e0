"""Controls of runway to street: coloured boards, worn garments and planted embeddings through the stages of a build."""

from time import perf_counter
from typing import Final

from tasks.controls.finding import ControlReport
from tasks.controls.inspected import REJECTED, inspect_findings
from tasks.controls.looks import PlantedLooks, group_findings, label_findings
from tasks.controls.looks_embedded import embed_findings
from tasks.controls.looks_learned import PlantedEmbeddings, predict_findings, trend_findings
from tasks.controls.passage import ALL, Passage, stage_as
from tasks.controls.planted import planted
from tasks.fashion.audit_ledger import LookVerdicts
from tasks.fashion.embed import Embed
from tasks.fashion.trends import Trends
from tasks.machine.places import Machine
from tasks.runway_street.build import Build, Joined
from tasks.runway_street.derivations import chain
from tasks.schema.fashion import LABELLED_SCHEMA, LOOK_SCHEMA, embedded_schema
from tasks.shards.derive import Derivation

REVISION: Final = 1


def check_runway_street(build: Build, machine: Machine, mark: str) -> ControlReport:
    """Send planted looks through the stages of a build as far as it went, and compare what comes back.

    Args:
        build: whose parameters and models hold.
        machine: its store receives the shards of the controls, which no build names.
        mark: names the build: another mark sends all controls through anew.
    Raises:
        StoreError: the store cannot be written.
    """
    began = perf_counter()
    passage = Passage(machine.store)
    _photos(build, machine, mark, passage)
    if "classifier" in build.config.reached:
        _learned(build, machine, mark, passage)
    return ControlReport(findings=tuple(passage.findings), samples=passage.samples, seconds=perf_counter() - began)


def _photos(build: Build, machine: Machine, mark: str, passage: Passage) -> None:
    """From photos to embeddings and groups."""
    reached = build.config.reached
    known = PlantedLooks(build.config.min_side_px)
    steps = chain(build.read[0], build.config, machine)
    everybody = {each.name for each in known.photos}
    usable = everybody - REJECTED.keys()
    looks = planted("looks", REVISION, mark, LOOK_SCHEMA, known.rows, side=known.side, least=known.min_side)
    passage.through(looks, ALL, everybody)
    if "inspect" not in reached:
        return
    inspected = Derivation(steps.inspect.stage, (looks,))
    came = passage.through(inspected, REJECTED, usable)
    if came:
        passage.add(*inspect_findings(came, known.photos))
    if "labels" not in reached:
        return
    labels = Derivation(steps.labels.stage, (inspected,), (looks,))
    told = passage.through(labels, ALL, usable)
    if told and came:
        passage.add(*label_findings(told, came, known))
    if "embed" in reached:
        embed = Derivation(steps.embed.stage, (labels,), (looks,))
        seen = passage.through(embed, ALL, usable)
        if seen:
            passage.add(*embed_findings(seen, known.photos, stage_as(embed, Embed)))
    if "groups" in reached:
        groups = Derivation(Joined(build, machine).groups.stage, (labels,))
        grouped = passage.through(groups, known.repeats, usable - known.repeats.keys())
        if grouped and told:
            passage.add(*group_findings(grouped, told, build.config.grouping))


def _learned(build: Build, machine: Machine, mark: str, passage: Passage) -> None:
    """From embeddings that say what is worn to predictions and trends."""
    joined = Joined(build, machine)
    known = PlantedEmbeddings(build.config)
    sizes = {"count": known.per_class}
    labels = planted("worn", REVISION, mark, LABELLED_SCHEMA, known.label_rows, **sizes)
    embedded = planted("worn embedded", REVISION, mark, embedded_schema(known.width), known.embedding_rows, **sizes)
    passage.through(labels, ALL, known.ids)
    passage.through(embedded, ALL, known.ids)
    groups = Derivation(joined.groups.stage, (labels,))
    grouped = passage.through(groups, ALL, known.ids)
    classifier = Derivation(joined.classifier.stage, whole=(groups, embedded))
    passage.through(classifier, ALL)
    if "predict" not in build.config.reached:
        return
    predictions = Derivation(joined.predictions[0].stage, (embedded,), whole=(classifier,))
    said = passage.through(predictions, ALL, known.ids)
    if said:
        passage.add(*predict_findings(said, known))
    if "trends" in build.config.reached:
        trends = stage_as(joined.trends, Trends)
        none = Derivation(LookVerdicts.of(()))
        shares = passage.through(Derivation(trends, whole=(groups, none, predictions)), ALL)
        if shares and said and grouped:
            passage.add(*trend_findings(shares, grouped, said, trends.config))
