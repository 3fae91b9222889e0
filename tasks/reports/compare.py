"""Two builds of one flow side by side: what came, what went, what is otherwise now, and why."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tasks.reports.build_facts import BuildFacts, damage_explained, leaves, said
from tasks.reports.compare_rows import Why, read_stage_rows, rows_apart, why_missing
from tasks.schema.errors import ConfigError
from tasks.shards.manifest import BuildShard

NAMED: Final = 5
_MOST_CHANGES: Final = 12
"""Of the parameters of one stage; what is beyond is counted."""


@dataclass(frozen=True)
class Change:
    """Something with a name that is otherwise: what it was (None: it was not there) and what it is (None: it went)."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name}: {self.after} came"
        return (
            f"{self.name}: {self.before} went" if self.after is None else f"{self.name}: {self.before} -> {self.after}"
        )


@dataclass(frozen=True)
class StageCompared:
    """The rows of one stage in two builds, by sample id.

    `before`, `after`, `came`, `went`, `changed`: rows; the last counts rows of the same id whose values differ, in the
    columns that both have. `why_went` says where the second build lost them, `why_came` where the first had; `changes`
    what is otherwise about the stage itself; `parts_went` and `parts_came`: of a source, what it read; `shards`:
    outputs of both builds, of the first alone, of the second alone; `unread`: rows that were erased or lost, so that
    they are counted in no other number but `before` and `after`.
    """

    stage: str
    before: int
    after: int
    came: int = 0
    went: int = 0
    changed: int = 0
    why_went: tuple[Why, ...] = ()
    why_came: tuple[Why, ...] = ()
    changed_columns: tuple[str, ...] = ()
    changed_names: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    parts_went: tuple[str, ...] = ()
    parts_came: tuple[str, ...] = ()
    shards: tuple[int, int, int] = (0, 0, 0)
    unread: int = 0

    @property
    def same(self) -> bool:
        return not (self.came or self.went or self.changed or self.changes or self.unread)


@dataclass(frozen=True)
class Comparison:
    """What two builds of a flow have not alike. `before` and `after` are their names."""

    before: str
    after: str
    params: tuple[Change, ...]
    code: Change | None
    models: tuple[Change, ...]
    stages: tuple[StageCompared, ...]

    @property
    def same(self) -> bool:
        """Whether both hold the same rows, made by the same parameters, code and models."""
        return not (self.params or self.code or self.models or any(not stage.same for stage in self.stages))


def compare(before: BuildFacts, after: BuildFacts, named: int = NAMED) -> Comparison:
    """Compare two builds. Outputs that both have are not read; of the others one stage at a time is.

    In memory are the ids and a digest of each row of one stage in both builds, about 200 bytes a row.

    Args:
        named: most samples that are named for each thing that is told.
    Raises:
        ConfigError: the builds are of different flows.
        StoreError: a shard does not read.
    """
    flows = before.manifest.flow, after.manifest.flow
    if flows[0].removesuffix("_unfinished") != flows[1].removesuffix("_unfinished"):
        raise ConfigError(f"{before.name} and {after.name} are of different flows: compare two builds of one.")
    code = Change("code", before.manifest.code, after.manifest.code)
    stages = dict.fromkeys((*before.stages, *after.stages))
    order = {stage: number for number, stage in enumerate(after.stages)}
    ordered = sorted(stages, key=lambda stage: _place(stage, before, order))
    with damage_explained(before, after):
        compared = tuple(_stage(stage, before, after, named) for stage in ordered)
    return Comparison(
        before=before.name,
        after=after.name,
        params=_changes(_filled(before.manifest.params), _filled(after.manifest.params)),
        code=code if code.before != code.after else None,
        models=_changes(_models(before), _models(after)),
        stages=compared,
    )


def comparison_lines(found: Comparison) -> list[str]:
    """The comparison as lines of text."""
    return list(_lines(found))


def _lines(found: Comparison) -> Iterator[str]:
    yield f"{found.before} -> {found.after}"
    if found.same:
        yield "Both hold the same rows, made by the same parameters, code and models."
        return
    for title, changes in (("Parameters", found.params), ("Models", found.models)):
        yield f"{title}: {'the same' if not changes else ''}".rstrip()
        yield from (f"  {change}" for change in changes)
    yield str(found.code) if found.code else "Code: the same"
    for stage in found.stages:
        if stage.same:
            yield f"{stage.stage}: {stage.after:,} rows, the same"
            continue
        yield (
            f"{stage.stage}: {stage.before:,} -> {stage.after:,} rows; {stage.came:,} came, {stage.went:,} went, "
            f"{stage.changed:,} changed"
        )
        yield from (f"  {line}" for line in reasons_of(stage))


def reasons_of(stage: StageCompared) -> list[str]:
    """What there is to say about a stage beside its numbers, a sentence each."""
    lines = [f"otherwise: {change}" for change in stage.changes]
    lines += [f"source parts went: {part}" for part in stage.parts_went]
    lines += [f"source parts came: {part}" for part in stage.parts_came]
    lines += [f"went: {why.count:,} now {why.told}, as {', '.join(why.names)}" for why in stage.why_went]
    lines += [f"came: {why.count:,} before {why.told}, as {', '.join(why.names)}" for why in stage.why_came]
    if stage.changed:
        columns = f" in {', '.join(stage.changed_columns)}" if stage.changed_columns else ""
        lines.append(f"changed{columns}: {stage.changed:,}, as {', '.join(stage.changed_names)}")
    if stage.unread:
        lines.append(f"not compared: {stage.unread:,} rows that were erased or are lost")
    return lines


