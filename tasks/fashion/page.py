"""The report on a build of runway and street: one HTML file that needs no network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from tasks.fashion.plots import FALSE_DISCOVERY_RATE, is_marked, ranked, trend_plot
from tasks.fashion.trends import POWERED, UNCORRECTED
from tasks.reports.elements import STYLE, data_uri, document, picture, tiles

Row = Mapping[str, Any]
Section = tuple[str, str | bytes]
"""A title, and HTML that is put in as it is, or a PNG."""

KINDS: Final = {"garment": "Garments", "category": "Categories"}
MOST_SCOPES: Final = 60
"""Designers and seasons that are shown; the table of trends has them all."""

_STYLE: Final = """
tr.marked td{background:#fff6e0}.caution{border-left-color:#d9930d;background:#fff6e0}
img{max-width:100%;height:auto;background:#fff;border:1px solid #e2e2e2;border-radius:6px}
"""

_CAVEATS: Final = f"""
<li>Uncorrected shares count what the classifier says. It learned from street photos; the runway looks different (light,
pose, cut, styling), and nobody has measured how often it errs there. A difference can be the classifier's own. Its
interval covers the chance in which photos were seen, not this.</li>
<li>Powered shares are corrected by photos that people labelled. Their intervals hold whatever the classifier's errors
are, as long as the labelled photos are a random sample and the people are right.</li>
<li>Photos of one show, and near-duplicates, are alike: intervals count shows and groups, not single photos.</li>
<li>The photos stand for what the datasets collected, not for all shows or all streets.</li>
<li>Marked differences have a q value below {FALSE_DISCOVERY_RATE}: of all that are marked within a table, about that
share may be chance. Being unmarked does not mean being the same.</li>
<li>Garments are counted each by itself. A category is the first of a fixed order that fits: a top under a coat counts
as outerwear only.</li>
"""


@dataclass(frozen=True, eq=False)
class TrendReport:
    """What the page shows.

    `trends`: rows of `TREND_SCHEMA`; `facts`: of the record of that shard; `rejects`: rows of `REJECT_SCHEMA` of all
    stages; `sections`: whatever else there is to show (the classifier's report, sheets), after the trends.
    """

    title: str
    trends: Sequence[Row]
    facts: Mapping[str, Any]
    rejects: Iterable[Row] = ()
    sections: Sequence[Section] = ()


def trend_page(report: TrendReport) -> str:
    """The page as HTML. It loads nothing, runs no script, and pictures lie in it; sections are trusted as they are."""
    return document(report.title, _body(report), STYLE + _STYLE)


def headline(row: Row) -> str:
    """A difference as a sentence."""
    more, than = ("runway", "street") if row["difference"] > 0 else ("street", "runway")
    shares = [f"{_percent(row[f'{side}_share'])} on the {side}" for side in (more, than)]
    points = _interval(row, "difference", points=True)
    return f"{row['label']}: {', '.join(shares)} (difference {points} points, {row['estimate']})"


def _body(report: TrendReport) -> Iterator[str]:
    yield _tiles(report.facts)
    whole = [row for row in report.trends if row["scope"] == "all"]
    best = POWERED if any(_compared(row) for row in whole if row["estimate"] == POWERED) else UNCORRECTED
    if best == UNCORRECTED:
        yield (
            '<p class="caution"><b>Uncorrected.</b> These are the classifier\'s words, and nobody checked them on the '
            "runway. Label the photos of an audit sheet to correct them.</p>\n"
        )
    yield _headlines([row for row in whole if row["estimate"] == best])
    for kind, name in KINDS.items():
        yield f"<h2>{name}</h2>\n"
        for estimate in (POWERED, UNCORRECTED):
            rows = [row for row in whole if (row["kind"], row["estimate"]) == (kind, estimate)]
            if rows:
                yield _comparison(rows, f"{name}, {estimate}", folded=estimate != best)
    yield from _scopes(report.trends)
    for name, shown in report.sections:
        yield f"<h2>{escape(name)}</h2>\n" + (_picture(shown, name) if isinstance(shown, bytes) else shown) + "\n"
    yield f"<h2>What to keep in mind</h2>\n<ul>{_CAVEATS}</ul>\n"
    yield "<h2>Left out</h2>\n" + _rejected(report.rejects) + _facts(report.facts)


def _tiles(facts: Mapping[str, Any]) -> str:
    shown = [
        ("runway photos", facts.get("runway_photos")),
        ("their shows or groups", facts.get("runway_clusters")),
        ("street photos", facts.get("street_photos")),
        ("their groups", facts.get("street_clusters")),
        ("runway photos labelled", facts.get("runway_labelled")),
        ("street photos labelled", facts.get("street_labelled")),
    ]
    return tiles((name, value) for name, value in shown if value is not None)


def _headlines(rows: Sequence[Row], most: int = 5) -> str:
    marked = sorted(
        (row for row in rows if is_marked(row)), key=lambda row: (-abs(row["difference"]), row["sample_id"])
    )
    if not marked:
        return "<p>No difference is larger than chance could make it.</p>\n"
    unlike = list({row["label"]: row for row in reversed(marked)}.values())[::-1]
    told = "".join(f"<li>{escape(headline(row))}</li>" for row in unlike[:most])
    return f"<h2>The largest differences</h2>\n<ul>{told}</ul>\n"


def _comparison(rows: Sequence[Row], title: str, *, folded: bool) -> str:
    shown = _picture(trend_plot(rows, title), title) if any(_shared(row) for row in rows) else ""
    table = f"{shown}\n<details><summary>Numbers</summary>{_table(rows)}</details>\n"
    return f"<details><summary>{escape(title)}</summary>{table}</details>\n" if folded else table


def _table(rows: Sequence[Row]) -> str:
    head = ("", "runway", "95 %", "photos", "street", "95 %", "photos", "difference", "95 %", "p", "q", "")
    lines = []
    for row in ranked(rows):
        cells = (
            *(_percent(row["runway_share"]), _interval(row, "runway"), f"{row['runway_n']:,}"),
            *(_percent(row["street_share"]), _interval(row, "street"), f"{row['street_n']:,}"),
            *(_points(row["difference"]), _interval(row, "difference", points=True)),
            *(_chance(row["p_value"]), _chance(row["q_value"])),
        )
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        note = f'<td class="fine">{escape(row["note"] or "")}</td>'
        mark = ' class="marked"' if is_marked(row) else ""
        lines.append(f"<tr{mark}><td>{escape(row['label'])}</td>{numbers}{note}</tr>\n")
    first = "".join(f"<th{' class=n' if name else ''}>{name}</th>" for name in head)
    return f'<div class="wide"><table><tr>{first}</tr>\n{"".join(lines)}</table></div>'


def _scopes(trends: Sequence[Row]) -> Iterator[str]:
    """What stands out by designer and by season: the best estimate of each, folded."""
    scopes: dict[str, list[Row]] = {}
    for row in trends:
        if row["scope"] != "all":
            scopes.setdefault(row["scope"], []).append(row)
    for word, name in (("designer", "Designers"), ("season", "Seasons")):
        mine = {scope: rows for scope, rows in scopes.items() if scope.startswith(f"{word}=")}
        if not mine:
            continue
        told = {scope: rows for scope, rows in mine.items() if any(_shared(row) for row in rows)}
        yield f"<h2>{name}</h2>\n<p>Each against the whole street. "
        yield (
            f"{len(told)} of {len(mine)} have enough photos for shares.</p>\n"
            if told
            else "None has enough photos.</p>\n"
        )
        largest = sorted(told.items(), key=lambda each: (-each[1][0]["runway_n"], each[0]))
        for scope, rows in largest[:MOST_SCOPES]:
            yield _scope(scope.partition("=")[2], rows)
        if len(told) > MOST_SCOPES:
            yield f"<p>The {MOST_SCOPES} with the most photos are shown.</p>\n"


def _scope(name: str, rows: Sequence[Row]) -> str:
    estimate = POWERED if any(_compared(row) for row in rows if row["estimate"] == POWERED) else UNCORRECTED
    rows = [row for row in rows if row["estimate"] == estimate]
    marked = ", ".join(
        f"{row['label']} {_points(row['difference'])}"
        for row in ranked(rows)
        if is_marked(row) and row["kind"] == "garment"
    )
    tables = "".join(
        f"<h3>{title}</h3>{_table([row for row in rows if row['kind'] == kind])}" for kind, title in KINDS.items()
    )
    exact = marked or ("nothing stands out" if any(row["p_value"] is not None for row in rows) else "no intervals")
    said = f"{name}: {rows[0]['runway_n']:,} photos, {estimate}; {exact}"
    return f"<details><summary>{escape(said)}</summary>{tables}</details>\n"


def _rejected(rejects: Iterable[Row]) -> str:
    counted: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for row in rejects:
        kind = row["stage"], row["reason"]
        counted[kind] += 1
        first.setdefault(kind, row["detail"])
    if not counted:
        return "<p>No photo was rejected.</p>\n"
    lines = "".join(
        f'<tr><td>{escape(stage)}</td><td>{escape(reason)}</td><td class="n">{count:,}</td>'
        f"<td>{escape(first[stage, reason])}</td></tr>\n"
        for (stage, reason), count in sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    )
    head = "<th>stage</th><th>reason</th><th>photos</th><th>for example</th>"
    return f'<div class="wide"><table><tr>{head}</tr>\n{lines}</table></div>\n'


def _facts(facts: Mapping[str, Any]) -> str:
    told = {name: f"{said:,}" if isinstance(said, int) else str(said)[:16] for name, said in facts.items()}
    lines = "".join(
        f'<tr><td>{escape(name.replace("_", " "))}</td><td class="n">{escape(said)}</td></tr>\n'
        for name, said in told.items()
    )
    return f"<h3>Counted</h3>\n<table>{lines}</table>\n"


def _picture(png: bytes, alt: str) -> str:
    return picture(data_uri(png, "png"), alt)


def _shared(row: Row) -> bool:
    return row["runway_share"] is not None


def _compared(row: Row) -> bool:
    return row["difference"] is not None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _points(difference: float | None) -> str:
    return "" if difference is None else f"{100 * difference:+.1f}"


def _interval(row: Row, name: str, *, points: bool = False) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return ""
    return f"{100 * low:+.1f} to {100 * high:+.1f}" if points else f"{100 * low:.1f} to {100 * high:.1f}"


def _chance(value: float | None) -> str:
    return "" if value is None else "&lt; 0.001" if value < 0.001 else f"{value:.3f}"
