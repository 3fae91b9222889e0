"""Datasets of the Hugging Face Hub: the Parquet files of a split, their parts, the rows of one part."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, cast
from uuid import uuid4

from tasks.ingest.hub import (
    HubAccess,
    HubFile,
    HubStream,
    MissingRevisionError,
    find_file,
    list_files,
    read_text,
    resolve_commit,
)
from tasks.ingest.rows import PartConfig, SourceRow
from tasks.ingest.table import byte_ranges, columns_of, groups_of, open_parquet, read_rows, row_parts
from tasks.schema.errors import SourceError
from tasks.schema.sources import PhotoPlace, SourceListing, SourcePart

SCHEME = "hf://datasets/"
CONVERTED = "refs/convert/parquet"
"""The branch where the hub keeps a Parquet copy of what `main` holds in another form."""

FOOTERS_AT_ONCE = 8


def list_hub(source: PhotoPlace, access: HubAccess, part_rows: int) -> SourceListing:
    """The parts of a dataset's split; reads the listing, the card, and the footer of each Parquet file.

    The location is `owner/name`, or `owner/name:config` for a dataset of several configurations. Of a dataset in
    another form the hub's own Parquet copy is read; where that copy is cut short, the listing is not complete.

    Raises:
        SourceError: the hub refuses or is out of reach; no such dataset, revision, configuration or split; not Parquet;
            the mapping does not fit.
    """
    dataset, _, config = source.location.partition(":")
    commit = resolve_commit(dataset, source.revision, access)
    complete = True
    files = split_files(list_files(dataset, commit, access), config, source.split, access)
    if files is None:
        commit, files, complete = _converted(source, dataset, config, access)
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        footers = list(pool.map(lambda file: _footer(file, source, access), files))
    parts = [
        SourcePart(uri=f"{SCHEME}{dataset}/{file.path}", digest=file.digest, first_row=first, rows=rows)
        for file, (_, group_rows) in zip(files, footers, strict=True)
        for first, rows in row_parts(group_rows, part_rows)
    ]
    return SourceListing(revision=commit, parts=tuple(parts), columns=footers[0][0], complete=complete)


def hub_part(config: PartConfig, location: str, revision: str, access: HubAccess) -> Iterator[SourceRow]:
    """The rows of one part; reads little more than the mapped columns of its row groups.

    Raises:
        SourceError: as `list_hub`, or the file at this revision is not the one that was listed.
    """
    part = config.part
    dataset = location.partition(":")[0]
    path = part.uri.removeprefix(f"{SCHEME}{dataset}/")
    file = find_file(dataset, revision, path, access)
    if file.digest != part.digest:
        raise SourceError(f"{path} of {dataset} is another file at revision {revision!r}. List the source again.")
    where = f"{dataset}/{path}"
    stream = HubStream(file, access)
    with open_parquet(cast(Any, stream), where) as parquet:
        columns = columns_of(parquet.schema_arrow, config.columns, where)
        groups = groups_of(parquet.metadata, part.first_row, part.rows)
        stream.expect(byte_ranges(parquet.metadata, groups, {column.name for column in columns.values()}))
        address = f"{SCHEME}{dataset}@{part.digest}/{path}"
        yield from read_rows(
            parquet,
            config.columns,
            part.first_row,
            part.rows,
            uri_of=lambda row: f"{address}#row={row}",
            locator_of=lambda row: f"{path}#{row}",
            where=where,
        )


def _footer(file: HubFile, source: PhotoPlace, access: HubAccess) -> tuple[tuple[str, ...], list[int]]:
    """Column names and rows of each row group."""
    where = f"{file.dataset}/{file.path}"
    with open_parquet(cast(Any, HubStream(file, access)), where) as parquet:
        columns_of(parquet.schema_arrow, source.columns, where)
        metadata = parquet.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return tuple(parquet.schema_arrow.names), rows


def split_files(files: list[HubFile], config: str, split: str, access: HubAccess) -> list[HubFile] | None:
    """The Parquet files of a split, in the order in which `datasets` reads them; None if the dataset is not Parquet.

    `datasets` itself says which files those are: from the card's `configs`, else from the names of the files.

    Raises:
        SourceError: no such configuration or split, or several configurations and none was named.
    """
    from datasets.data_files import EmptyDatasetError, get_data_patterns, sanitize_patterns

    tables = {file.path: file for file in files if file.path.endswith(".parquet")}
    if not tables:
        return None
    declared = _declared(files, config, access)
    with _mirrored(list(tables), str(declared.get("data_dir", ""))) as root:
        try:
            patterns = (
                sanitize_patterns(declared["data_files"]) if "data_files" in declared else get_data_patterns(root)
            )
        except (EmptyDatasetError, ValueError) as error:
            raise SourceError(f"{files[0].dataset}: {error}") from error
        if split not in patterns:
            raise SourceError(f"{files[0].dataset} has no split {split!r}; it has: {', '.join(patterns)}.")
        return [tables[path] for path in _matching(root, patterns[split], files[0].dataset)] or None


def _declared(files: list[HubFile], config: str, access: HubAccess) -> dict[str, Any]:
    """What the dataset's card says about the configuration; empty where it says nothing."""
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    dataset = files[0].dataset
    card = next((file for file in files if file.path == "README.md"), None)
    try:
        text = read_text(card, access) if card else ""
        configs = MetadataConfigs.from_dataset_card_data(DatasetCard(text).data if text.startswith("---") else {})
        name = config or configs.get_default_config_name() or ""
    except ValueError as error:
        raise SourceError(f"The card of {dataset} does not say clearly which files it has: {error}") from error
    if name in configs:
        return dict(configs[name])
    if not configs and not config:
        return {}
    told = ", ".join(configs) or "none"
    raise SourceError(
        f"Name a configuration of {dataset}, as in {dataset}:{next(iter(configs), 'name')}; it has: {told}."
    )


