"""What a query means: an id or its beginning, a file, a folder, a row of the database, a number, an address."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import file_digest as hashed
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.exports.m2p_join import folder_name
from tasks.lineage.descend import descend
from tasks.lineage.exports import ExportFolder, folder_around, numbered, words_of
from tasks.lineage.scan import Look, equals, exactly, scan
from tasks.lineage.unknown import is_there, why_unknown
from tasks.schema.columns import IMAGE
from tasks.schema.errors import MannequinError
from tasks.schema.ids import template_id
from tasks.schema.records import ShardRecord
from tasks.shards.files import file_digest
from tasks.shards.store import Store
from tasks.video.digest import film_digest

LISTED = 20
"""Samples that are named where a query means several."""

_MOST = 100_000
"""Ids that are held while it is found out which of them a beginning means."""

_TEMPLATE = re.compile(r"pt_[0-9a-f]{24}")
_TEMPLATE_STAGES = ("combine", "select", "describe")
"""Stages whose rows become templates, the last first."""

_CLIPS_STAGE = "split"
"""The stage whose rows become folders of clips."""

_ID_CHARACTERS = 20
"""Hex digits of a photo's sha256 in its id. Source: `tasks.ingest.rows`."""

_DIGESTS = ("sha256", "digest", "clip_digest", "sound_digest", "gt_digest", "lr5_digest", "lr7_digest")
"""Columns with the sha256 or BLAKE3 of a file's bytes."""

_WHOLE_FILM_BYTES = 1 << 30
"""Up to here the digest of a film is that of all its bytes. Source: `tasks.video.digest`."""

_BEGINNING = "the beginning of a sample id"
_FORGOTTEN = "forgotten-"
"""Begins the names of what was forgotten. Source: `tasks.shards.tombstones`."""
_ABOVE = "\U0010ffff"


class SampleNotFoundError(MannequinError):
    """The store knows nothing of what was asked for."""


@dataclass(frozen=True)
class Meant:
    """The samples that a query means, and how it was understood; `more` beyond those that are listed.

    `near`: the only outputs that can hold rows of a single sample and of its kin; None: any. `export`:
    the folder of the export that a file lies in.
    """

    how: str
    sample_ids: tuple[str, ...]
    more: int = 0
    notes: tuple[str, ...] = ()
    near: tuple[ShardRecord, ...] | None = None
    export: Path | None = None


def find_samples(store: Store, records: Sequence[ShardRecord], query: str) -> Meant:
    """The samples that a query means.

    Raises:
        SampleNotFoundError: there are none; the message says what was looked for.
    """
    query = query.strip()
    if not query or not query.isprintable():
        raise SampleNotFoundError("Give a sample id, its beginning, a file of an export, a database id or an address.")
    path = Path(query)
    tried: list[Callable[[], Meant | None]] = []
    if is_there(path):
        tried.append(lambda: _by_path(store, records, path.resolve()))
    if _TEMPLATE.fullmatch(query):
        tried.append(lambda: _meant("the id of a pose template", _by_name(store, _templates(records), {query})))
    if not tried or not path.is_file():
        by_id, by_uri = partial(_by_id, store, records, query), partial(_by_uri, store, records, query)
        first, last = (by_uri, by_id) if "://" in query else (by_id, by_uri)
        tried += [first, lambda: _meant("a number of an export", numbered(store, query)), last]
    for attempt in tried:
        found = attempt()
        if found is not None:
            return found
    raise SampleNotFoundError(why_unknown(store, records, query))


def _meant(how: str, found: Iterable[str], notes: tuple[str, ...] = ()) -> Meant | None:
    ids = sorted(set(found))
    return Meant(how, tuple(ids[:LISTED]), max(0, len(ids) - LISTED), notes) if ids else None


