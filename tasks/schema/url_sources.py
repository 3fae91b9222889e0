"""Where lists of URLs come from, as a person writes it down, and what such a list offers."""

from enum import StrEnum

from pydantic import Field

from tasks.schema.forms import Form


class UrlFormat(StrEnum):
    """How a list is written. All but Parquet may be gzipped."""

    AUTO = "auto"
    LST = "lst"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class UrlColumns(Form):
    """Columns of a CSV, TSV, JSONL or Parquet list, whatever their case.

    A list without the column `idx` gets running numbers, one without `label` no labels; a column of another name has to
    be there.
    """

    url: str = Field("url", title="URL", min_length=1)
    idx: str = Field("idx", title="Index", description="Empty: running numbers.")
    label: str = Field("label", title="Label", description="Empty: no labels.")


class UrlSource(Form):
    """A list of URLs, in one file or several."""

    name: str = Field(title="Name", pattern=r"^[a-z][a-z0-9_-]{0,39}$", description="Short name; part of sample ids.")
    location: str = Field(
        title="Location",
        min_length=1,
        description="Absolute file, folder or glob; https address; hf://datasets/owner/name/path (or a glob there).",
    )
    revision: str = Field("main", title="Revision", description="Hub only: branch, tag or commit.")
    format: UrlFormat = Field(UrlFormat.AUTO, title="Format", description="auto: by the names of the files.")
    columns: UrlColumns = Field(default_factory=UrlColumns, title="Columns")
    licence: str = Field("unknown", title="Licence", description="Terms of the pictures, carried with every row.")
    limit: int = Field(0, title="Limit", ge=0, description="Rows to read, from the first; 0: all.")
    debug: bool = Field(False, title="Debug", description="Read a small subset only.")
    debug_rows: int = Field(1000, title="Debug rows", ge=1, description="Rows of that subset, from the first.")
    max_gigabytes: float = Field(
        200.0, title="Most gigabytes", gt=0, description="Of a list that is fetched or unpacked, in bytes as unpacked."
    )

    @property
    def most_rows(self) -> int | None:
        """Rows to read; None: all."""
        asked = [rows for rows in (self.limit, self.debug_rows if self.debug else 0) if rows]
        return min(asked, default=None)

    @property
    def most_bytes(self) -> int:
        """Bytes that a list may have which is fetched or unpacked."""
        return int(self.max_gigabytes * 1e9)


class UrlLayout(Form):
    """How the rows of one file are written.

    Columns are positions from 0 in CSV and TSV, names in JSONL and Parquet, and nothing in `lst`, where the first field
    is the index, the last the URL, and the label lies between. None: there is no such column.

    `width` is the number of fields of a CSV or TSV line; `header_lines` are lines in front of the first row.
    """

    format: UrlFormat
    url: int | str | None = None
    idx: int | str | None = None
    label: int | str | None = None
    width: int = 0
    header_lines: int = 0


class UrlPart(Form):
    """A slice of a list that becomes one shard: rows [first_row, first_row + rows) of one file, blank lines included.

    `digest` is the BLAKE3 of what the rows say, not of the file around them: a list that grows at its end keeps its
    parts, but for a last one that was not full. `first_idx` is the running number of the first row where a row has no
    index of its own, else 0. `repeats` names the rows that say again what an earlier row said (see
    `tasks.ingest.url_repeats`), `repeats_of` the files of those. `first_byte` and `size` say where the rows lie now
    (0, 0 in Parquet) and decide nothing.
    """

    uri: str
    layout: UrlLayout
    digest: str
    first_row: int
    rows: int
    first_idx: int = 0
    repeats: str = ""
    repeats_of: tuple[str, ...] = ()
    first_byte: int = 0
    size: int = 0


class UrlListing(Form):
    """What a list offers now, in order.

    `files`: uri -> the local file that holds it. `rows` counts all of them, blank lines included, `malformed` those
    that hold no usable URL, `repeated` those that an earlier row said already. `complete` is False where a limit cut.
    """

    revision: str
    parts: tuple[UrlPart, ...]
    files: dict[str, str]
    rows: int
    malformed: int
    repeated: int
    complete: bool = True