def _place(stage: str, before: BuildFacts, order: Mapping[str, int]) -> float:
    """Where a stage belongs; one that only the first build has: after the nearest one before it that both have."""
    if stage in order:
        return order[stage]
    at = before.stages.index(stage)
    known = [order[each] for each in before.stages[:at] if each in order]
    return (known[-1] if known else -1) + 0.5


def _stage(stage: str, before: BuildFacts, after: BuildFacts, named: int) -> StageCompared:
    shards = [{(each.key, each.data.digest): each for each in build.shards_of(stage)} for build in (before, after)]
    alone = [[shards[i][key] for key in shards[i] if key not in shards[1 - i]] for i in (0, 1)]
    rows = [sum(shard.data.rows for shard in each.values()) for each in shards]
    compared = StageCompared(
        stage,
        rows[0],
        rows[1],
        changes=_stage_changes(stage, before, after) if any(alone) else (),
        parts_went=_parts(before, alone[0], after, named),
        parts_came=_parts(after, alone[1], before, named),
        shards=(len(shards[0].keys() & shards[1].keys()), len(alone[0]), len(alone[1])),
    )
    if not any(shard.data.rows for each in alone for shard in each):
        return compared
    old, new = read_stage_rows(before, alone[0]), read_stage_rows(after, alone[1])
    if old.unread or new.unread:
        return replace(compared, unread=old.unread + new.unread)
    apart = rows_apart(old, new, named)
    return replace(
        compared,
        came=len(apart.came),
        went=len(apart.went),
        changed=apart.changed,
        why_went=_blamed(why_missing(apart.went, after, stage, named), before, after),
        why_came=_blamed(why_missing(apart.came, before, stage, named), before, after),
        changed_columns=apart.columns,
        changed_names=apart.names,
    )


def _blamed(found: Sequence[Why], before: BuildFacts, after: BuildFacts) -> tuple[Why, ...]:
    """The same, with what is otherwise about the stage that decided."""
    told = []
    for why in found:
        changes = "; ".join(map(str, _stage_changes(why.stage, before, after))) if why.stage else ""
        told.append(replace(why, told=f"{why.told}; in {why.stage} otherwise: {changes}" if changes else why.told))
    return tuple(told)


def _parts(build: BuildFacts, shards: Sequence[BuildShard], other: BuildFacts, named: int) -> tuple[str, ...]:
    """What the shards of a source read that the other build did not: the parameters that only they have."""
    own = [(shard, build.records.get((shard.stage, shard.key))) for shard in shards]
    if any(record is None or record.inputs or record.sides for _, record in own):
        return ()
    stage = shards[0].stage if shards else ""
    theirs = [other.records.get((each.stage, each.key)) for each in other.shards_of(stage)]
    known = {(name, said(value)) for each in theirs if each for name, value in leaves(each.params)}
    told = []
    for shard, record in own:
        params = [(name, said(value)) for name, value in leaves(record.params if record else {})]
        unlike = [each for each in params if each not in known] or params
        unlike.sort(key=lambda each: each[0].endswith("digest"))
        words = ", ".join(f"{name} {value[:60]}" for name, value in unlike[:3])
        told.append(f"{words} ({shard.data.rows:,} rows)")
    more = len(told) - named
    return (*told[:named], *((f"{more} more",) if more > 0 else ()))


def _stage_changes(stage: str, before: BuildFacts, after: BuildFacts) -> tuple[Change, ...]:
    """Version, parameters, models and execution of a stage that all of its shards in a build share, and that differ."""
    changes = _changes(_shared(before, stage), _shared(after, stage))
    both = [each for each in changes if each.before is not None and each.after is not None]
    if len(both) > _MOST_CHANGES:
        return (*both[:_MOST_CHANGES], Change("and", f"{len(both) - _MOST_CHANGES} more", "otherwise"))
    return tuple(both)


def _shared(build: BuildFacts, stage: str) -> dict[str, object]:
    values: dict[str, set[str]] = {}
    for shard in build.shards_of(stage):
        record = build.records.get((shard.stage, shard.key))
        told: dict[str, object] = {"version": shard.version}
        if record is not None:
            params = record.params if record.inputs or record.sides else {}  # those of a source say which part it read
            models = ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(record.models.items()))
            told |= {**params, "models": models, "execution": record.execution}
        for name, value in leaves(told):
            values.setdefault(name, set()).add(json.dumps(value))
    return {name: json.loads(next(iter(each))) for name, each in values.items() if len(each) == 1}


def _filled(params: Mapping[str, object]) -> dict[str, object]:
    """Parameters by dotted name; an empty list or mapping says nothing that its absence does not."""
    return {name: value for name, value in leaves(params) if value not in ([], {})}


def _models(build: BuildFacts) -> dict[str, object]:
    return {model.name: f"{model.sha256[:12]} ({model.licence})" for model in build.models}


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Change, ...]:
    names = sorted(before.keys() | after.keys())
    return tuple(
        Change(name, _told(before, name), _told(after, name))
        for name in names
        if (name in before) != (name in after) or before.get(name) != after.get(name)
    )


def _told(values: Mapping[str, object], name: str) -> str | None:
    return said(json.loads(json.dumps(values[name]))) if name in values else None
