"""The report on a build: one HTML file that needs no network, made from the store alone, for any flow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.exports.card import non_commercial_sentence
from tasks.images.sheet import jpeg_within
from tasks.reports.build_facts import BuildFacts, damage_explained, leaves, said
from tasks.reports.distributions import distributions
from tasks.reports.elements import (
    Html,
    bar,
    caution,
    data_uri,
    document,
    folded,
    heading,
    inside,
    picture,
    table,
    tiles,
)
from tasks.reports.examples import Examples
from tasks.reports.licences import OptOuts, opt_outs, output_terms, source_licences
from tasks.reports.measured import measured
from tasks.reports.page_rows import distributions_part, rejected_part, samples_part
from tasks.shards.files import disk_errors_explained, temporary

_MOST_SHEET_BYTES: Final = 500_000
_MOST_PARAMETERS: Final = 400
_MOST_LICENCES: Final = 40


@dataclass(frozen=True)
class Section:
    """Something that a caller adds to the page: a title, and what `tasks.reports.elements` made of it."""

    title: str
    body: Html


def report_page(
    build: BuildFacts,
    examples: Examples,
    *,
    seconds: Mapping[str, float] | None = None,
    controls: Section | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """The page as HTML: it loads nothing, runs no script, and pictures lie in it.

    Args:
        examples: the samples that it shows.
        seconds: what each stage took, where somebody knows; records hold no time.
        controls: what came back of samples of known truth.
        sections: whatever else there is to show, at the end.
    Raises:
        StoreError: a shard does not read.
    """
    rows = len(examples.ids)
    with damage_explained(build):
        return document(
            f"Build report: {build.manifest.flow}",
            (
                *_header(build, rows),
                *_funnel(build, seconds or {}),
                *rejected_part(examples.rejected, examples.pictures),
                *distributions_part(build, distributions(build, examples.ids), rows),
                *samples_part(build, examples.kept, examples.pictures, rows),
                *_sheets(examples),
                *_licences(build),
                *_opt_outs(opt_outs(build)),
                *_controls(controls),
                *_measured(build),
                *(part for section in sections for part in (heading(section.title), section.body)),
            ),
        )


def write_report(build: BuildFacts, page: str, path: Path | None = None) -> Path:
    """Put a page where it is found: `<store>/reports/<flow>/<digest>.html` unless a path is given; whole or not at all.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    store = build.store
    path = path or store.root / "reports" / build.manifest.flow / f"{build.digest}.html"
    with disk_errors_explained(path.parent):
        written = temporary(store.tmp if path.is_relative_to(store.root) else path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with store.files.create(written) as stream:
                stream.write(page.encode())
                store.files.sync(stream)
            store.files.replace(written, path)
        finally:
            store.files.remove(written)
    return path


def _header(build: BuildFacts, samples: int) -> Iterator[str]:
    manifest = build.manifest
    yield table(
        ("", ""),
        (
            ("flow", manifest.flow),
            ("build", Html(f"<code>{inside(build.digest)}</code>")),
            ("code", Html(f"<code>{inside(manifest.code)}</code>")),
        ),
    )
    marked = non_commercial_sentence(build.models)
    if marked:
        yield caution(f"Non-commercial use only. {marked}")
    offered = sum(line.rows_in for line in manifest.funnel.lines if not line.beside and _is_source(build, line.stage))
    counts = [("rows offered by the sources", offered), ("rows in the dataset", samples)]
    counts += [("rejected", sum(manifest.funnel.rejected.values())), ("shards", len(manifest.shards))]
    yield tiles((*counts, ("models", len(manifest.models))))
    erased = sum(build.unreadable(stage) for stage in build.stages)
    if erased:
        yield f'<p class="fine">{erased:,} rows of the build were erased or are lost; the page tells of the rest.</p>\n'
    params = list(leaves(manifest.params))
    shown = table(("parameter", "value"), [(name, said(value)) for name, value in params[:_MOST_PARAMETERS]])
    more = len(params) - _MOST_PARAMETERS
    yield folded(f"{len(params)} parameters", shown + (f"<p>{more:,} more.</p>" if more > 0 else ""))


def _is_source(build: BuildFacts, stage: str) -> bool:
    records = [build.records.get((shard.stage, shard.key)) for shard in build.shards_of(stage)]
    return any(record is not None and not record.inputs and not record.sides for record in records)


def _funnel(build: BuildFacts, seconds: Mapping[str, float]) -> Iterator[str]:
    yield heading("Funnel")
    lines = build.manifest.funnel.lines
    most = max((line.rows_in for line in lines), default=0) or 1
    rows = []
    for line in lines:
        lost = {**line.rejected, **{f"{reason} (children)": n for reason, n in line.children_rejected.items()}}
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(lost.items(), key=lambda each: -each[1]))
        name = Html(f'<span class="keep">{inside(f"{line.stage} (looked up)" if line.beside else line.stage)}</span>')
        rejected = sum(line.rejected.values())
        took = seconds.get(line.stage) if not line.beside else None
        bars = bar(line.rows_kept / most, rejected / most)
        cells = (name, line.shards, line.rows_in, bars, line.rows_kept, rejected, reasons, line.rows_out)
        rows.append((*cells, _duration(took)) if seconds else cells)
    head = ("stage", "shards", "in", "", "kept", "rejected", "reasons", "out", *(("time",) if seconds else ()))
    yield table(head, rows)
    yield '<p class="fine">Bars: kept rows, then rejected ones, on one scale. In = kept + rejected; out counts the '
    yield "rows written: children, where a row becomes several."
    yield " Time: of all shards of a stage together, when they were made.</p>\n" if seconds else "</p>\n"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _sheets(examples: Examples) -> Iterator[str]:
    for sheet in examples.sheets:
        yield f"<h3>{inside(sheet.title)}</h3>\n"
        yield picture(data_uri(jpeg_within(sheet.picture, _MOST_SHEET_BYTES)), sheet.title)


