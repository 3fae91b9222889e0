"""What a run says of itself: pages, tables of the videos, and why they were left out."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from tasks.dance.overview import Overview
from tasks.m2p.build import Build, Joined, splits_of
from tasks.m2p.config import PER_VIDEO
from tasks.machine.places import Machine
from tasks.schema.records import ShardRecord
from tasks.shards.derive import committed
from tasks.shards.manifest import Manifest, rejects


def overview_of(build: Build, manifest: Manifest, machine: Machine) -> Overview:
    """What there is, and what was left out and why."""
    joined = Joined(build, machine)
    counts = {"videos": len(build.read)}
    counts |= {
        name: sum(record.data.rows for record in joined.made(step))
        for name, step in {"usable videos": "dance", "clips": "clips"}.items()
    }
    counts |= {f"samples of {name}": count for name, count in splits_of(joined.made("split"), machine).items()}
    return Overview("Music to pose", counts, rejected(manifest, machine))


def rejected(manifest: Manifest, machine: Machine) -> Iterator[dict[str, Any]]:
    """Rows of `REJECT_SCHEMA`, of all stages."""
    for batch in rejects(machine.store, manifest):
        yield from batch.to_pylist()


def video_table(build: Build, machine: Machine) -> list[dict[str, object]]:
    """What became of every video: its clips and its samples, and what was lost on the way."""
    joined = Joined(build, machine)
    table: list[dict[str, object]] = []
    for read, steps in zip(build.read, joined.every, strict=True):
        found = [committed(steps.of(step), machine.store) for step in PER_VIDEO if step in build.config.reached]
        records = {record.stage: record for record in found if record is not None}
        rows = {name: record.data.rows for name, record in records.items()}
        lost = [_why(record, machine) for record in records.values() if record.rejects]
        table.append(
            {
                "video": read.video.name,
                "file": read.video.file_name,
                "clips": rows.get("clips", 0),
                "samples": rows.get("audit", 0),
                "lost": "; ".join(lost),
            }
        )
    return table


def _why(record: ShardRecord, machine: Machine) -> str:
    """Reasons and how often; of a single one its sentence."""
    path = machine.store.rejects_path(record)
    rows = pq.read_table(path).to_pylist() if path else []
    if len(rows) == 1:
        return f"{record.stage}: {rows[0]['reason']}: {rows[0]['detail']}"
    counted = Counter(row["reason"] for row in rows)
    return f"{record.stage}: " + ", ".join(f"{count} {reason}" for reason, count in counted.most_common())
