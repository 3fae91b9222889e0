"""What is told of a build of patches, and its tree made tidy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import pyarrow.parquet as pq

from tasks.audit.flows import audited
from tasks.exports.contents import MadeBy
from tasks.exports.owned import OwnedFolder
from tasks.machine.places import Machine
from tasks.patches.build import Build, tree_of
from tasks.patches.build_plan import read_plan
from tasks.patches.report import (
    CardFacts,
    TableRows,
    film_rows,
    patches_card,
    rejected_by_format,
    statistics,
    warnings_of,
)
from tasks.patches.sheet import contact_sheet, sample_rows
from tasks.patches.tree import PatchTree
from tasks.patches.watch import BuildWatch
from tasks.schema.films import Transfer
from tasks.schema.records import ShardRecord
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest

CARD, SHEET = "README.md", "contact_sheet.jpg"

HDR_CHAIN = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=10,zscale=t=bt709:m=gbr,"
    "format=gbrp,scale=W:H:flags=lanczos"
)
"""What `tasks.video.convert` agrees with, in ffmpeg's words."""


@dataclass(frozen=True)
class Report:
    """Tables, warnings and pictures of a build; `sheet` is a JPEG, `card` the README of its tree."""

    statistics: TableRows
    films: TableRows
    warnings: tuple[str, ...]
    sheet: bytes
    card: str

    @classmethod
    def of(cls, build: Build, manifest: Manifest, records: Sequence[ShardRecord], machine: Machine) -> Self:
        """Collect it from the store and the tree."""
        store, tree, config = machine.store, tree_of(build, machine), build.config
        plan = read_plan(tree)
        watch = BuildWatch(plan, store)
        watch.look()
        progress = watch.progress()
        numbers = statistics(plan, progress, rejected_by_format(store, records))
        films = [
            row
            for ref in manifest.outputs["films"]
            if (record := store.find(ref.stage, ref.key)) is not None
            for row in pq.read_table(store.data_path(record)).to_pylist()
        ]
        card = CardFacts(
            title="Video patches",
            films=films,
            folders={each.name: each.folder for each in config.categories},
            formats={each.name: (each.width, each.height, each.folder) for each in config.formats},
            progress=progress,
            statistics=numbers,
            tonemap={Transfer.PQ: HDR_CHAIN, Transfer.HLG: HDR_CHAIN},
            layout=config.layout,
            manifest=manifest,
            audited=audited(store, manifest),
        )
        return cls(
            statistics=numbers,
            films=film_rows(progress),
            warnings=tuple(warnings_of(progress)),
            sheet=contact_sheet(sample_rows([store.data_path(record) for record in records]), tree),
            card=patches_card(card),
        )


def finish_tree(build: Build, records: Sequence[ShardRecord], report: Report, machine: Machine) -> int:
    """Put card and sheet into the tree, unless such files of somebody else are there, with the list of all files and
    the script that checks them, and remove files of patches that are no part of the build any more; returns how many
    went.

    Raises:
        StoreError: the tree lacks a piece of the build, or a file of one is damaged.
    """
    tree = tree_of(build, machine)
    patches = PatchTree(tree, build.config.categories, build.config.formats, build.config.layout)
    current = [record.facts for record in records]
    told = {CARD: report.card.encode(), SHEET: report.sheet}
    with OwnedFolder(tree, LocalFiles()) as folder:
        folder.put({name: content for name, content in told.items() if folder.is_free(name)})
        folder.finish(MadeBy(build.flow, build.manifest), patches.digests(current))
    return patches.finish(current)
