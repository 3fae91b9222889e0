"""Audit sheets: a random sample of photos that a person labels, in a table or in the browser, and reads back.

audit.csv              one row a photo: sample_id, image_id, image_path, thumbnail, garments, reviewer
audit.html             the same with pictures and check boxes, offline; saves the same table
thumbnails/0001.jpg    the pictures, for those who fill in the table by hand

In the table, garments stand with `;` between them; an empty cell is a photo that was not judged, `none` one that shows
none of them. The photos come in random order, so that whoever stops early has still judged a random sample.
"""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tasks.fashion.audit_ledger import LookVerdict
from tasks.fashion.audit_page import AuditTile, audit_page
from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.sheet import encode_jpeg, thumbnail
from tasks.schema.errors import SourceError
from tasks.schema.fashion import GARMENTS

COLUMNS: Final = ("sample_id", "image_id", "image_path", "thumbnail", "garments", "reviewer")
NOTHING: Final = "none"
"""Said of a photo that shows no garment."""

_FAULTS_TOLD: Final = 20
_THUMBNAIL_PX: Final = 480
_QUALITY: Final = 85


@dataclass(frozen=True, eq=False)
class AuditPhoto:
    """A photo for a sheet; `image`: its bytes as they came."""

    sample_id: str
    image_id: str
    image_path: str
    image: bytes


def audit_sample(sample_ids: Iterable[str], count: int, seed: int = 0) -> list[str]:
    """A random sample in random order, by a hash of ids: the same on every machine, however the ids are ordered.

    A larger sample of the same seed begins with the smaller one, and new photos change it only by joining it.
    """
    return sorted(set(sample_ids), key=lambda name: sha256(f"{seed}/{name}".encode()).digest())[:count]


def audit_sheet(folder: Path, photos: Iterable[AuditPhoto], title: str) -> int:
    """Write a sheet; a photo that does not decode is left out.

    Args:
        folder: missing or empty; what is there under these names is replaced.
        photos: in the order to show, as `audit_sample` gives it.
        title: of the page.
    Returns:
        photos written.
    """
    (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
    tiles: list[AuditTile] = []
    for photo in photos:
        try:
            picture = encode_jpeg(thumbnail(decode_rgb(photo.image), _THUMBNAIL_PX), _QUALITY)
        except DecodeError:
            continue
        name = f"thumbnails/{len(tiles) + 1:04d}.jpg"
        (folder / name).write_bytes(picture)
        tiles.append(AuditTile(photo.sample_id, photo.image_id, photo.image_path, name, picture))
    with (folder / "audit.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows((t.sample_id, t.image_id, t.image_path, t.thumbnail, "", "") for t in tiles)
    (folder / "audit.html").write_text(audit_page(title, tiles, COLUMNS), encoding="utf-8")
    return len(tiles)


def read_audit(path: Path, known: Collection[str]) -> list[LookVerdict]:
    """What was said in a table of a sheet; photos that were not judged are left out.

    Args:
        path: the table.
        known: the sample ids of the build.
    Raises:
        SourceError: the table cannot be read, or has faults; the message lists them.
    """
    found: dict[str, LookVerdict] = {}
    faults: list[str] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path):
        sample_id = row["sample_id"] or ""
        said = [each.strip() for each in (row["garments"] or "").split(";") if each.strip()]
        unknown = [each for each in said if each not in (*GARMENTS, NOTHING)]
        if sample_id not in known:
            faults.append(f"line {line}: no photo of this build is {sample_id!r}")
        elif sample_id in lines:
            faults.append(f"line {line}: {sample_id!r} stands in line {lines[sample_id]} already")
        elif unknown:
            faults.append(f"line {line}: {', '.join(map(repr, unknown))} is none of {', '.join(GARMENTS)}, {NOTHING}")
        elif NOTHING in said and len(said) > 1:
            faults.append(f"line {line}: {NOTHING!r} stands beside garments")
        elif said:
            garments = tuple(each for each in said if each != NOTHING)
            reviewer = (row.get("reviewer") or "").strip()
            found[sample_id] = LookVerdict(sample_id=sample_id, garments=garments, reviewer=reviewer)
        lines.setdefault(sample_id, line)
    if faults:
        raise SourceError(f"{path} has {_told(faults)}. Mend the table and read it again; nothing was taken from it.")
    return list(found.values())


def _told(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _FAULTS_TOLD} more" if len(faults) > _FAULTS_TOLD else ""
    return f"{'a fault' if len(faults) == 1 else f'{len(faults)} faults'}: {'; '.join(faults[:_FAULTS_TOLD])}{more}"


def _rows(path: Path) -> list[tuple[int, dict[str, str | None]]]:
    """The rows and the lines they end in; commas or, as some spreadsheets save them, tabs and semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = next((each for each in ",\t;" if f"sample_id{each}" in first.replace('"', "")), ",")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV in UTF-8: {error}.") from error
    if missing := {"sample_id", "garments"} - set(reader.fieldnames or ()):
        raise SourceError(f"{path} is no audit sheet: it lacks the columns {', '.join(sorted(missing))}.")
    return rows
