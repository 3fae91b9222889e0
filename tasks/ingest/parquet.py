"""Local Parquet files of Hugging Face's shape."""

from collections.abc import Iterator
from glob import has_magic
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq
from blake3 import blake3

from tasks.ingest.rows import IngestConfig, SourceRow
from tasks.ingest.table import byte_ranges, columns_of, groups_of, open_parquet, read_rows, row_parts
from tasks.schema.errors import SourceError
from tasks.schema.sources import PhotoSource, SourceListing, SourcePart

SCHEME = "parquet://"
READ_BYTES = 1 << 20


def list_parquet(source: PhotoSource, part_rows: int) -> SourceListing:
    """The parts of all files that the location names, files by name; every byte is hashed once.

    Raises:
        SourceError: nothing is there, a file is no Parquet, or the mapping does not fit.
    """
    files = parquet_files(source.location)
    columns: tuple[str, ...] = ()
    parts: list[SourcePart] = []
    for name, path in files.items():
        with path.open("rb") as stream, open_parquet(stream, str(path)) as file:
            columns_of(file.schema_arrow, source.columns, str(path))
            columns = columns or tuple(file.schema_arrow.names)
            metadata = file.metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            for first_row, rows in row_parts(sizes, part_rows):
                digest = rows_digest(stream, metadata, first_row, rows)
                uri = f"{SCHEME}{source.name}/{name}"
                parts.append(SourcePart(uri=uri, digest=digest, first_row=first_row, rows=rows))
    return SourceListing(revision="", parts=tuple(parts), columns=columns)


def parquet_part(config: IngestConfig, location: str) -> Iterator[SourceRow]:
    """The rows of one part.

    Raises:
        SourceError: the file is gone, damaged, or not the one that was listed.
    """
    part = config.part
    name = part.uri.removeprefix(f"{SCHEME}{config.source}/")
    path = parquet_files(location).get(name)
    if path is None:
        raise SourceError(f"Source {config.source}: {name} is not at {location} any more. List the source again.")
    with path.open("rb") as stream, open_parquet(stream, str(path)) as file:
        if rows_digest(stream, file.metadata, part.first_row, part.rows) != part.digest:
            raise SourceError(f"{path} has changed since it was listed. List the source again.")
        yield from read_rows(
            file,
            config.columns,
            part.first_row,
            part.rows,
            uri_of=lambda row: f"{part.uri}#row={row}",
            locator_of=lambda row: f"{name}#{row}",
            where=str(path),
        )


def parquet_files(location: str) -> dict[str, Path]:
    """Name below the folder before the first wildcard -> file, ordered by name.

    Raises:
        SourceError: the location is not absolute, or names no file.
    """
    if not Path(location).is_absolute():
        raise SourceError(f"{location!r} is not absolute: flows run in folders of their own. Give the whole path.")
    whole = Path(location)
    if whole.is_file():
        return {whole.name: whole}
    root = whole.parent
    while has_magic(str(root)):
        root = root.parent
    found = {path.relative_to(root).as_posix(): path for path in root.glob(str(whole.relative_to(root)))}
    files = {name: path for name, path in found.items() if path.is_file() and not path.name.startswith(".")}
    if not files:
        raise SourceError(f"No Parquet file at {location}. Is it mounted on this machine?")
    return dict(sorted(files.items()))


def rows_digest(stream: IO[bytes], metadata: pq.FileMetaData, first_row: int, rows: int) -> str:
    """BLAKE3 over the footer and the row groups that hold the rows: equal digests, equal rows."""
    end = stream.seek(0, 2)
    digest = blake3()
    footer = end - 8 - metadata.serialized_size
    for start, stop in [(footer, end), *byte_ranges(metadata, groups_of(metadata, first_row, rows))]:
        stream.seek(start)
        left = stop - start
        while left > 0 and (block := stream.read(min(left, READ_BYTES))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