def _licences(build: BuildFacts) -> Iterator[str]:
    yield heading("Licences")
    licences = source_licences(build)
    yield "<h3>Sources</h3>\n"
    yield table(("licence", "rows"), [(said(licence), rows) for licence, rows in licences[:_MOST_LICENCES]])
    if len(licences) > _MOST_LICENCES:
        yield f"<p>{len(licences) - _MOST_LICENCES:,} more.</p>\n"
    yield "<h3>Models</h3>\n"
    if not build.models:
        yield "<p>No model decided anything.</p>\n"
        return
    marked = Html('<span class="bad">non-commercial</span>')
    yield table(
        ("model", "licence", "", "sha256"),
        [
            (m.name, m.licence, marked if m.non_commercial else "", Html(f"<code>{m.sha256}</code>"))
            for m in build.models
        ],
    )
    yield "<h3>Outputs</h3>\n"
    rows = []
    for each in output_terms(build):
        names = ", ".join(model.name for model in each.models) or "none"
        word = Html(f'<span class="bad">non-commercial: {inside(", ".join(each.non_commercial))}</span>')
        rows.append((each.output, each.rows, names, word if each.non_commercial else ""))
    yield table(("output", "rows", "models on the way to it", ""), rows)


def _opt_outs(found: OptOuts) -> Iterator[str]:
    yield heading("Opt-outs")
    if not found.asked:
        yield "<p>No stage of this build reads what servers say about reuse.</p>\n"
        return
    if found.respected is False:
        yield caution("Opt-outs were switched off for this build.")
    yield table(
        ("", ""),
        (
            ("opt-outs are", {None: "not told of", True: "respected", False: "switched off"}[found.respected]),
            ("rejected because of an opt-out or the block list", sum(found.rejected.values())),
            *((f"of them by {who}", count) for who, count in found.rejected.items()),
            ("rows whose server said something about reuse", found.heard),
            ("rows in the build though it said no", sum(found.kept.values())),
            *((f"of them by {rule}", count) for rule, count in found.kept.items()),
        ),
    )


def _controls(controls: Section | None) -> Iterator[str]:
    if controls is not None:
        yield heading(controls.title)
        yield controls.body


def _measured(build: BuildFacts) -> Iterator[str]:
    facts = measured(build)
    if not facts:
        return
    yield heading("Measured")
    yield '<p class="fine">What stages measured and which thresholds they resolved, over their shards.</p>\n'
    for stage in dict.fromkeys(fact.stage for fact in facts):
        mine = [fact for fact in facts if fact.stage == stage]
        rows = [(fact.name, fact.told, fact.shards) for fact in mine]
        yield folded(f"{stage}: {len(mine)}", table(("fact", "value", "shards"), rows))
