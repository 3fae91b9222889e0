"""Pages, previews and sheets of a store, and sheets beside its exports, without the samples that go."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any, Final

from tasks.exports.previews import PUBLIC
from tasks.forget.doomed import Doomed, Erased
from tasks.forget.exports_names import Names
from tasks.forget.exports_tables import open_text, without_rows
from tasks.lineage.exports import export_folders
from tasks.schema.ids import template_id
from tasks.shards.files import LocalFiles, disk_errors_explained, file_digest
from tasks.shards.store import Store

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_TILE: Final = re.compile(r'<fieldset data-sample_id="([^"]*)".*?</fieldset>\n', re.DOTALL)
_SHEET: Final = re.compile(r'(?<= data-sheet=")[0-9a-f]*')
"""Source: `tasks.audit.page`."""


class Taken:
    """Adds up what goes from one kind of place.

    Args:
        place: see `Erased`.
    """

    def __init__(self, place: str, files: LocalFiles) -> None:
        self._place, self._files = place, files
        self._things = self._rows = 0
        self._removed: list[str] = []
        self.problems: list[str] = []

    def remove(self, path: Path, rows: int = 1) -> None:
        """Remove a file for good."""
        self._note(path, rows)
        self._files.remove(path)
        self._files.sync_folder(path.parent)

    def replace(self, path: Path, data: bytes, rows: int) -> None:
        """Make a file hold other bytes, at once or not at all."""
        self._note(path, rows)
        written = path.with_name(f"{path.name}.part")  # always the same: what a killed call left goes with the next one
        self._files.remove(written)
        try:
            with self._files.create(written) as stream:
                stream.write(data)
                self._files.sync(stream)
            self._files.replace(written, path)
        finally:
            self._files.remove(written)
        self._files.sync_folder(path.parent)

    def _note(self, path: Path, rows: int) -> None:
        self._things += 1
        self._rows += rows
        self._removed.append(file_digest(path))

    @property
    def erased(self) -> Erased:
        return Erased(self._place, self._things, self._rows, tuple(self._removed), tuple(self.problems))


def erase_reports(store: Store, names: Names, builds: Iterable[str] = ()) -> Erased:
    """Remove the pages of builds that held a sample, and pages that name one; `mannequin report` makes them anew.

    Args:
        builds: digests of the manifests of those builds, as they were; those that are not there any more count too.
    """
    taken, held = Taken("reports", store.files), set(builds)
    there = {path.stem for path in store.fresh("builds").glob("*/*.json")}
    with disk_errors_explained(store.root):
        for path in sorted((store.root / "reports").rglob("*")):
            if path.is_file():
                outdated = path.stem in held or (bool(_DIGEST.fullmatch(path.stem)) and path.stem not in there)
                if outdated or names.named_in(path.read_text(errors="replace")):
                    taken.remove(path)
    return taken.erased


def erase_previews(store: Store, doomed: Doomed) -> Erased:
    """Remove the published pictures of templates."""
    taken = Taken("previews", store.files)
    templates = {template_id(each) for each in doomed.sample_ids}
    with disk_errors_explained(store.root):
        for path in sorted((store.root / PUBLIC).rglob("*")):
            if path.is_file() and path.stem.partition("_skeleton")[0].partition("_thumbnail")[0] in templates:
                taken.remove(path)
    return taken.erased


def erase_sheets(store: Store, names: Names, further: Sequence[Path] = ()) -> Erased:
    """Take samples out of what people were given to judge: audit sheets and reviews of faces beside the exports.

    Verdicts that somebody has filled in for other samples stay.
    """
    taken = Taken("audit sheets and reviews", store.files)
    for folder in _sheets(store, further):
        with disk_errors_explained(folder):
            _cut_reviews(folder, names, taken)
            _cut_audit(folder, names, taken)
    return taken.erased


def _sheets(store: Store, further: Sequence[Path]) -> Iterator[Path]:
    """Folders of sheets and reviews: beside exports, below folders that were named, or those themselves."""
    exports = {each.folder for each in export_folders(store, further)}
    tops = {store.root / "exports", *(path.resolve() for path in further), *(folder.parent for folder in exports)}
    found = {top for top in tops if top.is_dir()}
    for top in sorted(found):
        found |= {path.parent for name in ("audit.csv", "doubts.csv") for path in top.glob(f"*/{name}")}
        found |= {path.parent for name in ("review", "*/review") for path in top.glob(f"{name}/*/doubts.csv")}
    yield from sorted(each for each in found if (each / "audit.csv").is_file() or (each / "doubts.csv").is_file())


def _cut_audit(folder: Path, names: Names, taken: Taken) -> None:
    """The table is last: it says which pictures go."""
    table, page = folder / "audit.csv", folder / "audit.html"
    rows = _judged(table, names)
    if rows is None:
        return
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        left = _TILE.sub(lambda tile: "" if unescape(tile[1]) in names.ids else tile[0], text)
        if left != text:
            ids = [unescape(tile[1]) for tile in _TILE.finditer(left)]
            # browsers remember ticks by place: under another name they do not slip to the next sample
            sheet = sha256("\n".join(ids).encode()).hexdigest()[:16]
            taken.replace(page, _SHEET.sub(sheet, left, count=1).encode(), text.count("<fieldset ") - len(ids))
    gone, data = rows
    for row in gone:
        picture = folder / "thumbnails" / Path(row.get("thumbnail", "")).name
        if picture.is_file():
            taken.remove(picture)
    if gone:
        taken.replace(table, data, len(gone))


def _cut_reviews(folder: Path, names: Names, taken: Taken) -> None:
    """The table is last: it says which pairs go."""
    table = folder / "doubts.csv"
    rows = _judged(table, names)
    if rows is None or not rows[0]:
        return
    gone, data = rows
    doubts = {row["doubt_id"] for row in gone}
    _cut_list(folder / "tasks.json", taken, lambda said: [x for x in said if x["data"]["doubt_id"] not in doubts])
    _cut_list(
        folder / "labels.json",
        taken,
        lambda said: said | {"labels": {k: v for k, v in said["labels"].items() if k not in doubts}},
    )
    for path in sorted([*folder.glob("pictures/*.jpg"), *folder.glob("data/*.jpg")]):
        if path.stem.partition("_")[0] in doubts:
            taken.remove(path)
    taken.replace(table, data, len(gone))


def _cut_list(path: Path, taken: Taken, cut: Callable[[Any], Any]) -> None:
    if path.is_file():
        said = json.loads(path.read_bytes())
        left = cut(said)
        if left != said:
            taken.replace(path, json.dumps(left, indent=1).encode(), 0)


def _judged(table: Path, names: Names) -> tuple[list[dict[str, str]], bytes] | None:
    """The rows that go of a table that people fill in, and the bytes of what is left; None: there is none."""
    if not table.is_file():
        return None
    with open_text(table) as stream:
        first = stream.readline().replace('"', "")
        stream.seek(0)
        delimiter = next((each for each in ",\t;" if f"_id{each}" in first), ",")
        (head, said, _), *lines = without_rows(stream, names, delimiter)
    columns = [cell.removeprefix("\ufeff") for cell in head]
    gone = [dict(zip(columns, row, strict=False)) for row, _, goes in lines if goes]
    left = "".join([said, *(text for _, text, goes in lines if not goes)])
    return gone, left.encode("utf-8", "surrogateescape")
