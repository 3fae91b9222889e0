"""Error rates on the page of a build."""

from collections.abc import Sequence

from tasks.audit.rates import ErrorRate
from tasks.exports.card import AUDITED_COLUMNS, AUDITED_RULE, audited_rows
from tasks.reports.elements import Html, inside, table
from tasks.reports.page import Section


def error_section(audited: Sequence[ErrorRate]) -> Section:
    """What people found wrong, with bounds."""
    body = f'<p class="fine">{inside(AUDITED_RULE)}</p>\n{table(AUDITED_COLUMNS, audited_rows(audited))}'
    return Section("Errors", Html(body))
