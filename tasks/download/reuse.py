"""What the headers of an answer say about its reuse: `X-Robots-Tag` (noai and kin) and `TDM-Reservation`.

The rules of both, of the latter as the W3C TDM Reservation Protocol has them, are written out here.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

DIRECTIVES: Final = ("noai", "noimageai", "noimageindex", "noindex")
"""The defaults of img2dataset 1.47."""

CRAWLERS: Final = ("*", "img2dataset", "mannequinbot")

IMPLIED: Final = {"none": ("noindex", "nofollow")}
"""`none` is short for these (Google's description of X-Robots-Tag)."""

VALUED: Final = frozenset(("max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"))
"""Directives that are followed by a colon themselves; before any other colon stands the crawler that is meant."""

REUSE_HEADERS: Final = frozenset(("tdm-policy", "tdm-reservation", "x-robots-tag"))
"""Kept whole, each line of one name by itself: a crawler that is named counts to the end of its line."""

TDM_RESERVATION: Final = "text and data mining is reserved"


def header_lines(kept: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines of each of `REUSE_HEADERS` that was kept."""
    return {name: kept[name].split("\n") for name in sorted(REUSE_HEADERS & kept.keys())}


def robots_directives(value: str) -> Iterable[tuple[str | None, str]]:
    """(crawler or None for all, directive), lower case, of one X-Robots-Tag value; a crawler counts until the next."""
    crawler: str | None = None
    for part in value.lower().split(","):
        name, colon, rest = (text.strip() for text in part.partition(":"))
        if colon and name not in VALUED:
            crawler, name = name, rest.partition(":")[0].strip()
        for directive in (name, *IMPLIED.get(name, ())):
            if directive:
                yield crawler, directive


def robots_tag(value: str, directives: Collection[str], crawlers: Collection[str]) -> str | None:
    """The first of some directives in an X-Robots-Tag value that is for everybody or for one of some crawlers."""
    found = (
        directive
        for crawler, directive in robots_directives(value)
        if directive in directives and (crawler is None or crawler in crawlers)
    )
    return next(found, None)


def reserved_by_header(value: str) -> bool:
    """Whether a TDM-Reservation header reserves the rights to text and data mining."""
    return value.strip() == "1"
