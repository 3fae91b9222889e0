"""What a server says about the reuse of what it sends, and whether that lets us keep it.

The rules of `X-Robots-Tag` (noai and kin, per crawler) and of the W3C TDM Reservation Protocol are written out here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tasks.schema.records import Frozen

DIRECTIVES: Final = ("noai", "noimageai", "noimageindex", "noindex")
"""The defaults of img2dataset 1.47."""

IMPLIED: Final = {"none": ("noindex", "nofollow")}
"""`none` is short for these (Google's description of X-Robots-Tag)."""

VALUED: Final = frozenset(("max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"))
"""Directives that are followed by a colon themselves; before any other colon stands the crawler that is meant."""


class ReusePolicy(Frozen):
    """Which opt-outs are respected: by default all.

    `directives` of X-Robots-Tag count when they are for everybody or for one of the crawlers in `crawlers` (lower
    case). `tdm_reservation`: respect `tdm-reservation: 1`.
    """

    directives: tuple[str, ...] = DIRECTIVES
    crawlers: tuple[str, ...] = ("mannequinbot", "img2dataset", "*")
    tdm_reservation: bool = True


@dataclass(frozen=True)
class OptOut:
    """A header that says no: its name in lower case, the value as sent, and the rule that it met."""

    header: str
    value: str
    rule: str

    @property
    def detail(self) -> str:
        return f"The server opts out: {self.header}: {self.value[:200]} ({self.rule})."

    def evidence(self) -> dict[str, str]:
        return {"opt_out": json.dumps({"header": self.header, "value": self.value, "rule": self.rule})}


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


def opt_out(headers: Mapping[str, Sequence[str]], policy: ReusePolicy) -> OptOut | None:
    """The first header that the policy respects; None: nothing speaks against keeping the picture.

    Args:
        headers: lower-case name -> the values of each line.
    """
    for value in headers.get("x-robots-tag", ()):
        for crawler, directive in robots_directives(value):
            if directive in policy.directives and (crawler is None or crawler in policy.crawlers):
                return OptOut("x-robots-tag", value, directive)
    if policy.tdm_reservation:
        for value in headers.get("tdm-reservation", ()):
            if value.strip() == "1":
                return OptOut("tdm-reservation", value, "text and data mining is reserved")
    return None
