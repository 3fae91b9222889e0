"""Checks the dataset beside it, and what the folder holds of further ones:  python verify.py [folder]

Needs Python 3.9 or later, and pyarrow where there are Parquet files. contents.json lists each file with its size and
its BLAKE2b-256 (`b2sum -l 256` prints the same), of Parquet files rows and columns, of CSV files rows and header, of
tar files members, and which samples and groups no two splits may share.

The exit status is 0 if all of it is so, else 1. Files that the list does not name are warnings, unless they lie where
readers look for samples.

The list ends with a digest of itself, which shows damage and careless edits. It is no signature: whoever changes a
file and writes the list anew, and this script with it, is found only by someone who kept the digest of contents.json
that the export reported: --expect <digest>, best with a copy of this script from elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import gc
import hashlib
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

CONTENTS = "contents.json"
FORMAT = "mannequin contents 1"
SEAL = b'"seal": "'
"""What stands before the digest of all bytes before it, at the end of the list."""

_CHUNK = 1 << 20
_BLOCK = 512
_AT_ONCE = 4096
_SHOWN = 100
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLACEHOLDER = re.compile(r"(\*|\{\w+\})")
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, RecursionError, csv.Error),
)
"""What readers of files raise that are not what they seem."""


class DamagedError(ValueError):
    """A file is not what its name says."""


class FileFacts(NamedTuple):
    """What the list says of a file.

    `rows` and `columns` of Parquet and CSV files, `members` of tar files. A column of a Parquet file is its path, its
    types and its levels of definition and repetition as they stand in the footer, whatever reads them.
    """

    size: int
    blake2b: str
    rows: int | None = None
    columns: list[str] | None = None
    members: int | None = None


def file_facts(path: Path, name: str, also: Callable[[memoryview], object] | None = None) -> FileFacts:
    """The facts of a file that is, or is to be, called `name`; `also` is given all of its bytes.

    Raises:
        DamagedError: it is no Parquet or tar file, though its name says so.
    """
    digest, size = hashlib.blake2b(digest_size=32), 0
    table = _CsvCount() if name.endswith(".csv") else None
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(view[:count])
            size += count
            if also is not None:
                also(view[:count])
            if table is not None:
                table.feed(bytes(view[:count]))
    if table is not None:
        return FileFacts(size, digest.hexdigest(), table.rows, table.columns)
    if name.endswith(".parquet"):
        return FileFacts(size, digest.hexdigest(), *_footer(path))
    if name.endswith(".tar"):
        with path.open("rb") as stream:
            return FileFacts(size, digest.hexdigest(), members=sum(1 for _ in _tar_members(stream)))
    return FileFacts(size, digest.hexdigest())


class _CsvCount:
    """Counts the rows of a CSV file that comes in pieces: line ends outside of quotes."""

    def __init__(self) -> None:
        self._lines = 0
        self._quoted = False
        self._head = bytearray()
        self._ended = True

    def feed(self, data: bytes) -> None:
        if not self._lines:
            self._head += data
        for number, piece in enumerate(data.split(b'"')):
            self._quoted ^= number > 0
            self._lines += 0 if self._quoted else piece.count(b"\n")
        self._ended = data.endswith(b"\n")

    @property
    def rows(self) -> int:
        return max(0, self._lines + (not self._ended) - 1)

    @property
    def columns(self) -> list[str]:
        text = io.StringIO(self._head.decode("utf-8-sig", "replace"), newline="")
        try:
            return next(csv.reader(text), [])
        except csv.Error:
            return []


def _footer(path: Path) -> tuple[int, list[str]]:
    """Rows and columns of a Parquet file."""
    import pyarrow.parquet as pq

    try:
        told = pq.read_metadata(path)
    except _UNREADABLE as error:
        raise DamagedError(f"does not read as Parquet: {error}") from error
    columns = [told.schema.column(number) for number in range(len(told.schema))]
    return told.num_rows, [
        f"{c.path}: {c.physical_type} {c.logical_type.type} {c.converted_type} "
        f"{c.max_definition_level}/{c.max_repetition_level}"
        for c in columns
    ]


def _tar_members(stream: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Name and size of each member of an open ustar file, which then stands at its first byte."""
    while True:
        head = stream.read(_BLOCK)
        if len(head) < _BLOCK:
            raise DamagedError("is a tar file without its end")
        if not head.strip(b"\0"):
            return
        start = stream.tell()
        try:
            name, size = head[:100].rstrip(b"\0").decode(), int(head[124:136].strip(b"\0 "), 8)
        except ValueError as error:
            raise DamagedError(f"has no tar header at byte {start - _BLOCK}") from error
        if size < 0:
            raise DamagedError(f"has a tar header at byte {start - _BLOCK} that makes no sense")
        yield name, size
        stream.seek(start + size + -size % _BLOCK)


