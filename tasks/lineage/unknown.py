"""What is said of a query that no row of the store answers to."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from tasks.lineage.descend import descend
from tasks.lineage.scan import equals
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.store import Store
from tasks.shards.tombstones import read_tombstones


def why_unknown(store: Store, records: Sequence[ShardRecord], query: str) -> str:
    """A sentence for people: it was forgotten, it is a control, or nothing is known of it.

    Raises:
        StoreError: what was forgotten does not read.
    """
    tombstones, above = read_tombstones(store), accumulate(query.split("/"), "{}/{}".format)
    if tombstones is not None and any(
        tombstones.rejects(Rejection(each, Reason.FORGOTTEN, "", None, each)) for each in above
    ):
        return f"{query} was forgotten on request, and is kept out. Nothing else is known of it."
    if not records:
        return f"The store at {store.place} holds nothing yet: run a flow first, or name another store."
    flow = _controlled(store, query)
    if flow:
        said = "a sample of known truth that went through its stages beside a build, and is part of none"
        return f"{query} is a control of {flow}: {said}. `mannequin report {flow}` says what came back."
    path = Path(query)
    if is_there(path):
        return f"{path} is in no export that we know of, and no row of the store at {store.place} holds its bytes."
    return (
        f"The store at {store.place} knows no {query!r}: it is neither an id nor the beginning of one, no file, no "
        "template, no number of an export and no address that rows were read from."
    )


def is_there(path: Path) -> bool:
    """Whether something lies at a path; not, where it cannot be one."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _controlled(store: Store, query: str) -> str:
    """The flow that a control belongs to; empty: it is none that still stands."""
    for folder in sorted((store.root / "controls").glob("*/*/shards")):
        controls = Store(folder.parent)
        if any(found.rows for found in descend(controls, controls.records(), equals("sample_id", query))):
            return folder.parent.parent.name
    return ""