@contextmanager
def _mirrored(paths: list[str], folder: str) -> Iterator[str]:
    """An in-memory tree of empty files, so that `datasets` can match its patterns without asking the hub for each."""
    import fsspec  # type: ignore[import-untyped]

    memory = fsspec.filesystem("memory")
    root = f"/{uuid4().hex}"
    try:
        for path in paths:
            memory.pipe_file(f"{root}/{path}", b"")
        yield f"memory:/{PurePosixPath('/', root, folder)}"
    finally:
        memory.rm(root, recursive=True)


def _matching(root: str, patterns: list[str], dataset: str) -> list[str]:
    from datasets.data_files import resolve_pattern

    found: dict[str, None] = {}
    for pattern in patterns:
        if "://" in pattern:
            raise SourceError(f"The card of {dataset} points at files outside it ({pattern}), which are not read.")
        try:
            matched = resolve_pattern(pattern, root, allowed_extensions=[".parquet"])
        except FileNotFoundError:
            continue
        found.update(dict.fromkeys(path.removeprefix("memory://").split("/", 2)[2] for path in matched))
    return list(found)


def _converted(source: PhotoPlace, dataset: str, config: str, access: HubAccess) -> tuple[str, list[HubFile], bool]:
    """Commit and files of the hub's Parquet copy of a split, and whether it is whole."""
    told = f"{dataset} holds no Parquet for split {source.split!r} at revision {source.revision!r}"
    if source.revision != "main":
        raise SourceError(f"{told}, and the hub converts `main` only: choose another revision.")
    try:
        commit = resolve_commit(dataset, CONVERTED, access)
    except MissingRevisionError as error:
        raise SourceError(f"{told}, and the hub has no Parquet copy of it: fetch it and use it as a folder.") from error
    files = [file for file in list_files(dataset, commit, access) if file.path.count("/") == 2]
    configs = list(dict.fromkeys(file.path.split("/")[0] for file in files))
    name = config or (configs[0] if len(configs) == 1 else "default")
    for folder, complete in ((source.split, True), (f"partial-{source.split}", False)):
        found = [file for file in files if file.path.rsplit("/", 1)[0] == f"{name}/{folder}"]
        if found:
            return commit, found, complete
    have = ", ".join(dict.fromkeys(file.path.rsplit("/", 1)[0] for file in files)) or "nothing"
    raise SourceError(f"{told}; its Parquet copy has (configuration/split): {have}.")