@dataclass(frozen=True)
class Rule:
    """Rows of which no two splits may share a value of a key.

    Args:
        files: their names; `*` and `{name}` stand for anything without `/`, and what `{name}` stands for is a value of
            that key, or the split. Other values are read: of columns, of JSON members of tar files, or of the samples
            of a metadata.json, whose own name is `folder`.
        keys: their names; rules of the same splits look at them together. Empty values do not count.
        split: the column that says the split (a text, or a list of those that a row is in); empty: only the name does.
        splits: names of splits; those in one tuple may share. None: each is its own.
    """

    files: tuple[str, ...]
    keys: tuple[str, ...]
    split: str = "split"
    splits: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Contents:
    """The list of an export, and the digest of its file."""

    digest: str
    made_by: dict[str, str]
    rules: list[Rule]
    files: dict[str, FileFacts]


def read_contents(data: bytes) -> Contents:
    """The list of an export.

    Raises:
        DamagedError: it is not as it was written.
    """
    head, seal, end = data.rpartition(SEAL)
    if not seal or end != hashlib.blake2b(head, digest_size=32).hexdigest().encode() + b'"\n}\n':
        raise DamagedError("is damaged or was edited: its digest of itself is not that of its bytes")
    try:
        said = json.loads(data)
        files = said["files"]
        for name, facts in files.items():
            files[name] = FileFacts(**facts)
        rules = [
            Rule(_texts(r["files"]), _texts(r["keys"]), str(r["split"]), tuple(_texts(s) for s in r["splits"]))
            for r in said["disjoint"]
        ]
        made_by = {str(key): str(value) for key, value in said["made_by"].items()}
        form = str(said["format"])
    except _UNREADABLE as error:
        raise DamagedError(f"does not read: {error!r}") from error
    if form != FORMAT:
        raise DamagedError(f"has the format {form!r}, this script reads {FORMAT!r}")
    for name, facts in files.items():
        if not _is_inside(name):
            raise DamagedError(f"names {name!r}, which is no place in the folder")
        if type(facts.size) is not int or type(facts.blake2b) is not str or not _DIGEST.fullmatch(facts.blake2b):
            raise DamagedError(f"says of {name} no size and digest")
    return Contents(hashlib.blake2b(data, digest_size=32).hexdigest(), made_by, rules, files)


def _texts(said: Iterable[object]) -> tuple[str, ...]:
    if isinstance(said, str):
        raise TypeError(f"{said!r} is no list")
    return tuple(map(str, said))


def _is_inside(name: str) -> bool:
    """Whether a name leads to a place in the folder on every system."""
    return not re.search(r"[\\:\0-\x1f]", name) and all(part not in ("", ".", "..") for part in name.split("/"))


@dataclass
class Verdict:
    """What came of checking a folder; `nested` are the exports that it holds besides."""

    folder: Path
    contents: Contents | None = None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows_apart: int = 0
    nested: list[Path] = field(default_factory=list)


def verify(folder: Path, *, quick: bool = False, expect: str = "") -> Verdict:
    """Check one export.

    Args:
        quick: sizes only.
        expect: the digest that contents.json must have.
    """
    found = Verdict(folder)
    found.faults += _unfinished(folder)
    try:
        data = _opened(folder, CONTENTS).read_bytes()
        listed = found.contents = read_contents(data)
    except FileNotFoundError:
        found.faults.append(f"{CONTENTS} is missing: the export did not end, or somebody removed it")
        return found
    except (OSError, DamagedError) as error:
        found.faults.append(f"{CONTENTS} {error}")
        return found
    if expect and expect.strip().lower() != listed.digest:
        found.faults.append(f"{CONTENTS} has the digest {listed.digest}, not the expected one")
    extra = [name for name in _walk(folder, "", found.nested) if name not in listed.files and name != CONTENTS]
    names = sorted(listed.files)
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for faults in pool.map(lambda name: _file_faults(folder, name, listed.files[name], quick), some):
                found.faults += faults
    found.faults += _extra_faults(extra, listed.rules, found.warnings)
    if not quick:
        splits = _Splits(folder, listed.rules)
        found.faults += splits.faults([*names, *extra])
        found.rows_apart = splits.rows
    return found


