"""Samples of a build as its flow draws them: with joints, faces, stacks, skeletons or labels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.lineage.remembered import recall_build
from tasks.reports.build_facts import BuildFacts
from tasks.reports.distributions import final_ids
from tasks.schema.errors import UnreadableError

DANCES: Final = 8


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture of several samples, RGB uint8 (H, W, 3), some 1100 px wide: what the UI gives an artifact."""

    title: str
    picture: NDArray[np.uint8]


def drawn_sheets(build: BuildFacts) -> tuple[Sheet, ...]:
    """The sheets of a build; none where it did not come to its last stage, or rows that they show are not there.

    Raises:
        StoreError: a picture is not where it belongs.
    """
    draw, stages = _SHEETS.get(build.final_stage, (_nothing, ()))
    if any(build.unreadable(stage) or not build.paths(stage) for stage in stages):
        return ()
    return tuple(Sheet(title, picture) for title, picture in draw(build))


Drawn = Iterator[tuple[str, NDArray[np.uint8]]]


def _nothing(build: BuildFacts) -> Drawn:  # noqa: ARG001 - as those that draw
    yield from ()


def _templates(build: BuildFacts) -> Drawn:
    from tasks.poses.report import sheet_picture

    (templates,) = build.paths("combine")
    yield "Templates with their skeletons", sheet_picture(templates, build.paths("preview"))


def _members(build: BuildFacts) -> Drawn:
    from tasks.exports.webbody_cut import CutConfig
    from tasks.exports.webbody_join import WebBodyShards
    from tasks.exports.webbody_sheets import sample_sheets

    members, faces, people, photos = (tuple(build.paths(each)) for each in ("members", "faces", "people", "consent"))
    yield from sample_sheets(WebBodyShards(members, faces, people, photos), CutConfig()).items()


def _patches(build: BuildFacts) -> Drawn:
    """They lie in the tree of the export, which is not on every machine."""
    from tasks.patches.build import Build
    from tasks.patches.build_plan import DEFAULT_TREE
    from tasks.patches.sheet import sample_rows, sheet_picture

    try:
        config = recall_build(build.store, build.manifest, Build).config
    except UnreadableError:
        return
    tree = Path(config.output) if config.output else build.store.root / DEFAULT_TREE
    rows = [row for row in sample_rows(build.paths("patches")) if (tree / row["gt_path"]).is_file()]
    if rows:
        yield "Ground truth beside its stacks of five and of seven frames", sheet_picture(rows, tree)


def _looks(build: BuildFacts) -> Drawn:
    from tasks.fashion.looks_sheet import looks_sheets

    photos, groups, predicted = (build.paths(each) for each in ("looks", "groups", "predict"))
    for side, picture in looks_sheets(photos, groups, predicted).items():
        yield f"Looks of the {side}: taken for what, and how surely", picture


def _dances(build: BuildFacts) -> Drawn:
    from tasks.dance.overview import SampleView, posters_sheet

    ids = final_ids(build).to_pylist()
    wanted = ids[:: -(-len(ids) // DANCES)]
    stages = {"cut": "cut_clips", "sample": "split"} | {n: n for n in ("music", "poses", "reference", "audit")}
    rows = {name: _rows_of(build, stage, wanted) for name, stage in stages.items()}
    views = [SampleView(**{name: rows[name][each] for name in stages}) for each in wanted]
    yield "Clips beside their skeletons, over their music", posters_sheet(views)


def _rows_of(build: BuildFacts, stage: str, ids: list[str]) -> dict[str, dict[str, Any]]:
    here = [("sample_id", "in", ids)]
    return {
        row["sample_id"]: row for path in build.paths(stage) for row in pq.read_table(path, filters=here).to_pylist()
    }


_SHEETS: Final[Mapping[str, tuple[Callable[[BuildFacts], Drawn], tuple[str, ...]]]] = {
    "combine": (_templates, ("combine", "preview")),
    "members": (_members, ("members", "faces", "people", "consent")),
    "patches": (_patches, ("patches",)),
    "predict": (_looks, ("looks", "groups", "predict")),
    "split": (_dances, ("split", "cut_clips", "music", "poses", "reference", "audit")),
}
"""Last stage of a flow -> what draws its samples, and the stages that it reads."""
