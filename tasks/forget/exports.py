"""Exports without the samples that go: every file that holds one is written anew or removed.

What cannot be cut (sheets, previews and pages that show pictures of many samples) is removed; the next export draws it
again. The lists of the export stay right, so that its verify.py passes and its next export finds its files.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.exports.contents import CONTENTS, VERIFY
from tasks.exports.webbody_facts import FACTS
from tasks.exports.webbody_fill import ROWS
from tasks.exports.webbody_folders import FOLDERS
from tasks.forget.doomed import Erased
from tasks.forget.exports_cards import card_without
from tasks.forget.exports_change import Change, Told
from tasks.forget.exports_looks import LOOKS, cut_looks
from tasks.forget.exports_names import Names
from tasks.forget.exports_patches import cut_tree, is_tree
from tasks.forget.exports_records import cut_bundle, cut_products
from tasks.forget.exports_tables import cut_csv, cut_json, cut_parquet, cut_tar
from tasks.lineage.exports import NOTES, export_folders
from tasks.schema.errors import MannequinError
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import BUILD_SUFFIX
from tasks.shards.store import Store

_SHEETS: Final = ("contact_sheet.jpg", "similar/")
"""Pictures of many samples; of all HTML pages those that show pictures."""

_CARD: Final = "README.md"
_DRAWN_AGAIN: Final = "showed several samples together and was removed: the next export draws it again."


def output_folders(store: Store) -> tuple[Path, ...]:
    """Folders that remembered builds wrote their exports to, outside of the store's own: `output` of their forms."""
    found: dict[Path, None] = {}
    for path in sorted(store.fresh("builds").glob(f"*/*{BUILD_SUFFIX}")):
        with suppress(ValueError, TypeError, KeyError, OSError):
            for form in _forms(json.loads(path.read_bytes())["config"]):
                place = str(form.get("output") or "").replace("<store>", str(store.root), 1)
                if place.startswith("/"):
                    found[Path(place)] = None
    return tuple(found)


def _forms(form: object) -> Iterator[dict[str, object]]:
    """A form and those in it."""
    if isinstance(form, dict):
        yield form
        for each in form.values():
            yield from _forms(each)


def erase_from_exports(
    store: Store, names: Names, further: Sequence[Path] = (), builds: Mapping[str, str] | None = None
) -> Erased:
    """Take samples out of all exports that are known, and out of `further` folders and what lies below them.

    An export that cannot be changed is told of, and does not keep the others from being changed.

    Args:
        builds: digests of manifests -> as they are now; exports name the builds that they show.
    """
    done, problems = Told(), list[str]()

    again = False
    problems += [f"There is no folder {path}: nothing was taken out of it." for path in further if not path.is_dir()]
    folders = [each.folder for each in export_folders(store, (*output_folders(store), *further))]
    # photos say what people are called in the folders beside them, and go last
    for folder in sorted(folders, key=lambda folder: folder.name == FOLDERS["photos"]):
        try:
            done += erase_from_export(folder, names, store.files, builds)
        except (MannequinError, OSError, pa.ArrowException, ValueError, KeyError) as error:
            problems.append(f"{folder} was not changed ({error}): mend or remove it.")
            again = True
    return Erased("exports", done.things, done.rows, done.removed, (*problems, *done.said), again)


def erase_from_export(folder: Path, names: Names, files: LocalFiles, builds: Mapping[str, str] | None = None) -> Told:
    """Take samples out of one export; one that holds none of them stays as it is.

    Raises:
        MannequinError: a list of the export is damaged, or it cannot be written.
    """
    with Change(folder, files, builds) as change:
        _drop_pieces(change, names)
        if folder.name in FOLDERS.values():
            cut_products(change, names)
        elif FACTS in change.names and ROWS in change.names:
            cut_bundle(change, names)
        elif any(name.startswith(LOOKS) for name in change.names):
            names = cut_looks(change, names)
        elif is_tree(folder):
            cut_tree(change, names)
        _cut_files(change, names)
        _cut_shown(change, names)
        _rename_builds(change)
        return change.left + change.end()


def _cut_files(change: Change, names: Names) -> None:
    """Files that are called by a sample go; tables lose rows, archives members."""
    cuts = {".parquet": cut_parquet, ".csv": cut_csv, ".json": cut_json, ".tar": cut_tar}
    for name in change.names:
        if name in (CONTENTS, VERIFY, FACTS) or change.is_changed(name):
            continue
        if names.has_file(name):
            change.remove(name)
        elif (cut := cuts.get(Path(name).suffix)) is not None:
            cut(change, name, names)


def _cut_shown(change: Change, names: Names) -> None:
    """What shows many samples at once, and the card; of an export that holds none, only what names one."""
    for name in change.names:
        if name.endswith(".html"):
            text = (change.folder / name).read_text(errors="replace")
            if names.named_in(text) or (change and "data:image" in text):
                change.remove(name)
                change.say(f"{change.folder / name} {_DRAWN_AGAIN}")
    for name in change.names if change else ():
        if name.startswith(_SHEETS):
            change.remove(name)
            change.say(f"{change.folder / name} {_DRAWN_AGAIN}")
    if _CARD in change.names and not change.is_changed(_CARD):
        text = (change.folder / _CARD).read_text()
        if change or names.named_in(text):
            change.put(_CARD, card_without(text, names, tuple(_empty_splits(change))).encode())


def _rename_builds(change: Change) -> None:
    """The card names the build that the export shows."""
    if change.builds and _CARD in change.names:
        text = said = change.drafted(_CARD).read_text()
        for before, now in change.builds.items():
            text = text.replace(before, now)
        if text != said:
            change.put(_CARD, text.encode())


def _empty_splits(change: Change) -> Iterator[str]:
    """Splits whose every Parquet file has no rows any more, while other splits have some."""
    rows: dict[str, int] = {}
    for name in change.names:
        if name.endswith(".parquet") and (change.is_changed(name) or rows):
            split = name.rpartition("/")[2].partition("-")[0]
            rows[split] = rows.get(split, 0) + pq.read_metadata(change.drafted(name)).num_rows
    if any(rows.values()):
        yield from (split for split, count in rows.items() if not count)


def _drop_pieces(change: Change, names: Names) -> None:
    """Pictures that a stopped export cut and meant to go on with go wholly, if one of them goes."""
    for folder in sorted(path for path in (change.folder / NOTES / "pieces").glob("*") if path.is_dir()):
        if any(_holds(path, names) for path in sorted(folder.glob("*.parquet"))):
            shutil.rmtree(folder)


def _holds(path: Path, names: Names) -> bool:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        columns = list(names.columns(file.schema_arrow.names))
        return any(
            any(names.rows(file.read_row_group(group, columns)).to_pylist()) for group in range(file.num_row_groups)
        )