def _unfinished(folder: Path) -> Iterator[str]:
    """What an export leaves in `.mannequin` when it was killed, or has while it runs."""
    notes = folder / ".mannequin"
    writing = any((notes / "journal").glob("*"))
    if writing or any(re.search(rb'": ?null', path.read_bytes()) for path in (notes / "pieces").glob("*.json")):
        yield "an export into this folder is running or was stopped: let it end, or run it again"


def _opened(folder: Path, name: str) -> Path:
    """The path of a file that is one, in the folder itself.

    Raises:
        DamagedError: it, or a folder on the way, is a link or something else.
        FileNotFoundError: it is not there.
    """
    path = folder
    parts = name.split("/")
    for number, part in enumerate(parts, 1):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except NotADirectoryError as error:
            raise FileNotFoundError(name) from error
        if stat.S_ISLNK(mode):
            raise DamagedError("is a link, or lies behind one: copy the export with its files (cp -rL)")
        if number == len(parts) and not stat.S_ISREG(mode):
            raise DamagedError("is no file")
    return path


def _file_faults(folder: Path, name: str, listed: FileFacts, quick: bool) -> list[str]:
    try:
        path = _opened(folder, name)
        size = path.stat().st_size
        if quick:
            return [] if size == listed.size else [f"{name} has {size} bytes, not {listed.size}"]
        facts = file_facts(path, name)
    except FileNotFoundError:
        return [f"{name} is missing"]
    except (OSError, DamagedError) as error:
        return [f"{name} {error}"]
    faults = []
    if facts.size != listed.size:
        faults.append(f"{name} has {facts.size} bytes, not {listed.size}")
    elif facts.blake2b != listed.blake2b:
        faults.append(f"{name} holds other bytes than those that were written")
    for what, count, before in (("rows", facts.rows, listed.rows), ("members", facts.members, listed.members)):
        if count != before:
            faults += [f"{name} has {count} {what}, not {before}"]
    if facts.columns != listed.columns:
        now, then = facts.columns or [], listed.columns or []
        lost, new = [each for each in then if each not in now], [each for each in now if each not in then]
        faults.append(f"{name} has other columns, or in another order: {new} instead of {lost}")
    return faults


def _walk(folder: Path, below: str, nested: list[Path]) -> Iterator[str]:
    """Names of all files of a folder, without those of further exports in it, which become `nested`."""
    with os.scandir(folder / below) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            name = f"{below}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif (folder / name / CONTENTS).is_file():
                nested.append(folder / name)
            elif name != ".mannequin":
                yield from _walk(folder, f"{name}/", nested)


