"""`/.well-known/tdmrep.json` of the W3C TDM Reservation Protocol: which paths of a site are reserved."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tasks.download.site_paths import matches, pattern_of

WELL_KNOWN: Final = "/.well-known/tdmrep.json"


@dataclass(frozen=True)
class Reservations:
    """The patterns (of `pattern_of`) under which text and data mining is reserved."""

    patterns: tuple[str, ...] = ()

    def rule_for(self, path: str) -> str | None:
        """A pattern that reserves a path (of `path_of`); None: none does.

        Where several rules cover a path, one that reserves it is enough.
        """
        return next((pattern for pattern in self.patterns if matches(pattern, path)), None)


def parse_tdmrep(data: bytes) -> Reservations:
    """The reservations of a file; of anything that is not one, none."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return Reservations()
    rules = said if isinstance(said, list) else [said]
    return Reservations(tuple(pattern_of(rule["location"]) for rule in rules if _reserves(rule)))


def _reserves(rule: Any) -> bool:
    if not isinstance(rule, dict) or not isinstance(rule.get("location"), str):
        return False
    value = rule.get("tdm-reservation")
    return str(value).strip() == "1" and not isinstance(value, bool)
