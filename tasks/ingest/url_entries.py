"""One row of a URL list: what a good one is, and what is wrong with the others.

`entry` decides. `surely_good` is a sieve over many rows at once: what it lets pass, `entry` would keep as it is; what
it holds back, `entry` looks at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import polars as pl

FIELD_BYTES = 8192
"""The longest index, label or URL. Servers and browsers refuse longer request lines from about here."""

STRIPPED = " \t\r\n"
"""What is taken off both ends of every field."""

SHOWN_CHARACTERS = 120

_HOST = r"^https?://[a-zA-Z0-9][a-zA-Z0-9.-]*"
_BEGINS_WELL = _HOST + r"(?:[/?#]|$)"
_PLAIN_URL = _HOST + r"(?:[/?#][!-~]*)?$"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SPACE = re.compile(r"\s")

ENTRY_SCHEMA = pl.Schema({"row": pl.Int64, "idx": pl.String, "label": pl.String, "url": pl.String})


@dataclass(frozen=True, slots=True)
class Entry:
    """A good row; `idx` is None where the list gives none."""

    idx: str | None
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is wrong with a row, as half a sentence, how it begins, and the measured value that decided."""

    why: str
    begins: str = ""
    score: float | None = None


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a list: `entries` (`ENTRY_SCHEMA`) by ascending row, counted from the first of these rows.

    Rows that are in neither `entries` nor `malformed` are blank lines.
    """

    count: int
    entries: pl.DataFrame
    malformed: dict[int, Malformed] = field(default_factory=dict)

    @property
    def blank(self) -> int:
        return self.count - len(self.entries) - len(self.malformed)

    def until(self, count: int) -> "Rows":
        """The first rows alone."""
        if count >= self.count:
            return self
        malformed = {row: problem for row, problem in self.malformed.items() if row < count}
        return Rows(count, self.entries.filter(pl.col("row") < count), malformed)


def entry(idx: str | None, label: str | None, url: str | None) -> Entry | Malformed:
    """A row from its three fields, stripped; what else they hold stays as the list says it."""
    fields = {"index": idx, "label": label, "URL": url}
    told = {name: (value or "").strip(STRIPPED) for name, value in fields.items()}
    for name, value in told.items():
        if (problem := _text_problem(name, value)) is not None:
            return problem
    problem = url_problem(told["URL"])
    return problem or Entry(told["index"] or None, told["label"], told["URL"])


def url_problem(url: str) -> Malformed | None:
    """Why an address without control characters is none that pictures can be fetched from."""
    if not url:
        return Malformed("there is no URL")
    if _SPACE.search(url):
        return Malformed("the URL holds a space")
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return Malformed("the URL is neither http nor https")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return Malformed("the host or port of the URL cannot be read")
    if "\\" in parts.netloc:
        return Malformed("the host of the URL holds a backslash")
    return None if host.strip(".") else Malformed("the URL has no host")


def _text_problem(name: str, value: str) -> Malformed | None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return Malformed(f"the {name} holds half a character")
    if size > FIELD_BYTES:
        return Malformed(f"the {name} has {size:,} bytes, more than {FIELD_BYTES:,}", score=float(size))
    if (control := _CONTROL.search(value)) is not None:
        return Malformed(f"the {name} holds the control character U+{ord(control.group()):04X}")
    return None


def begins(raw: bytes | str) -> str:
    """The first characters of a row, so that a person can find it and no terminal suffers."""
    text = raw[: 4 * SHOWN_CHARACTERS]
    text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: SHOWN_CHARACTERS + 1])
    return f"{shown[:SHOWN_CHARACTERS]}..." if len(shown) > SHOWN_CHARACTERS else shown


def surely_good() -> pl.Expr:
    """True for rows of `ENTRY_SCHEMA` that `entry` would keep as they are; null or False for those it has to see."""
    short = pl.all_horizontal(pl.col(name).str.len_bytes() <= FIELD_BYTES for name in ("label", "url"))
    index = pl.col("idx").is_null() | _harmless(pl.col("idx")) & (pl.col("idx").str.len_bytes() <= FIELD_BYTES)
    return pl.col("url").str.contains(_PLAIN_URL) & _harmless(pl.col("label")) & short & index


def surely_good_if_printable() -> pl.Expr:
    """As `surely_good` for rows that are known to be short printable ASCII, without a space in the URL."""
    return pl.col("url").str.contains(_BEGINS_WELL)


def _harmless(column: pl.Expr) -> pl.Expr:
    return ~column.str.contains(r"\p{Cc}")


def stripped(frame: pl.DataFrame) -> pl.DataFrame:
    """The fields without what surrounds them; an empty index is none."""
    bare = [pl.col(name).str.strip_chars(STRIPPED) for name in ("idx", "label", "url")]
    return frame.with_columns(bare).with_columns(pl.col("idx").replace("", None))


def merged(
    sure: pl.DataFrame, looked_at: Iterable[tuple[int, Entry | Malformed | None]]
) -> tuple[pl.DataFrame, dict[int, Malformed]]:
    """The good rows of the sieve and of those looked at, in order, and the malformed ones."""
    found: list[tuple[int, str | None, str, str]] = []
    malformed: dict[int, Malformed] = {}
    for row, seen in looked_at:
        if isinstance(seen, Entry):
            found.append((row, seen.idx, seen.label, seen.url))
        elif seen is not None:
            malformed[row] = seen
    if found:
        sure = pl.concat([sure, pl.DataFrame(found, schema=ENTRY_SCHEMA, orient="row")]).sort("row")
    return sure, malformed


def no_entries() -> pl.DataFrame:
    """Entries without a row."""
    return pl.DataFrame(schema=ENTRY_SCHEMA)
