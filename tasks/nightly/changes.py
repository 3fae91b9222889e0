"""What a night did to a dataset: which rows came and went, and what was left out that was not before."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import polars as pl

from tasks.reports.build_facts import BuildFacts, damage_explained
from tasks.reports.compare_rows import StageRows, read_stage_rows, rows_apart
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen
from tasks.shards.manifest import BuildShard, latest_digest
from tasks.shards.store import Store

_UNFINISHED: Final = "_unfinished"
"""End of the name of builds that did not come to their last step."""

_LEFT_OUT: Final = {"sample_id": pl.String, "reason": pl.String}


class Change(Frozen):
    """Rows of a dataset before and after, of which `new` came and `dropped` went, by id.

    `rejected` counts by reason the samples that were not left out for it before. `builds` are the digests of the build
    before and of the one now; the one digest where they are the same, or there was none before.
    """

    rows_before: int
    rows: int
    new: int
    dropped: int
    rejected: dict[str, int]
    builds: tuple[str, ...]


def builds_of(store: Store, flow: str) -> dict[str, str]:
    """Digests of the builds that a flow published last, the finished one and the unfinished one, by their names.

    Raises:
        StoreError: what names one is damaged, or the store is out of reach.
    """
    folders = [store.fresh(f"builds/{name}") for name in (flow, flow + _UNFINISHED)]
    return {each.name: latest_digest(store, each.name) for each in folders if (each / "latest.json").exists()}


def change_of(store: Store, flow: str, before: Mapping[str, str]) -> Change | None:
    """What is otherwise since `builds_of` gave `before`: about the build that is another one now; None: there is none.

    Outputs that both builds have are not read, of the others the ids are: about 100 bytes a row are in memory.

    Raises:
        StoreError: rows were erased, are lost or do not read.
    """
    now = builds_of(store, flow)
    if not now:
        return None
    name = next((name for name in now if now[name] != before.get(name)), next(iter(now)))
    after = BuildFacts.of(store, name, now[name])
    earlier = BuildFacts.of(store, name, before[name]) if name in before else _empty(after)
    stage = after.final_stage
    with damage_explained(after):
        apart = rows_apart(_ids(earlier, after, stage), _ids(after, earlier, stage), 0)
        rejected = _rejects(after, earlier).join(_rejects(earlier, after), on=list(_LEFT_OUT), how="anti")
    return Change(
        rows_before=sum(shard.data.rows for shard in earlier.shards_of(stage)),
        rows=sum(shard.data.rows for shard in after.shards_of(stage)),
        new=len(apart.came),
        dropped=len(apart.went),
        rejected=dict(Counter(rejected["reason"].to_list()).most_common()),
        builds=tuple(dict.fromkeys((*([before[name]] if name in before else ()), now[name]))),
    )


def _empty(build: BuildFacts) -> BuildFacts:
    """A build without rows: what the first one is compared with."""
    return replace(build, manifest=build.manifest.model_copy(update={"shards": (), "outputs": {}}))


def _alone(build: BuildFacts, other: BuildFacts) -> list[BuildShard]:
    """The outputs of a build that flow into it and that the other has not."""
    theirs = {(shard.stage, shard.key, shard.data.digest) for shard in other.manifest.shards}
    every = (shard for shard in build.manifest.shards if (shard.stage, shard.key, shard.data.digest) not in theirs)
    return [shard for shard in every if build.flows(shard)]


def _ids(build: BuildFacts, other: BuildFacts, stage: str) -> StageRows:
    """The rows of a stage that the other build has not in the same output, to be told apart by their ids alone."""
    rows = read_stage_rows(build, [shard for shard in _alone(build, other) if shard.stage == stage])
    if rows.unread:
        raise StoreError(f"{rows.unread:,} rows of {build.name} were erased or are lost.")
    return replace(rows, columns=())


def _rejects(build: BuildFacts, other: BuildFacts) -> pl.DataFrame:
    """What a build left out in outputs that the other has not: `sample_id` and `reason`."""
    alone = replace(build, manifest=build.manifest.model_copy(update={"shards": tuple(_alone(build, other))}))
    read = [pl.DataFrame(pl.from_arrow(batch)) for _, batch in alone.rejects(tuple(_LEFT_OUT))]
    return pl.concat([pl.DataFrame(schema=_LEFT_OUT), *(each.select(list(_LEFT_OUT)) for each in read)])
