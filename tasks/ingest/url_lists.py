"""URL lists: what a list offers, in parts, and the stage that turns one part into a shard."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa

from tasks.ingest.hub import HubAccess
from tasks.ingest.url_entries import Rows
from tasks.ingest.url_files import lists_folder, open_lists
from tasks.ingest.url_layouts import SUFFIXES, format_of
from tasks.ingest.url_parts import Counts, FoundFile, Slice, shown_number, slices_of, with_repeats, word
from tasks.ingest.url_read import known, recognised
from tasks.ingest.url_repeats import Repeats, decode_repeats
from tasks.schema.errors import ConfigError, SourceError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.url_sources import UrlLayout, UrlListing, UrlPart, UrlSource
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

SCHEME = "urls://"

ID_CHARACTERS = 24
"""96 bits of the sha256: two of 400 million different rows share an id with probability 1e-12."""


def list_urls(
    source: UrlSource, access: HubAccess, store: Store, part_rows: int, threads: int | None = None
) -> UrlListing:
    """What a list offers now, in parts of `part_rows` lines or rows; every byte is read once.

    Memory holds some blocks of 2 MiB, and for each part and each run of repeated rows a short text. What is fetched or
    unpacked goes to `lists` in the store's folder, hashes of long lists to unnamed files there.

    Args:
        threads: blocks looked at side by side; None: one for each processor, at most four.
    Raises:
        SourceError: the list is not there, refuses us, holds no row, or is not written as it should be.
    """
    if part_rows < 1:
        raise ConfigError(f"A part has at least one row, not {part_rows}.")
    revision, found = open_lists(source, access, store)
    workers = threads or min(4, os.cpu_count() or 1)
    files: list[FoundFile] = []
    slices: list[Slice] = []
    counts = Counts()
    with (
        Repeats(lists_folder(store)) as repeats,
        ThreadPoolExecutor(workers) as pool,
    ):
        for each in found:
            kind = format_of(each.written_as, source.format)
            if kind is None:
                raise SourceError(
                    f"{each.written_as} does not say how it is written; names that do end with {' '.join(SUFFIXES)}, "
                    "each also with .gz. Set `format` of the source."
                )
            with recognised(each.path, kind, source.columns, each.shown) as opened:
                uri = f"{SCHEME}{source.name}" + (f"/{each.name}" if each.name else "")
                file = FoundFile(uri, each.name, each.path, opened.layout, counts.rows)
                read = slices_of(
                    len(files), file, opened, part_rows, source.most_rows, repeats, counts, pool, ahead=2 * workers
                )
                slices.extend(read)
                files.append(file)
            if not counts.complete:
                break
        parts = tuple(with_repeats(files, slices, repeats, counts.rows))
    if not counts.rows:
        raise SourceError(f"Source {source.name}: {source.location} holds no row.")
    return UrlListing(
        revision=revision,
        parts=parts,
        files={file.uri: str(file.path) for file in files},
        rows=counts.rows,
        malformed=counts.malformed,
        repeated=repeats.count,
        complete=counts.complete,
    )


class UrlsConfig(Frozen):
    """All that decides the rows of one part; no limit, revision or place, so that equal rows are found again."""

    source: str
    licence: str
    uri: str
    layout: UrlLayout
    digest: str
    first_row: int
    rows: int
    first_idx: int
    repeats: str
    repeats_of: tuple[str, ...]


@dataclass(frozen=True)
class IngestUrls(Stage):
    """The URLs of one part of a list.

    `config` says which rows; `path`, `first_byte` and `size` say where they lie now and are no part of the key.
    """

    config: UrlsConfig
    path: str
    first_byte: int = 0
    size: int = 0

    name: ClassVar[str] = "urls"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, source: UrlSource, listing: UrlListing, part: UrlPart) -> "IngestUrls":
        """The stage for one part of a listing."""
        decides = part.model_dump(exclude={"layout", "first_byte", "size"})
        config = UrlsConfig(source=source.name, licence=source.licence, layout=part.layout, **decides)
        return cls(config, listing.files[part.uri], part.first_byte, part.size)

    @property
    def schema(self) -> pa.Schema:
        return URL_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:  # noqa: ARG002 - a source has none
        """The rows, those that are wrong or repeats rejected.

        Raises:
            SourceError: the list is gone, or has changed since it was listed.
        """
        config = self.config
        part = UrlPart(**config.model_dump(exclude={"source", "licence"}), first_byte=self.first_byte, size=self.size)
        repeats = decode_repeats(config.repeats)
        done = blank = 0
        with known(Path(self.path), config.layout, self.path) as opened:
            if opened.digest(part) != config.digest:
                raise self._changed()
            for block in opened.part(part):
                rows = block.read().rows
                yield self._output(rows, done, repeats)
                done, blank = done + rows.count, blank + rows.blank
        if done != config.rows:
            raise self._changed()
        yield StageOutput(pa.Table.from_batches([], URL_SCHEMA), facts={"blank_lines": blank})

    def _changed(self) -> SourceError:
        return SourceError(f"{self.path} has changed since it was listed. List the source again.")

    def _output(self, rows: Rows, done: int, repeats: dict[int, tuple[int, int]]) -> StageOutput:
        """Rows that begin at row `done` of the part."""
        config = self.config
        entries = rows.entries.with_columns(pl.col("row") + done)
        repeated = entries["row"].is_in(list(repeats)) if repeats else pl.repeat(False, len(entries), eager=True)
        rejected = {
            row + done: Rejection(
                self._place(row + done),
                Reason.URL_MALFORMED,
                f"{word(config.layout).capitalize()} {self._number(row + done)}: {problem.why}: '{problem.begins}'",
                problem.score,
                self._uri(row + done),
            )
            for row, problem in rows.malformed.items()
        }
        for row, _, label, url in entries.filter(repeated).iter_rows():
            file, number = repeats[row]
            of = config.repeats_of[file - 1] if file else f"{word(config.layout)} "
            same = dumps({"sample_id": sample_id(config.source, label, url)})
            detail = f"The same label and URL as {of}{number}."
            rejected[row] = Rejection(
                self._place(row), Reason.DUPLICATE_EXACT, detail, None, self._uri(row), evidence=same
            )
        kept = entries.filter(~repeated).with_columns(
            pl.col("idx").fill_null((pl.col("row") + config.first_idx).cast(pl.String))
        )
        ids = [sample_id(config.source, label, url) for _, _, label, url in kept.iter_rows()]
        table = kept.select(
            pl.Series("sample_id", ids, pl.String),
            pl.lit(None, pl.String).alias("parent_id"),
            pl.col("url").alias("source_uri"),
            pl.lit(config.licence).alias("licence"),
            *("idx", "label", "url"),
        )
        return StageOutput(table.to_arrow().cast(URL_SCHEMA), tuple(rejected[row] for row in sorted(rejected)))

    def _number(self, row: int) -> int:
        return shown_number(self.config.layout, self.config.first_row + row)

    def _place(self, row: int) -> str:
        """The id of a row that is none, `<name>/line-<n>`: it is known by its place alone."""
        below = self.config.uri.removeprefix(f"{SCHEME}{self.config.source}").lstrip("/")
        return f"{self.config.source}/{f'{below}:' if below else ''}{word(self.config.layout)}-{self._number(row)}"

    def _uri(self, row: int) -> str:
        return f"{self.config.uri}#{word(self.config.layout)}={self._number(row)}"


def sample_id(source: str, label: str, url: str) -> str:
    """The id of a URL: the same wherever in the list it stands, whatever its index. No label or URL holds a NUL."""
    said = f"{label}\0{url}".encode()
    return f"{source}/{sha256(said).hexdigest()[:ID_CHARACTERS]}"