def _pattern(text: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(text)
    return re.compile(
        "".join(
            "[^/]*" if part == "*" else f"(?P<{part[1:-1]}>[^/]+)" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
    )


def _matches(rule: Rule, names: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Names that a rule speaks of, and what they say."""
    patterns = [_pattern(text) for text in rule.files]
    known = {split for group in rule.splits for split in group}
    for name in names:
        for pattern in patterns:
            found = pattern.fullmatch(name)
            if found and (not known or "split" not in pattern.groupindex or found["split"] in known):
                yield name, found.groupdict()
                break


def _extra_faults(extra: list[str], rules: list[Rule], warnings: list[str]) -> Iterator[str]:
    """Files that nobody listed: a fault where readers would take them for samples."""
    read = {name for rule in rules for name, _ in _matches(rule, extra)}
    for name in extra:
        if name in read:
            yield f"{name} is no file of the export, but lies among its samples"
        else:
            warnings.append(f"{name} is no file of the export")


class _Splits:
    """Looks in which split each value of each key is; holds a number for each."""

    def __init__(self, folder: Path, rules: list[Rule]) -> None:
        self._folder, self._rules = folder, rules
        self._seen: dict[tuple[object, str], dict[int, str]] = {}
        self._told: set[tuple[str, object]] = set()
        self.rows = 0

    def faults(self, names: list[str]) -> Iterator[str]:
        for rule in self._rules:
            place_of = {split: " and ".join(group) for group in rule.splits for split in group}
            for name, given in _matches(rule, names):
                try:
                    for splits, values in self._rows(rule, name, given):
                        self.rows += 1
                        for split in sorted(splits):
                            if place_of and split not in place_of:
                                yield from self._once(name, split, f"has rows of a split {split!r}, which there is not")
                            place = place_of.get(split, split)
                            for key, value in zip(rule.keys, values):  # noqa: B905 - Python 3.9 knows no strict
                                yield from self._look(name, place, (rule.splits, key), value)
                except FileNotFoundError:
                    pass
                except _UNREADABLE as error:
                    yield f"{name}: its splits do not read: {error!r}"

    def _look(self, name: str, place: str, key: tuple[object, str], value: object) -> Iterator[str]:
        if value is not None and value != "":
            before = self._seen.setdefault(key, {}).setdefault(hash(str(value)), place)
            if before != place:
                yield from self._once(key[1], str(value), f"{value!r} is in {place} and in {before} ({name})")

    def _once(self, what: str, which: str, said: str) -> Iterator[str]:
        if (what, which) not in self._told:
            self._told.add((what, which))
            yield f"{what} {said}"

    def _rows(self, rule: Rule, name: str, given: dict[str, str]) -> Iterator[tuple[set[str], list[object]]]:
        """Splits and values of the keys of each row; a list of splits is told without those that no rule speaks of."""
        columns = [key for key in rule.keys if key not in given] + ([rule.split] if rule.split else [])
        known = {split for group in rule.splits for split in group}
        path = _opened(self._folder, name)
        for row in _table(path, columns) if columns else [()]:
            told = {**given, **dict(zip(columns, row))}  # noqa: B905
            splits = {given["split"]} if "split" in given else set()
            if rule.split:
                said = told[rule.split]
                splits |= known.intersection(said) if isinstance(said, list) else {str(said)}
            yield splits, [told[key] for key in rule.keys]


def _table(path: Path, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table, row by row."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        lacking = [column for column in columns if column not in file.schema_arrow.names]
        if lacking:
            raise DamagedError(f"there is no column {lacking[0]}")
        for batch in file.iter_batches(columns=columns):
            yield from zip(*(batch.column(batch.schema.get_field_index(c)).to_pylist() for c in columns))  # noqa: B905
        return
    rows: Iterable[dict[str, Any]]
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield from (tuple(row[c] for c in columns) for row in csv.DictReader(text))
        return
    if path.suffix == ".tar":
        with path.open("rb") as stream:
            told = (json.loads(stream.read(size)) for name, size in _tar_members(stream) if name.endswith(".json"))
            yield from (tuple(row[c] for c in columns) for row in told)
        return
    rows = ({**row, "folder": name} for name, row in json.loads(path.read_bytes())["samples"].items())
    yield from (tuple(row[c] for c in columns) for row in rows)


def _say(found: Verdict, *, quick: bool) -> None:
    """Print what was checked and what is wrong."""
    listed = found.contents
    print(found.folder)
    if listed is not None:
        facts = listed.files.values()
        rows = sum(each.rows or 0 for each in facts)
        print(f"  {len(facts)} files, {sum(each.size for each in facts)} bytes, {rows} rows of tables")
        print("".join(f"  {key}: {value}\n" for key, value in listed.made_by.items()), end="")
        print(f"  digest of {CONTENTS}: {listed.digest}")
        keys = sorted({key for rule in listed.rules for key in rule.keys})
        if quick:
            print("  checked: sizes only")
        elif keys:
            print(f"  checked: all bytes; {', '.join(keys)} of {found.rows_apart} rows in one split each")
        else:
            print("  checked: all bytes; there are no splits")
    for kind, sentences in (("warning", found.warnings), ("FAULT", found.faults)):
        for sentence in sentences[:_SHOWN]:
            print(f"  {kind}: {sentence}")
        if len(sentences) > _SHOWN:
            print(f"  {kind}: and {len(sentences) - _SHOWN} more")
    print(f"  {len(found.faults)} faults" if found.faults else "  as it was written")


def main(arguments: list[str] | None = None) -> int:
    """Check what the command line says; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).absolute().parent)
    parser.add_argument("--quick", action="store_true", help="look at names and sizes only")
    parser.add_argument("--expect", default="", metavar="DIGEST", help=f"the digest that {CONTENTS} must have")
    asked = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    gc.disable()  # there are no cycles, and it would look again and again through a long list
    folders, faults = [asked.folder], 0
    for folder in folders:
        try:
            found = verify(folder, quick=asked.quick, expect=asked.expect if folder is asked.folder else "")
        except ImportError as error:
            print(f"{folder}\n  FAULT: its Parquet files cannot be checked ({error}): pip install pyarrow")
            return 1
        _say(found, quick=asked.quick)
        faults += len(found.faults)
        folders += found.nested
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
