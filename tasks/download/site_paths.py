"""Paths of URLs beside patterns of robots.txt and tdmrep.json: `*` for anything, `$` for the end (RFC 9309, 2.2.3)."""

import re
from typing import Final
from urllib.parse import SplitResult

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_RESERVED: Final = frozenset(b":/?#[]@!&'()+,;=")
_SPECIAL: Final = frozenset(b"*$")
_ONE = re.compile(rb"%[0-9A-Fa-f]{2}|.", re.DOTALL)


def path_of(place: SplitResult) -> str:
    """Path and query of a URL as patterns are compared with them; its own `*` and `$` are encoded."""
    return _normal(f"{place.path or '/'}?{place.query}" if place.query else place.path or "/", special=False)


def pattern_of(text: str) -> str:
    """A pattern as it was written, in the same form; `*` and `$` keep their meaning."""
    return _normal(text, special=True)


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern (of `pattern_of`) covers a path (of `path_of`); time grows with their lengths, not faster."""
    anchored = pattern.endswith("$")
    first, *more = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not more:
        return not anchored or path == first
    *middle, last = more
    at = len(first)
    for part in middle:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if anchored:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0


def _normal(text: str, *, special: bool) -> str:
    """Percent-encoding in one form: none where none is needed, capital letters where it is."""
    plain = _UNRESERVED | _RESERVED | (_SPECIAL if special else frozenset())

    def one(found: re.Match[bytes]) -> bytes:
        octets = found.group()
        if len(octets) == 3:
            value = int(octets[1:], 16)
            return bytes((value,)) if value in _UNRESERVED else octets.upper()
        return octets if octets[0] in plain else b"%%%02X" % octets[0]

    return _ONE.sub(one, text.encode("utf-8", "surrogatepass")).decode("ascii")