def _by_id(store: Store, records: Sequence[ShardRecord], query: str) -> Meant | None:
    """One look finds the ids that begin so, and every file in which they, their parents or children can stand."""
    ids: set[str] = set()
    near: set[tuple[str, str]] = set()
    look = _beginning(query)
    # what was forgotten stands under another name than in the stages before
    rows = scan(store, records, look) if query.startswith(_FORGOTTEN) else descend(store, records, look)
    for found in rows:
        near.add((found.record.stage, found.record.key))
        for sample_id, parent in zip(found.column("sample_id"), found.column("parent_id"), strict=True):
            # a row whose parent begins so too is meant through its parent
            if sample_id == query or (sample_id.startswith(query) and not (parent or "").startswith(query)):
                ids.add(sample_id)
        if len(ids) > _MOST:
            note = f"More than {_MOST:,} ids begin so; not all of them were looked at."
            return _meant(_BEGINNING, ids, notes=(note,))
    kin = tuple(record for record in records if (record.stage, record.key) in near)
    if query in ids:
        return Meant("a sample id", (query,), near=kin)
    meant = _meant(_BEGINNING, _outermost(ids))
    return replace(meant, near=kin) if meant else None


def _beginning(query: str) -> Look:
    """Rows whose id or parent begins so, and those that a sample of that id could be made from."""
    above = [query[:at] for at in _slashes(query)]
    ancestors = pa.array(above, pa.string())

    def test(table: pa.Table) -> pa.ChunkedArray:
        mask = pc.or_(pc.starts_with(table["sample_id"], query), pc.is_in(table["sample_id"], value_set=ancestors))
        if "parent_id" in table.column_names:
            mask = pc.or_(mask, pc.fill_null(pc.starts_with(table["parent_id"], query), False))
        return mask

    def within(column: str, low: str, high: str) -> bool:
        begins = low <= query + _ABOVE and high >= query
        return begins or (column == "sample_id" and any(low <= each <= high for each in above))

    return Look(("sample_id", "parent_id"), test, within, (query.encode(), *map(exactly, above)))


def _slashes(sample_id: str) -> Iterator[int]:
    return (at for at, letter in enumerate(sample_id) if letter == "/")


def _by_uri(store: Store, records: Sequence[ShardRecord], uri: str) -> Meant | None:
    look = equals("source_uri", uri, "sample_id")
    ids = {each for found in descend(store, records, look) for each in found.column("sample_id")}
    return _meant("an address that samples were read from", _outermost(ids))


def _by_path(store: Store, records: Sequence[ShardRecord], path: Path) -> Meant | None:
    export = folder_around(path)
    if path.is_dir():
        if export is None or export.folder == path:
            return None
        how = f"a folder of the export in {export.folder}"
        return _in_export(_meant(how, _by_name(store, records, words_of(_below(path, export)))), export)
    if path.suffix == ".parquet" and (ids := _ids_in(path)):
        return _in_export(_meant("a file with many samples", ids), export)
    if export is not None and (found := _by_name(store, records, words_of(_below(path, export)))):
        changed = export.state(_below(path, export)) == "changed"
        notes = (f"{path} was changed since the export wrote it.",) if changed else ()
        return _in_export(_meant(f"a file of the export in {export.folder}", found, notes), export)
    if found := _by_content(store, records, path):
        return _in_export(_meant("a file whose bytes rows hold or were made from", found), export)
    by_name = _by_name(store, records, words_of(path.name))
    return _meant(
        "the name of a file", by_name, (f"No row holds the bytes of {path}: only its name is that of a sample.",)
    )


def _below(path: Path, export: ExportFolder) -> str:
    return path.relative_to(export.folder).as_posix()


def _in_export(meant: Meant | None, export: ExportFolder | None) -> Meant | None:
    return replace(meant, export=export.folder) if meant and export else meant


def _ids_in(path: Path) -> list[str]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if "sample_id" not in file.schema_arrow.names:
                return []
            return [each for batch in file.iter_batches(columns=["sample_id"]) for each in batch[0].to_pylist()]
    except (OSError, pa.ArrowException):
        return []


def _templates(records: Sequence[ShardRecord]) -> list[ShardRecord]:
    return [record for stage in _TEMPLATE_STAGES for record in records if record.stage == stage]


