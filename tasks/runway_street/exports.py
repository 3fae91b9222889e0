"""What is written of a finished build: the seed's tables and features, the classifier, trends, and pages to look at."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow.parquet as pq

from tasks.audit.draw import audit_sample
from tasks.audit.sheet import Shown
from tasks.exports.contents import Disjoint, MadeBy
from tasks.exports.fashion_features import INDEX_FILE, write_features
from tasks.exports.fashion_similar import write_similar
from tasks.exports.fashion_tables import in_order, write_fashion_tables
from tasks.exports.owned import OwnedFolder
from tasks.exports.rows import pick
from tasks.fashion.audit import look_sheet
from tasks.fashion.audit_rates import look_rates
from tasks.fashion.classifier_pictures import confusion_picture, reliability_picture
from tasks.fashion.classifier_report import ClassifierReport
from tasks.fashion.page import TrendReport, trend_page
from tasks.fashion.photos import GROUPED, auditable
from tasks.machine.places import Machine
from tasks.runway_street.build import Build, Joined, output_folder
from tasks.runway_street.report import learned_section
from tasks.schema.fashion import RUNWAY, STREET
from tasks.shards.derive import Derivation, realise_whole
from tasks.shards.manifest import Manifest, rejects
from tasks.shards.numbers import assign, number_name
from tasks.shards.store import Store

TITLE = "Runway to street"
LEDGER = "looks"
"""Of the numbers in image ids."""

GROUPS_ARE_IN_ONE_FOLD = Disjoint(("looks/*.parquet",), ("sample_id", "group_id"), "fold", (("train",), ("test",)))


@dataclass(frozen=True)
class FinishedShards:
    """The files of a build, whole; `trend_facts` is what the comparison measured on its way."""

    looks: tuple[Path, ...]
    embed: tuple[Path, ...]
    groups: Path
    classifier: Path
    predict: tuple[Path, ...]
    trends: Path
    trend_facts: Mapping[str, Any]


def finished_shards(build: Build, machine: Machine) -> FinishedShards:
    """All that exports read; made again where it is not whole."""
    joined = Joined(build, machine)

    def whole(derivations: Sequence[Derivation]) -> tuple[Path, ...]:
        return tuple(machine.store.data_path(realise_whole(each, machine.store).record) for each in derivations)

    groups, classifier = whole((joined.groups, joined.classifier))
    trends = realise_whole(joined.trends, machine.store).record
    return FinishedShards(
        looks=whole([each.looks for each in joined.every]),
        embed=whole([each.embed for each in joined.every]),
        groups=groups,
        classifier=classifier,
        predict=whole(joined.predictions),
        trends=machine.store.data_path(trends),
        trend_facts=trends.facts,
    )


def write_exports(build: Build, manifest: Manifest, machine: Machine) -> tuple[Path, ...]:
    """Write everything, or bring it up to date; returns the folders."""
    shards = finished_shards(build, machine)
    rules, folder, files = build.config.exports, output_folder(build.config, machine), machine.store.files
    photos = numbered(shards.groups, machine.store)
    image_ids = dict(zip(photos["sample_id"].to_list(), photos["image_id"].to_list(), strict=True))
    with OwnedFolder(folder, files) as out:
        write_features(out, shards.embed, photos, files)
        index = folder / INDEX_FILE
        rates = look_rates(shards.groups, shards.predict, build.verdicts)
        write_fashion_tables(
            out, files, shards.groups, shards.predict, image_ids, index, title=TITLE, manifest=manifest, audited=rates
        )
        write_similar(out, shards.embed, photos, shards.looks, rules.similar, files)
        out.put(_shown_files(shards, manifest, machine.store))
        out.declare(GROUPS_ARE_IN_ONE_FOLD)
        out.finish(MadeBy.of(manifest))
    audit = write_audit(photos, shards, folder, rules.audit_photos)
    return (folder, audit) if audit else (folder,)


def numbered(groups: Path, store: Store) -> pl.DataFrame:
    """The photos of a build under the numbers that they have for ever (`runway_0001`), in the order of the tables.

    Columns: sample_id, image_id, image_path, source, source_uri, phash.
    """
    columns = ["sample_id", "image_path", "source", "source_uri", "phash"]
    photos = pl.DataFrame(pl.from_arrow(pq.read_table(groups, columns=columns)))
    image_ids: dict[str, str] = {}
    for side in (RUNWAY, STREET):
        ids = photos.filter(pl.col("source") == side)["sample_id"].to_list()
        image_ids |= {name: number_name(side, 1 + n) for name, n in assign(store, LEDGER, side, ids).items()}
    order = pl.DataFrame({"sample_id": in_order(image_ids)}, schema={"sample_id": pl.String})
    names = pl.Series("image_id", [image_ids[name] for name in order["sample_id"]], pl.String)
    return order.with_columns(names).join(photos, on="sample_id", how="left", maintain_order="left")


def write_audit(photos: pl.DataFrame, shards: FinishedShards, folder: Path, count: int) -> Path | None:
    """A sheet of photos of both sides for a person to label, in a folder beside the export that is written once.

    Another sample has another folder, so that no table that somebody fills in is ever replaced.
    """
    groups = pq.read_table(shards.groups, columns=list(GROUPED))
    ids = [each for side in (RUNWAY, STREET) for each in audit_sample(auditable(groups, side), count)]
    if not ids:
        return None
    sample = sha256("\n".join(ids).encode()).hexdigest()[:8]
    target = folder.with_name(f"{folder.name}-audit-{sample}")
    if target.exists():
        return target
    chosen = {row["sample_id"]: row for row in photos.filter(pl.col("sample_id").is_in(ids)).to_dicts()}
    wanted = {name: row["source_uri"] for name, row in chosen.items()}
    images = {
        row["sample_id"]: row["image"]["bytes"]
        for table in pick(shards.looks, wanted, ("image",))
        for row in table.to_pylist()
    }
    making = folder.with_name(f".{target.name}")
    shutil.rmtree(making, ignore_errors=True)
    told = {name: {"image_id": row["image_id"], "image_path": row["image_path"]} for name, row in chosen.items()}
    look_sheet(making, (Shown(name, told[name], images[name]) for name in ids), TITLE)
    making.rename(target)
    return target


def _shown_files(shards: FinishedShards, manifest: Manifest, store: Store) -> dict[str, bytes]:
    """The classifier and the trends, each with what is to be seen of it, and the page on both."""
    (row,) = pq.read_table(shards.classifier).to_pylist()
    report = ClassifierReport.model_validate_json(row["report"])
    confusion, reliability = confusion_picture(report), reliability_picture(report)
    trends = pq.read_table(shards.trends)
    page = TrendReport(
        TITLE,
        trends.to_pylist(),
        shards.trend_facts,
        (row for batch in rejects(store, manifest) for row in batch.to_pylist()),
        [
            ("The classifier", learned_section(report)),
            ("What was taken for what", confusion),
            ("How far confidence holds", reliability),
        ],
    )
    table = cast("pl.DataFrame", pl.from_arrow(trends)).drop("sample_id", "parent_id", "source_uri", "licence")
    parquet = BytesIO()
    table.write_parquet(parquet)
    return {
        "classifier/classifier.skops": row["model"],
        "classifier/report.json": report.model_dump_json(indent=1).encode(),
        "classifier/confusion.png": confusion,
        "classifier/reliability.png": reliability,
        "trends/trends.csv": table.write_csv().encode(),
        "trends/trends.parquet": parquet.getvalue(),
        "report.html": trend_page(page).encode(),
    }
