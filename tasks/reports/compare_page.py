"""A comparison of two builds as an offline page, or as a section of one."""

from collections.abc import Sequence

from tasks.reports.compare import Change, Comparison, StageCompared, reasons_of
from tasks.reports.elements import Html, document, folded, inside, table
from tasks.reports.page import Section


def comparison_page(found: Comparison) -> str:
    """A page of its own: it loads nothing and runs no script."""
    section = comparison_section(found)
    return document("Two builds compared", (f"<p>{inside(section.title)}</p>\n", section.body))


def comparison_section(found: Comparison) -> Section:
    """What came, what went, what is otherwise, and why, for `report_page`."""
    title = f"{found.before} against {found.after}"
    if found.same:
        return Section(title, Html("<p>Both hold the same rows, made by the same parameters, code and models.</p>\n"))
    about = [each for each in (found.code, *found.models) if each is not None]
    parts = [
        _changes("Parameters", found.params),
        _changes("Code and models", about),
        Html("<h3>Rows</h3>\n"),
        table(
            ("stage", "before", "after", "came", "went", "changed", "shards of both", "of the first", "of the second"),
            [(s.stage, s.before, s.after, s.came, s.went, s.changed, *s.shards) for s in found.stages],
        ),
        *(_why(stage) for stage in found.stages if not stage.same),
    ]
    return Section(title, Html("".join(parts)))


def _changes(title: str, changes: Sequence[Change]) -> Html:
    if not changes:
        return Html(f'<p class="fine">{inside(title)}: the same.</p>\n')
    rows = [(each.name, each.before, each.after) for each in changes]
    return Html(f"<h3>{inside(title)}</h3>\n{table(('', 'before', 'after'), rows)}")


def _why(stage: StageCompared) -> Html:
    lines = "".join(f"<li>{inside(line)}</li>" for line in reasons_of(stage))
    return folded(f"{stage.stage}: why", f"<ul>{lines}</ul>")
