"""How the work of each flow grows with what goes in: what is planned by, what is mapped, what is joined."""

from dataclasses import dataclass, field
from typing import Literal

Item = Literal["rows", "films", "videos"]


@dataclass(frozen=True)
class FlowShape:
    """A flow as planning sees it.

    `item` is what it is planned by; `source` the stages that read it; `part` the parameter that says how many items a
    shard has (empty: one), `mapped` the stages whose tasks are mapped over parts, one name a mapping; `joined` the
    stages that take all parts at once, and wait for them; `waits` those of all that wait for servers of others.
    """

    item: Item
    source: frozenset[str]
    part: str
    mapped: tuple[str, ...]
    joined: frozenset[str]
    waits: frozenset[str] = field(default_factory=frozenset)


SHAPES = {
    "pose_templates": FlowShape(
        item="rows",
        source=frozenset({"ingest", "ingest_mannequins"}),
        part="shard_rows",
        mapped=("describe",),
        joined=frozenset({"select", "combine"}),
    ),
    "webbody": FlowShape(
        item="rows",
        source=frozenset({"urls"}),
        part="part_rows",
        mapped=("download", "people"),
        joined=frozenset({"neighbours", "identities", "clean", "members"}),
        waits=frozenset({"download"}),
    ),
    "video_patches": FlowShape(
        item="films", source=frozenset({"film"}), part="", mapped=("film", "patches"), joined=frozenset()
    ),
    "music_to_pose": FlowShape(
        item="videos", source=frozenset({"dance"}), part="", mapped=("dance",), joined=frozenset({"split"})
    ),
    "runway_street": FlowShape(
        item="rows",
        source=frozenset({"looks"}),
        part="part_rows",
        mapped=("looks", "predict"),
        joined=frozenset({"groups", "classifier", "trends"}),
    ),
}

GROWTH = {"neighbours": 2.0}
"""Stage -> power of the number of rows by which its time grows; all others: 1. Neighbours are exact: every face is
compared with every other one (`tests/benchmarks/bench_neighbours.py`)."""

PIECES = {"windows": "patches", "patches": "patches"}
"""Stages whose shards are pieces of about `piece_s` CPU seconds of the stage beside them, not items."""

SINGLE_TASKS = 12
"""Task runs of a flow run that are not mapped, about: lists, joins, exports, reports."""

TASK_RUN_BYTES = 20_000
"""Of the server's database for each task run: 10,000 task runs took 200 MB of SQLite."""

CATALOG_ROW_BYTES = 2_050
"""Of Postgres for each template: table, side tables and indexes (`tests/benchmarks/bench_catalog_size.py`)."""
