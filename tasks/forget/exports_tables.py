"""Tables of all kinds without the rows that go; the bytes of all other rows stay as they were."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.exports.m2p_files import METADATA, POSES
from tasks.exports.m2p_metadata import M2PFacts, finite
from tasks.exports.webdataset import TarShard, read_samples
from tasks.forget.exports_change import Change
from tasks.forget.exports_names import Names
from tasks.shards.parquet import ShardWriter

Rewritten = Callable[[pa.Table], pa.Table]
"""Rows that stay, to what they read now."""

Line = tuple[list[str], str]
"""The cells of a row of a CSV file, and its text with its line end."""


def cut_parquet(change: Change, name: str, names: Names, then: Rewritten | None = None) -> int:
    """Take rows out of a Parquet file; a file that has none of them stays. Returns how many went.

    Args:
        then: what is done to the rows that stay; the file is then written in any case.
    """
    with pq.ParquetFile(change.folder / name, pre_buffer=False, page_checksum_verification=True) as file:
        columns = names.columns(file.schema_arrow.names)
        if not columns and then is None:
            return 0
        masks = [names.rows(file.read_row_group(group, list(columns))) for group in range(file.num_row_groups)]
        gone = sum(int(pc.sum(mask).as_py() or 0) for mask in masks)
        if not gone and then is None:
            return 0
        draft = change.draft()
        with change.files.create(draft) as stream, ShardWriter(stream, file.schema_arrow) as writer:
            for group, mask in enumerate(masks):
                rows = file.read_row_group(group).filter(pc.invert(mask))
                writer.write(then(rows) if then else rows)
            writer.finish("cut")
            change.files.sync(stream)
    change.put_file(name, draft, gone)
    return gone


def csv_lines(stream: IO[str], delimiter: str = ",") -> Iterator[Line]:
    """Rows of an open CSV file (opened with `newline=""`), each with the text that it was read from."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            taken.append(line)
            yield line

    for row in csv.reader(lines(), delimiter=delimiter):
        yield row, "".join(taken)
        taken.clear()


def without_rows(stream: IO[str], names: Names, delimiter: str = ",") -> Iterator[tuple[list[str], str, bool]]:
    """Cells and text of the head and of every row of an open CSV file, and whether the row goes."""
    lines = csv_lines(stream, delimiter)
    head, text = next(lines, ([], ""))
    yield head, text, False
    columns = [cell.removeprefix("\ufeff") for cell in head]
    for row, text in lines:
        yield row, text, names.has_row(dict(zip(columns, row, strict=False)))


def cut_csv(
    change: Change, name: str, names: Names, then: Callable[[list[str]], Sequence[object]] | None = None
) -> int:
    """Take rows out of a CSV file; a file that has none of them stays. Returns how many went.

    Args:
        then: the cells of a row that stays, to what they are now; the file is then written in any case.
    """
    draft, gone = change.draft(), 0
    with open_text(change.folder / name) as stream, change.files.create(draft) as out:
        for number, (row, text, goes) in enumerate(without_rows(stream, names)):
            gone += goes
            if not goes:
                said = csv_line(then(row)) if then and number else text
                out.write(said.encode("utf-8", "surrogateescape"))
        change.files.sync(out)
    if gone or then is not None:
        change.put_file(name, draft, gone)
    else:
        change.files.remove(draft)
    return gone


def open_text(path: Path) -> IO[str]:
    """A table for reading, whatever bytes are in it."""
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


def csv_line(cells: Sequence[object]) -> str:
    """A row as the exports write it."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def cut_json(change: Change, name: str, names: Names) -> int:
    """Take entries out of a list of objects, or samples out of a metadata.json of clips; returns how many went."""
    try:
        said = json.loads((change.folder / name).read_bytes())
    except ValueError:
        return 0
    if isinstance(said, list) and all(isinstance(each, dict) for each in said):
        left = [each for each in said if not names.has_row(each)]
        if len(left) < len(said):
            change.put(name, (json.dumps(left, indent=2, ensure_ascii=False) + "\n").encode(), len(said) - len(left))
        return len(said) - len(left)
    if isinstance(said, dict) and name == METADATA and isinstance(said.get("samples"), dict):
        samples = said["samples"]
        facts = M2PFacts()
        facts.samples = {f: told for f, told in samples.items() if f not in names.files and not names.has_row(told)}
        if len(facts.samples) < len(samples):
            change.put(name, _metadata(said, facts), len(samples) - len(facts.samples))
        return len(samples) - len(facts.samples)
    return 0


def _metadata(said: dict[str, Any], facts: M2PFacts) -> bytes:
    """A metadata.json of clips, counted anew, a sample a line as `tasks.exports.m2p_metadata` writes it."""
    models = said[POSES]["models"]
    said = said | {
        "counts": facts.counts(),
        "without_face": facts.without_face(),
        "licences": facts.count("licence"),
        POSES: said[POSES] | {"models": {name: models[name] for name in facts.count("pose_model") if name in models}},
    }
    head = [f'"{key}": {_line(value)}' for key, value in said.items() if key != "samples"]
    told = ",\n".join(f'"{folder}": {_line(each)}' for folder, each in sorted(facts.samples.items()))
    return ("{\n" + ",\n".join([*head, '"samples": {\n' + told + "\n}"]) + "\n}\n").encode()


def _line(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False)


def cut_tar(change: Change, name: str, names: Names) -> int:
    """Take samples out of a WebDataset file, by their names or what their JSON says; returns how many went."""
    draft, gone = change.draft(), 0
    with (change.folder / name).open("rb") as read, change.files.create(draft) as stream:
        tar = TarShard(stream)
        for key, entries in read_samples(read):
            told = json.loads(entries.get("json", b"{}"))
            if key in names.files or names.has_row(told):
                gone += 1
            else:
                tar.add(key, entries)
        tar.finish()
        change.files.sync(stream)
    if gone:
        change.put_file(name, draft, gone)
    else:
        change.files.remove(draft)
    return gone
