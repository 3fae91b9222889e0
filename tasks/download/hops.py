"""The addresses on the way to a file, and what their hosts say about its reuse: kept with every row."""

from typing import Final

from pydantic import Field, TypeAdapter

from tasks.schema.records import Frozen


class SiteFile(Frozen):
    """What robots.txt or tdmrep.json of a host says of one URL.

    `status` of the answer, 0 where nobody answered; `sha256` of the file; `rule` is the line that decides, or why the
    file could not be had.
    """

    refuses: bool = False
    status: int = 0
    sha256: str = ""
    rule: str = ""


class Hop(Frozen):
    """One address on the way to a file, and what is said of it there; `headers` on reuse where it only redirects."""

    url: str
    robots: SiteFile = SiteFile()
    tdm: SiteFile = SiteFile()
    headers: dict[str, str] = Field(default_factory=dict)


HOPS: Final = TypeAdapter(tuple[Hop, ...])


def hops_json(hops: tuple[Hop, ...]) -> str:
    """Hops as they stand in a column."""
    return HOPS.dump_json(hops, exclude_defaults=True).decode()


def read_hops(text: str | None) -> tuple[Hop, ...]:
    """Hops of a column; none where it says nothing."""
    return HOPS.validate_json(text) if text else ()
