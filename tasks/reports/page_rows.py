"""The parts of a report that show rows: rejected ones, what the dataset's are like, and some of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.reports.build_facts import BuildFacts, said
from tasks.reports.distributions import RULE, Distribution
from tasks.reports.elements import Html, bar, figure, folded, heading, histogram, inside, table
from tasks.reports.pictures import Wanted
from tasks.reports.rejected import RULE as DRAWN
from tasks.reports.rejected import Example, RejectedFor

_TOLD: Final = ("sample", "why", "source", "evidence")
_SHARED_COLUMNS: Final = 8
"""Columns of a sample that has no picture."""


def rejected_part(rejected: Sequence[RejectedFor], pictures: Mapping[Wanted, str]) -> Iterator[str]:
    """Rejected samples by stage and reason, with their pictures where there are some."""
    yield heading("Rejected")
    if not rejected:
        yield "<p>Nothing was rejected.</p>\n"
        return
    yield f'<p class="fine">{inside(DRAWN)}</p>\n'
    for group in rejected:
        where = f"{group.stage} (looked up)" if group.beside else group.stage
        yield f"<h3>{inside(where)}: {inside(group.reason)}, {group.count:,}</h3>\n"
        shown = [(each, pictures.get(Wanted(each.sample_id, group.stage))) for each in group.examples]
        with_picture = [figure(uri, each.sample_id, _caption(each)) for each, uri in shown if uri]
        if with_picture:
            yield f'<div class="pictures">{"".join(with_picture)}</div>\n'
        without = [each for each, uri in shown if not uri]
        if without:
            columns = 4 if any(each.evidence for each in without) else 3
            yield table(_TOLD[:columns], [_told(each)[:columns] for each in without])


def _caption(example: Example) -> str:
    return f"{said(example.detail)} {example.sample_id}"


def _told(example: Example) -> tuple[str, str, str, str]:
    evidence = said(example.evidence, 240) if example.evidence else ""
    return said(example.sample_id, 200), said(example.detail, 300), said(example.source_uri, 200), evidence


def distributions_part(build: BuildFacts, found: Sequence[Distribution], rows: int) -> Iterator[str]:
    """What the rows of the dataset are like; `rows`: how many there are."""
    yield heading("Distributions")
    yield f'<p class="fine">{rows:,} rows of the stage {inside(build.final_stage)}. {inside(RULE)}</p>\n'
    if not found:
        yield "<p>No column tells something.</p>\n"
    yield '<div class="charts">'
    for each in found:
        yield f"<section><h3>{inside(each.column)}</h3>"
        if each.bins:
            yield histogram(each.bins)
        else:
            most = max(count for _, count in each.counts)
            yield table(("", "", ""), [(said(value, 40), bar(count / most), count) for value, count in each.counts])
        yield '<p class="fine">'
        range_of = f"{each.low:,.6g} to {each.high:,.6g}, median {each.median:,.6g}" if each.bins else ""
        missing = f"{each.missing:,} without a value" if each.missing else ""
        from_stage = f"of the stage {inside(each.stage)}" if each.stage != build.final_stage else ""
        yield f"{'; '.join(note for note in (range_of, missing, from_stage) if note)}</p></section>\n"
    yield "</div>\n"


def samples_part(
    build: BuildFacts, chosen: Sequence[Wanted], pictures: Mapping[Wanted, str], rows: int
) -> Iterator[str]:
    """Some samples of the dataset; `rows`: how many there are."""
    yield heading("Samples")
    if not chosen:
        yield "<p>There is none.</p>\n"
        return
    yield f'<p class="fine">{len(chosen)} of {rows:,}, evenly spread.</p>\n'
    seen = [figure(pictures[each], each.sample_id, each.sample_id) for each in chosen if each in pictures]
    if seen:
        yield f'<div class="pictures">{"".join(seen)}</div>\n'
    if len(seen) < len(chosen):
        yield folded(
            f"{len(chosen) - len(seen)} samples without a picture in the store",
            _rows_table(build, {each.sample_id for each in chosen if each not in pictures}),
        )


def _rows_table(build: BuildFacts, ids: set[str]) -> Html:
    """Rows of the dataset as text: their first columns that are single values."""
    simple = [field.name for field in build.schema(build.final_stage) if not pa.types.is_nested(field.type)][
        :_SHARED_COLUMNS
    ]
    rows: list[tuple[str, ...]] = []
    for path in build.paths(build.final_stage):
        read = pq.read_table(path, columns=simple, filters=[("sample_id", "in", sorted(ids))])
        rows += [tuple(said(str(value), 80) for value in row.values()) for row in read.to_pylist()]
    return table(simple, rows)
