"""Postgres without the templates of samples that go."""

from tasks.catalog.connect import DEFAULT_LIMITS, Limits
from tasks.catalog.forget import forget
from tasks.forget.doomed import Doomed, Erased
from tasks.schema.errors import DatabaseError
from tasks.schema.ids import template_id

_PLACE = "database"


def erase_from_database(database: str, doomed: Doomed, limits: Limits = DEFAULT_LIMITS) -> Erased:
    """Delete templates and their vectors, and keep them out of later seedings.

    Args:
        database: connection URI; empty: there is none, and nothing is done.
    Returns:
        what went; a database that is out of reach is a problem that it tells.
    """
    templates = sorted({template_id(each) for each in doomed.sample_ids})
    if not database or not templates:
        return Erased(_PLACE, 0, 0)
    try:
        report = forget(database, templates, limits)
    except DatabaseError as error:
        return Erased(_PLACE, 0, 0, problems=(f"{error} Templates may still be in there.",), again=True)
    emptied = (
        f"{report.scrubbed} templates were emptied and switched off, not deleted: the application refers to them, and "
        "pictures that it made of them are its own."
    )
    gone = report.deleted + report.scrubbed
    return Erased(_PLACE, gone, gone, problems=(emptied,) if report.scrubbed else ())
