"""Audit sheets: samples that a person judges, in a table or in the browser, and reads back.

audit.csv              one row a sample: sample_id, what is told of it, thumbnail, a column a question, reviewer
audit.html             the same with pictures and boxes to tick, offline; saves the same table
thumbnails/0001.jpg    the pictures, for those who fill in the table by hand

In the table, several answers stand with `;` between them; an empty cell is a question that was not answered. The
samples come in random order, so that whoever stops early has still judged a random sample.
"""

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.audit.page import Tile, audit_page
from tasks.audit.questions import Question
from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.sheet import encode_jpeg, thumbnail
from tasks.schema.errors import SourceError

_FAULTS_TOLD: Final = 20
_THUMBNAIL_PX: Final = 480
_QUALITY: Final = 85


@dataclass(frozen=True, eq=False)
class Shown:
    """A sample for a sheet; `told`: column -> what is told of it; `image`: encoded, as it came."""

    sample_id: str
    told: Mapping[str, str]
    image: bytes


@dataclass(frozen=True)
class Said:
    """What was said of a sample: question -> its answers; a question that was not answered is not there."""

    sample_id: str
    answers: Mapping[str, tuple[str, ...]]
    reviewer: str


def sheet_columns(told: Iterable[str], questions: Sequence[Question]) -> tuple[str, ...]:
    """The columns of the table.

    Raises:
        ValueError: two of them have one name.
    """
    columns = ("sample_id", *told, "thumbnail", *(question.name for question in questions), "reviewer")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns of one name: {', '.join(columns)}")
    return columns


def write_sheet(folder: Path, samples: Iterable[Shown], title: str, advice: str, questions: Sequence[Question]) -> int:
    """Write a sheet; a sample whose picture does not decode is left out.

    Args:
        folder: missing or empty; what is there under these names is replaced.
        samples: in the order to show, as `audit_sample` gives it; of all the same is told.
        title, advice: of the page.
    Returns:
        samples written.
    """
    (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
    tiles: list[Tile] = []
    for sample in samples:
        try:
            picture = encode_jpeg(thumbnail(decode_rgb(sample.image), _THUMBNAIL_PX), _QUALITY)
        except DecodeError:
            continue
        name = f"thumbnails/{len(tiles) + 1:04d}.jpg"
        (folder / name).write_bytes(picture)
        tiles.append(Tile({"sample_id": sample.sample_id, **sample.told, "thumbnail": name}, picture))
    told = [name for name in (tiles[0].data if tiles else {}) if name not in ("sample_id", "thumbnail")]
    columns = sheet_columns(told, questions)
    with (folder / "audit.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([tile.data.get(column, "") for column in columns] for tile in tiles)
    page = audit_page(title, advice, tiles, questions, columns)
    (folder / "audit.html").write_text(page, encoding="utf-8")
    return len(tiles)


def read_sheet(path: Path, questions: Sequence[Question], known: Collection[str]) -> list[Said]:
    """What was said in a table of a sheet; samples that were not judged are left out.

    Args:
        path: the table.
        known: the sample ids of the build.
    Raises:
        SourceError: the table cannot be read, or has faults; the message lists them.
    """
    found: list[Said] = []
    faults: list[str] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path, questions):
        sample_id = row["sample_id"] or ""
        answers: dict[str, tuple[str, ...]] = {}
        wrong: list[str] = []
        for question in questions:
            said = tuple(each.strip() for each in (row[question.name] or "").split(";") if each.strip())
            wrong += _faults(question, said)
            if said:
                answers[question.name] = said
        if sample_id not in known:
            faults.append(f"line {line}: no sample of this build is {sample_id!r}")
        elif sample_id in lines:
            faults.append(f"line {line}: {sample_id!r} stands in line {lines[sample_id]} already")
        elif wrong:
            faults += [f"line {line}: {fault}" for fault in wrong]
        elif answers:
            found.append(Said(sample_id, answers, (row.get("reviewer") or "").strip()))
        lines.setdefault(sample_id, line)
    if faults:
        raise SourceError(f"{path} has {_told(faults)}. Mend the table and read it again; nothing was taken from it.")
    return found


def _faults(question: Question, said: Sequence[str]) -> list[str]:
    """What is wrong with the answers to a question."""
    unknown = [each for each in said if each not in question.values]
    if unknown:
        return [f"{', '.join(map(repr, unknown))} is none of {', '.join(question.values)}"]
    alone = [answer.value for answer in question.answers if answer.alone and answer.value in said]
    return [f"{alone[0]!r} stands beside other answers"] if alone and len(said) > 1 else []


def _told(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _FAULTS_TOLD} more" if len(faults) > _FAULTS_TOLD else ""
    return f"{'a fault' if len(faults) == 1 else f'{len(faults)} faults'}: {'; '.join(faults[:_FAULTS_TOLD])}{more}"


def _rows(path: Path, questions: Sequence[Question]) -> list[tuple[int, dict[str, str | None]]]:
    """The rows and the lines they end in; commas or, as some spreadsheets save them, tabs and semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = next((each for each in ",\t;" if f"sample_id{each}" in first.replace('"', "")), ",")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV in UTF-8: {error}.") from error
    if missing := {"sample_id", *(question.name for question in questions)} - set(reader.fieldnames or ()):
        raise SourceError(f"{path} is no audit sheet: it lacks the columns {', '.join(sorted(missing))}.")
    return rows
