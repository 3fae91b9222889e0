"""What a run says of itself: what became of every source, what was learned, and how the sides compare."""

import base64
from collections import Counter
from html import escape
from pathlib import Path

import pyarrow.parquet as pq

from tasks.fashion.classifier_report import ClassifierReport, LabelMeasured
from tasks.fashion.page import headline
from tasks.fashion.plots import is_marked, ranked, trend_plot
from tasks.fashion.trends import POWERED, UNCORRECTED
from tasks.machine.places import Machine
from tasks.runway_street.build import Build, Joined, Summary, rows_of
from tasks.runway_street.config import STEPS
from tasks.runway_street.derivations import chain
from tasks.schema.fashion import RUNWAY, STREET
from tasks.shards.derive import committed
from tasks.shards.manifest import Manifest

_COUNTED = tuple(step for step in STEPS if step not in ("classifier", "trends", "exports"))


def summary_of(build: Build, manifest: Manifest, machine: Machine) -> Summary:
    """The numbers of a build."""
    joined = Joined(build, machine)
    made = {step: records for step in _COUNTED if (records := joined.made(step))}
    sides: dict[str, int] = {}
    for record in made.get("groups", ()):
        counted = pq.read_table(machine.store.data_path(record), columns=["source"])["source"].value_counts()
        sides |= {entry["values"]: entry["counts"] for entry in counted.to_pylist()}
    learned = [record.facts for record in joined.made("classifier")]
    said = [
        f"{each['accuracy']:.2f} (always the commonest: {each['majority_accuracy']:.2f})"
        for each in learned
        if each["accuracy"] is not None and each["majority_accuracy"] is not None
    ]
    return Summary(
        manifest=build.manifest,
        photos=sides,
        kept={step: rows_of(records) for step, records in made.items()},
        rejected=manifest.funnel.rejected,
        accuracy="".join(said),
    )


def source_table(build: Build, machine: Machine) -> list[dict[str, object]]:
    """What became of every source: photos read, left after looking at them, and what was lost and why."""
    table: dict[str, Counter[str]] = {}
    lost: dict[str, Counter[str]] = {}
    for read in build.read:
        steps, counts = chain(read, build.config, machine), table.setdefault(read.source.name, Counter())
        reasons = lost.setdefault(read.source.name, Counter())
        for step in ("looks", "inspect", "labels", "embed"):
            record = committed(steps.of(step), machine.store) if step in build.config.reached else None
            if record is not None:
                counts["offered"] += record.rows_in if step == "looks" else 0
                counts[step] += record.data.rows
                reasons.update({f"{step}: {reason}": count for reason, count in record.rejected.items()})
    return [
        {"source": name, **counts, "lost": ", ".join(f"{count} {why}" for why, count in lost[name].most_common())}
        for name, counts in table.items()
    ]


def learned_section(report: ClassifierReport) -> str:
    """What was measured of the classifier, as HTML."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    tables = "".join(
        f"<h3>{title}</h3>{_measured(rows)}"
        for title, rows in (("Categories", report.categories), ("Garments", report.garments))
    )
    return f"<ul>{notes}</ul>{tables}"


def trend_markdown(build: Build, machine: Machine) -> str:
    """The comparison over all photos as an artifact: the largest differences, and the pictures."""
    (record,) = Joined(build, machine).made("trends")
    rows = [row for row in pq.read_table(machine.store.data_path(record)).to_pylist() if row["scope"] == "all"]
    powered = any(row["estimate"] == POWERED and row["difference"] is not None for row in rows)
    estimate = POWERED if powered else UNCORRECTED
    rows = [row for row in rows if row["estimate"] == estimate]
    lines = [f"# The runway against the street, {estimate}", ""]
    lines += [f"- {headline(row)}" for row in ranked(rows) if is_marked(row)] or ["No difference stands out."]
    for kind, title in (("garment", "Garments"), ("category", "Categories")):
        picture = base64.b64encode(trend_plot([row for row in rows if row["kind"] == kind], title)).decode()
        lines += ["", f"![{title}](data:image/png;base64,{picture})"]
    return "\n".join(lines)


def similar_markdown(folder: Path) -> str:
    """The first sheet of similar looks of each side, of an export; empty where it has none."""
    pages = []
    for side, title in ((RUNWAY, "Looks of the runway, and the street's most like them"), (STREET, "The reverse")):
        for path in sorted((folder / "similar").glob(f"{side}_*.jpg"))[:1]:
            picture = base64.b64encode(path.read_bytes()).decode()
            pages.append(f"# {title}\n\n![{title}](data:image/jpeg;base64,{picture})")
    return "\n\n".join(pages)


def _measured(rows: tuple[LabelMeasured, ...]) -> str:
    head = "".join(f"<th class=n>{name}</th>" for name in ("precision", "recall", "F1", "AP", "photos"))
    body = "".join(
        f"<tr><td>{escape(row.label)}</td>"
        + "".join(f'<td class="n">{_number(each)}</td>' for each in (row.precision, row.recall, row.f1))
        + f'<td class="n">{_number(row.average_precision)}</td><td class="n">{row.support:,}</td></tr>'
        for row in rows
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
