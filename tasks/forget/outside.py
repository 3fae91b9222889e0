"""Takes samples out of every place but the shards and builds of a store."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tasks.forget.database import erase_from_database
from tasks.forget.doomed import Doomed, Erased
from tasks.forget.exports import erase_from_exports, output_folders
from tasks.forget.exports_names import Names
from tasks.forget.folders import erase_previews, erase_reports, erase_sheets
from tasks.forget.folders_fetched import erase_fetched
from tasks.forget.folders_ledgers import erase_from_ledgers
from tasks.shards.store import Store
from tasks.shards.tombstones import read_salt

_DATA_ROOT: Final = "WEBBODY_DATA_ROOT"
"""The folder that `webbody` exports to, where it is set. Source: `tasks.webbody.task`."""


def names_of(store: Store, doomed: Doomed) -> Names:
    """What exports, tables and pages call the samples; also after their ledgers were cut."""
    return Names.of(store, doomed, read_salt(store).name)


def erase_outside(
    store: Store,
    doomed: Doomed,
    *,
    exports: Sequence[Path] = (),
    database: str = "",
    builds: Mapping[str, str] | None = None,
) -> tuple[Erased, ...]:
    """Erase all that is made of samples outside of shards and builds; called again, it finds nothing.

    Killed in the middle, the next call ends it. The ledgers are last, since they say what files are called.

    Args:
        exports: further folders of exports, and folders that hold some.
        database: connection URI; empty: none is looked into.
        builds: digests of the manifests of builds that hold one of them, as they were -> as they are now; pages of
            these builds go whatever they name.
    Returns:
        what went from each kind of place, in the order in which it was done; what cannot be reached is told.
    Raises:
        StoreError: the store cannot be written.
    """
    if not doomed:
        return ()
    names = names_of(store, doomed)
    root = os.environ.get(_DATA_ROOT, "")
    further = (*exports, *([Path(root)] if root and Path(root).is_dir() else []))
    return (
        erase_from_exports(store, names, further, builds),
        erase_sheets(store, names, (*further, *output_folders(store))),
        erase_reports(store, names, builds or ()),
        erase_previews(store, doomed),
        erase_fetched(store, doomed),
        erase_from_database(database, doomed),
        erase_from_ledgers(store, names, read_salt(store).name),
    )
