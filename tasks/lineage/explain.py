"""Explains a sample: finds what a query means and tells its story, from the store alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from tasks.lineage.builds import KnownBuild
from tasks.lineage.drops import drop_of
from tasks.lineage.exports import export_folders, exported_files
from tasks.lineage.family import Below, Family, Place, family_of
from tasks.lineage.find import find_samples
from tasks.lineage.holdings import Holdings
from tasks.lineage.steps import erased_steps, step_of
from tasks.lineage.story import Answer, Children, ChildrenDropped, Drop, Elsewhere, Origin, Standing, Step, Story
from tasks.lineage.values import flat
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store

_WHERE = (
    *("film", "video", "start_s", "time_s", "frames", "url", "final_url", "fetched_at", "http_status", "attempt"),
    *("original_dataset", "image_path"),
)
"""Columns that say where in a source a sample lies, or how it came from there."""

_NAMED = 8
"""Children of a stage that are named."""

_EXPORTED_CHILDREN = 64
"""Children whose files are looked for in exports."""

_DROPS_TOLD = 5
_PROBLEMS_TOLD = 5


def explain(store: Store, query: str, exports: Sequence[Path] = ()) -> Answer:
    """What the store knows of what a query means.

    Args:
        query: a sample id or its beginning, a file or folder of an export, the database id of a pose template, a number
            of an export (`fashion_0003`), or an address that samples were read from.
        exports: further folders in which to look for exported files; those in the store are looked through anyway.
    Raises:
        SampleNotFoundError: the store knows nothing of it; the message says what was looked for.
    """
    holdings = Holdings.of(store)
    meant = find_samples(store, holdings.records, query)
    one = len(meant.sample_ids) == 1 and not meant.more
    folders = (*exports, meant.export) if meant.export else exports
    story = tell(holdings, meant.sample_ids[0], folders, meant.near) if one else None
    return Answer(
        query=query, how=meant.how, sample_ids=meant.sample_ids, more=meant.more, story=story, notes=meant.notes
    )


def tell(
    holdings: Holdings, sample_id: str, exports: Sequence[Path] = (), near: Sequence[ShardRecord] | None = None
) -> Story:
    """The story of a sample, along the last build in which it stands.

    Args:
        near: the only outputs that can hold rows of it and of its kin, where that is known.
    """
    family = family_of(holdings.store, holdings.records if near is None else near, sample_id)
    build = next((each for each in holdings.builds if any(each.holds(p.record) for p in family.own)), None)
    told = [place for place in family.own if build is None or build.holds(place.record)]
    steps = _steps(holdings, family, told, build)
    final, others = _rejections(holdings, told)
    drop = drop_of(holdings, final, build) if final else None
    below = [each for each in family.below if build is None or build.holds(each.record)]
    return Story(
        sample_id=sample_id,
        origin=_origin(steps, drop, sample_id),
        steps=steps,
        dropped=drop,
        repeats=tuple(drop_of(holdings, place, build) for place in others[:_DROPS_TOLD]),
        children=_children(holdings, below),
        children_dropped=_children_dropped(holdings, below, build),
        exports=exported_files(
            holdings.store,
            export_folders(holdings.store, exports),
            [sample_id, *_some_children(below)],
        ),
        builds=_standings(holdings, family, build),
        elsewhere=_elsewhere(holdings, family, told, steps),
        notes=(*holdings.notes, *_problems(family)),
    )


def _steps(holdings: Holdings, family: Family, told: list[Place], build: KnownBuild | None) -> tuple[Step, ...]:
    """Rows of the sample and of what it was made from, and rows that were erased, in the order of the stages."""
    above = [place for place in family.above if build is None or build.holds(place.record)]
    kept = [place for place in (*above, *told) if not place.rejected]
    steps = [(holdings.depth(place.record), step_of(holdings, place, build)) for place in kept]
    steps += [(holdings.depth(record), step) for record, step in erased_steps(holdings, family, build)]
    return tuple(step for _, step in sorted(steps, key=lambda each: (each[0], len(each[1].sample_id), each[1].stage)))


def _rejections(holdings: Holdings, told: Sequence[Place]) -> tuple[Place | None, list[Place]]:
    """The rejection that the sample ended with, if it did, and those beside which it lived on.

    It lives on past a rejection where the same stage kept it too, or where something was made of what was left.
    """
    kept = {place.record.stage for place in told if not place.rejected}
    passed = holdings.above(place.record for place in told)
    rejected = sorted((p for p in told if p.rejected), key=lambda place: holdings.depth(place.record))
    ends = [p for p in rejected if p.record.stage not in kept and (p.record.stage, p.record.key) not in passed]
    final = ends[-1] if ends else None
    return final, [place for place in rejected if place is not final]


def _origin(steps: Sequence[Step], drop: Drop | None, sample_id: str) -> Origin:
    where: dict[str, JsonValue] = {}
    for step in steps:
        where.update({n: step.values[n] for n in _WHERE if step.values.get(n) is not None and n not in where})
    first = steps[0] if steps else None
    return Origin(
        sample_id=first.sample_id if first else sample_id,
        source_uri=(first.source_uri if first else "") or (drop.source_uri if drop else ""),
        licence=first.licence if first else "",
        where=where,
    )


def _children(holdings: Holdings, below: Sequence[Below]) -> tuple[Children, ...]:
    groups = _by_stage(holdings, [each for each in below if not each.rejected])
    return tuple(
        Children(
            stage=stage,
            count=sum(each.count for each in group),
            sample_ids=tuple(sorted(place.sample_id for each in group for place in each.first)[:_NAMED]),
        )
        for stage, group in groups.items()
    )


def _children_dropped(
    holdings: Holdings, below: Sequence[Below], build: KnownBuild | None
) -> tuple[ChildrenDropped, ...]:
    groups = _by_stage(holdings, [each for each in below if each.rejected])
    return tuple(
        ChildrenDropped(
            stage=stage,
            count=sum(each.count for each in group),
            first=tuple(
                drop_of(holdings, place, build) for place in [p for each in group for p in each.first][:_DROPS_TOLD]
            ),
        )
        for stage, group in groups.items()
    )


def _by_stage(holdings: Holdings, below: Sequence[Below]) -> Mapping[str, list[Below]]:
    groups: defaultdict[str, list[Below]] = defaultdict(list)
    for each in sorted(below, key=lambda each: (holdings.depth(each.record), each.record.stage)):
        groups[each.record.stage].append(each)
    return groups


def _some_children(below: Sequence[Below]) -> list[str]:
    named = dict.fromkeys(place.sample_id for each in below if not each.rejected for place in each.first)
    return list(named)[:_EXPORTED_CHILDREN]


def _standings(holdings: Holdings, family: Family, told: KnownBuild | None) -> tuple[Standing, ...]:
    standings = []
    for build in holdings.builds:
        here = [place for place in family.own if build.holds(place.record)]
        if not here:
            continue
        final, _ = _rejections(holdings, here)
        kept = [place.record for place in here if not place.rejected]
        last = final.record if final else (holdings.in_order(kept) or [here[-1].record])[-1]
        reason = drop_of(holdings, final, build, related=False).reason if final else ""
        standings.append(
            Standing(
                flow=build.flow,
                digest=build.digest,
                latest=build.latest,
                outcome="dropped" if final else "kept",
                stage=last.stage,
                reason=reason,
                told=build is told,
            )
        )
    return tuple(standings)


def _elsewhere(
    holdings: Holdings, family: Family, told: Sequence[Place], steps: Sequence[Step]
) -> tuple[Elsewhere, ...]:
    here = {(place.record.stage, place.record.key) for place in told}
    params: dict[str, Mapping[str, JsonValue]] = {step.stage: step.params for step in steps}
    others = [place for place in family.own if (place.record.stage, place.record.key) not in here]
    return tuple(
        Elsewhere(
            stage=place.record.stage,
            version=place.record.version,
            key=place.record.key,
            builds=holdings.builds_with(place.record),
            reason=drop_of(holdings, place, None, related=False).reason if place.rejected else "",
            differs=_differing(place.record, params.get(place.record.stage)),
        )
        for place in sorted(others, key=lambda each: (holdings.depth(each.record), each.record.stage, each.record.key))
    )


def _differing(record: ShardRecord, told: Mapping[str, JsonValue] | None) -> dict[str, JsonValue]:
    if told is None:
        return {}
    return {name: value for name, value in flat(record.params).items() if told.get(name) != value}


def _problems(family: Family) -> list[str]:
    if not family.problems:
        return []
    left = len(family.problems) - _PROBLEMS_TOLD
    more = (f"{left} more files do not read.",) if left > 0 else ()
    return [
        "Some files of the store do not read; what they hold is missing here. `mannequin verify` names them all.",
        *family.problems[:_PROBLEMS_TOLD],
        *more,
    ]
