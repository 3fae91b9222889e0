"""What a build says of itself: its manifest, its card, the states of its URLs, doubts to look at, and a summary."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow.parquet as pq
from pydantic import JsonValue

from tasks.audit.flows import audited
from tasks.download.ledger import FETCHED, failing_hosts, ledger_table, outcomes
from tasks.download.retry import read_rejects
from tasks.exports.webbody_card import WebBodyCard
from tasks.exports.webbody_cut import CutConfig
from tasks.exports.webbody_facts import SUBSETS, BundleConfig
from tasks.exports.webbody_formats import SPLITS
from tasks.identity.review import find_doubts, pictures_of_faces
from tasks.identity.review_forms import write_fiftyone, write_label_studio
from tasks.identity.review_ledger import read_verdicts
from tasks.machine.places import Machine
from tasks.models.cards import CARDS
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, committed, realise_whole
from tasks.shards.manifest import Manifest, build_manifest
from tasks.shards.stage import Whole
from tasks.webbody.build import UNFINISHED, Summary
from tasks.webbody.config import WebBodyForm
from tasks.webbody.derivations import consent, retry_policy, urls
from tasks.webbody.joined import FLOW, Build, Joined

ReviewForm = Literal["label_studio", "fiftyone"]

TableRows = list[dict[str, str | int | float]]

DECIDED = ("identities", "clean", "members")
"""Stages whose facts tell which thresholds held."""


def webbody_manifest(build: Build, machine: Machine) -> Manifest:
    """The manifest of what was made so far; a build without members goes by the name of the unfinished ones."""
    joined = Joined(build, machine)
    every = joined.every
    wanted: dict[str, Sequence[Derivation]] = {
        "urls": [urls(part) for part in build.read],
        "downloads": [chain.downloaded for chain in every],
        "photos": [chain.photos for chain in every],
        "people": [chain.people for chain in every],
        "faces": [chain.faces for chain in every],
        "recognised": [chain.recognised for chain in every],
        "gated": joined.gated,
        "neighbours": [joined.neighbours],
        "identities": [joined.identities],
        "clean": [joined.clean],
        "members": [joined.members],
    }
    outputs: dict[str, list[ShardRecord]] = {}
    for name, steps in wanted.items():
        records = [record for each in steps if (record := committed(each, machine.store)) is not None]
        if records and len(records) == len(steps):
            outputs[name] = records
    flow = FLOW if "members" in outputs else UNFINISHED
    params = build.config.build_params() | {"previous": build.previous.model_dump(mode="json")}
    return build_manifest(machine.store, flow, params, outputs, CARDS)


def build_card(build: Build, manifest: Manifest, machine: Machine) -> WebBodyCard:
    """What the cards of the exports say."""
    purpose = build.config.purpose
    return WebBodyCard(
        title="WebBody",
        purpose=purpose.purpose,
        legal_basis=purpose.legal_basis,
        jurisdiction=purpose.jurisdiction,
        contact=machine.network.contact,
        thresholds=decided(manifest),
        manifest=manifest,
        audited=audited(machine.store, manifest),
    )


def decided(manifest: Manifest) -> dict[str, JsonValue]:
    """What linkage, cleaning and division measured and resolved, by stage."""
    return {shard.stage: dict(shard.facts) for shard in manifest.shards if shard.stage in DECIDED}


def bundle_config(form: WebBodyForm) -> BundleConfig:
    """The bundles that were asked for."""
    return BundleConfig(
        formats=form.exports.formats,
        subsets=SUBSETS if form.exports.subsets else (),
        cut=CutConfig(side=form.exports.side_px),
    )


def ledger_tables(build: Build, machine: Machine) -> tuple[TableRows, TableRows]:
    """How the URLs of a build ended, and the hosts that fail most, as rows of tables."""
    every = Joined(build, machine).every
    steps = (*(chain.downloaded for chain in every), *(chain.photos for chain in every))
    records = [record for each in steps if (record := committed(each, machine.store)) is not None]
    ledger = ledger_table(machine.store, records, retry_policy(build.config), consent(build.config))
    return outcomes(ledger).to_pylist(), failing_hosts(ledger).to_pylist()


def warnings_of(states: TableRows) -> list[str]:
    """What a person should know about the URLs of a run that ended well."""
    counted: Counter[str] = Counter()
    for state in states:
        counted[str(state["reason"] or state["status"])] += int(state["urls"])
    found = []
    if counted[Reason.ADDRESS_REFUSED]:
        found.append(
            f"{counted[Reason.ADDRESS_REFUSED]} URLs lead into networks that are not public and were not asked for: if "
            "that is meant, name the networks in MANNEQUIN_ALLOW_NETWORKS or in the block Network."
        )
    if states and not counted[FETCHED]:
        found.append("Not one URL was fetched: the artifacts say why.")
    return found


def summary_of(
    build: Build, manifest: Manifest, states: list[dict[str, str | int | float]], machine: Machine
) -> Summary:
    """The end of a run, for a person."""
    counted: Counter[str] = Counter()
    for state in states:
        counted[str(state["status"])] += int(state["urls"])
    rows = {line.stage: line.rows_out for line in manifest.funnel.lines if not line.beside}
    summary = Summary(manifest=manifest.digest, urls=dict(counted), rows=rows, rejected=manifest.funnel.rejected)
    record = committed(Joined(build, machine).members, machine.store) if "members" in manifest.outputs else None
    if record is None:
        return summary
    table = pq.read_table(machine.store.data_path(record), columns=["identity", "split", "subsets"])
    splits = Counter(table["split"].to_pylist())
    subsets = Counter(name for names in table["subsets"].to_pylist() for name in names)
    return summary.model_copy(
        update={
            "identities": len(table["identity"].unique()),
            "splits": {split: splits[split] for split in SPLITS},
            "subsets": dict(sorted(subsets.items())),
        }
    )


def write_review(form: ReviewForm, folder: Path, build: Build, machine: Machine) -> int:
    """Doubtful faces and identities as pairs to look at; the folder gets its name when it is whole.

    Returns:
        how many pairs were written.
    """
    store = machine.store
    joined = Joined(build, machine)
    before, after = (realise_whole(each, store).record for each in (joined.identities, joined.clean))
    doubts = find_doubts(
        pq.read_table(store.data_path(before)),
        pq.read_table(store.data_path(after)),
        read_rejects(store, after),
        [Whole(store.data_path(realise_whole(chain.gated, store).record)) for chain in joined.every],
        answered=[verdict.about for verdict in read_verdicts(store)],
    )
    faces = [Whole(store.data_path(realise_whole(chain.faces, store).record)) for chain in joined.every]
    pictures = pictures_of_faces(faces, {face for doubt in doubts for face in (doubt.face_a, doubt.face_b)})
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".review-") as scratch:
        made = Path(scratch) / folder.name
        if form == "fiftyone":
            written = write_fiftyone(made, doubts, pictures)
        else:
            written = write_label_studio(made, doubts, pictures, f"/data/local-files/?d={folder.name}")
        made.rename(folder)
    return written