def _by_name(store: Store, records: Sequence[ShardRecord], words: Iterable[str]) -> list[str]:
    """Samples that exports call by one of these words."""
    wanted = frozenset(words)
    found = [each for word in sorted(wanted) for each in numbered(store, word)]
    templates = frozenset(word for word in wanted if _TEMPLATE.fullmatch(word))
    if templates:
        found += _scan_ids(store, _templates(records), _hashed_ids(template_id, templates))
    if found:
        return list(dict.fromkeys(found))
    digested = frozenset(word for word in wanted if re.search(r"-[0-9a-f]{12}$", word))
    if digested:
        clips = [record for record in records if record.stage == _CLIPS_STAGE]
        found += _scan_ids(store, clips, _hashed_ids(folder_name, digested))
    look = _called(wanted)
    ids = dict.fromkeys(each for rows in descend(store, records, look) for each in rows.column("sample_id"))
    found += [each for each in ids if not wanted.isdisjoint((each, each.replace("/", "_")))]
    # of a name with several parts the longest id is meant: the clip, not its video
    return [each for each in found if not any(other.startswith(f"{each}/") for other in found)]


def _called(words: frozenset[str]) -> Look:
    """Rows whose id is one of the words, or what one begins with; "/" may be "_" in a word."""
    flat = [word.replace("/", "_") for word in words]
    begins = {word[:at] for word in flat for at, letter in enumerate(f"{word}_") if letter == "_"}
    wanted = pa.array(sorted(begins))
    needles = tuple(dict.fromkeys(word.partition("_")[0].encode() for word in flat))
    return Look(
        ("sample_id",),
        lambda table: pc.is_in(pc.replace_substring(table["sample_id"], "/", "_"), value_set=wanted),
        needles=needles,
    )


def _hashed_ids(name: Callable[[str], str], wanted: frozenset[str]) -> Callable[[pa.Table], pa.ChunkedArray]:
    return lambda table: pa.chunked_array([pa.array([name(each) in wanted for each in table["sample_id"].to_pylist()])])


def _scan_ids(store: Store, records: Sequence[ShardRecord], test: Callable[[pa.Table], pa.ChunkedArray]) -> list[str]:
    found = scan(store, records, Look(("sample_id",), test))
    return list(dict.fromkeys(each for rows in found for each in rows.column("sample_id")))


def _by_content(store: Store, records: Sequence[ShardRecord], path: Path) -> list[str]:
    """Samples of which a row gives the digest of the file, or holds its very bytes."""
    with path.open("rb") as stream:
        sha = hashed(stream, "sha256").hexdigest()
    blake = file_digest(path) if path.stat().st_size <= _WHOLE_FILM_BYTES else film_digest(path)
    found = [each for rows in scan(store, records, _with_digest(sha, blake)) for each in rows.column("sample_id")]
    return _outermost(found) or _outermost(_by_bytes(store, records, path))


def _with_digest(sha: str, blake: str) -> Look:
    """Rows that give one of the digests, or whose id was made of the first: those of photos are."""
    wanted = pa.array([sha, blake])
    ending = f"/{sha[:_ID_CHARACTERS]}"

    def test(table: pa.Table) -> pa.ChunkedArray:
        mask = pc.ends_with(table["sample_id"], ending)
        for name in set(table.column_names) & set(_DIGESTS):
            mask = pc.or_(mask, pc.is_in(table[name], value_set=wanted))
        return mask

    return Look(("sample_id", *_DIGESTS), test, needles=(exactly(sha), exactly(blake), ending.encode()))


def _outermost(ids: Iterable[str]) -> list[str]:
    """Those that are no children of others among them."""
    given = set(ids)
    return [each for each in given if not any(each[:at] in given for at in _slashes(each))]


def _by_bytes(store: Store, records: Sequence[ShardRecord], path: Path) -> list[str]:
    """Samples whose row holds the bytes of the file; looks into shards that are large enough."""
    size = path.stat().st_size
    large = [record for record in records if record.data.size >= size]
    if not large or not size:
        return []
    data = path.read_bytes()

    def test(table: pa.Table) -> pa.ChunkedArray:
        mask = pa.chunked_array([pa.repeat(False, table.num_rows)])
        for column in table.columns[1:]:
            held = pc.fill_null(pc.equal(pc.struct_field(column, "bytes"), pa.scalar(data, pa.binary())), False)
            mask = pc.or_(mask, held)
        return mask

    look = Look(("sample_id",), test, needles=(data,), of_type=IMAGE)
    return [each for found in scan(store, large, look, rejects=False) for each in found.column("sample_id")]
