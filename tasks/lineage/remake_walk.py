"""The way back to the source of some rows, and from there stage by stage to them again."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from json import dumps, loads
from pathlib import Path
from typing import ParamSpec

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.lineage.remake_compare import Difference, differences
from tasks.lineage.remake_flows import Node, OpenBuild, RemakeError
from tasks.lineage.remake_patches import differing_files, elsewhere
from tasks.lineage.remake_result import Outcome, StageCompared
from tasks.lineage.remake_rows import MadeNow, from_rows, from_source, holds, put, rows_with
from tasks.lineage.remake_rules import Rule, Way, rule_of
from tasks.lineage.remake_whole import compared_whole
from tasks.patches.cut import Patches
from tasks.schema.records import ShardRecord

P = ParamSpec("P")

Ids = tuple[str, ...]

Making = Callable[[], tuple[MadeNow, tuple[Difference, ...]]]
"""Gives what a stage makes now, and the files that it writes and that differ."""

Again = tuple[StageCompared, pa.Table]
"""What came of a stage, and the rows that it makes now."""


@dataclass
class Walk:
    """One way back; what several stages need is made once.

    Every stage reads rows that the store holds: so all of them run beside each other. Only where rows were erased does
    a stage wait for those before it.

    Attributes:
        build: an open one.
        folder: temporary.
        whole: as `remake` has it.
        lanes: in which stages run.
    """

    build: OpenBuild
    folder: Path
    whole: bool
    lanes: Executor
    _running: list[Future[Again]] = field(default_factory=list)
    _known: dict[tuple[str, str, Ids], Path] = field(default_factory=dict)

    def compared(self) -> tuple[StageCompared, ...]:
        """What came of the stages on the way, those near the source first; waits for them."""
        return tuple(each.result()[0] for each in self._running)

    def rows(self, node: Node, sample_ids: Ids) -> Path:
        """A file with some rows of an output as they were, or, where they were erased, as they are made again.

        Raises:
            RemakeError: an input is not there any more.
        """
        known = (node.record.stage, node.record.key, sample_ids)
        if known not in self._known:
            self._known[known] = put(self.folder, self._again(node, sample_ids))
        return self._known[known]

    def _again(self, node: Node, sample_ids: Ids) -> pa.Table:
        record, rule = node.record, rule_of(node.record.stage)
        stored = None if record.erased else self._stored(record, "sample_id", sample_ids)
        if rule.way is Way.SOURCE:
            making = _without_files(from_source, node.derivation.stage, sample_ids, stored)
        elif rule.way is Way.ROW:
            making = self._of_its_row(node, sample_ids, rule, stored)
        else:
            return self._taken_over(node, sample_ids, rule, stored)
        running = self._run(lambda: _made_again(node, sample_ids, making, stored))
        return running.result()[1] if stored is None else stored

    def _run(self, work: Callable[[], Again]) -> Future[Again]:
        self._running.append(self.lanes.submit(work))
        return self._running[-1]

    def _of_its_row(self, node: Node, sample_ids: Ids, rule: Rule, stored: pa.Table | None) -> Making:
        """How a stage makes these rows of those that they were made of."""
        stage = node.derivation.stage
        (above,) = self.build.inputs(node)
        if isinstance(above, ShardRecord):
            raise RemakeError(f"{node.record.stage} was made of rows of an earlier build: remake them there.")
        wanted = _parents(sample_ids, stored) if stage.fan_out else sample_ids
        if rule.together:
            shared = self._stored(above.record, "sample_id", wanted)[rule.together].to_pylist()
            wanted = _ids(self._stored(above.record, rule.together, shared), "sample_id")
        primary = self.rows(above, wanted)
        beside = self.build.sides(node)
        sides = [
            self._side(each, _ids(pq.read_table(primary, columns=[side.on]), side.on))
            for each, side in zip(beside, stage.sides, strict=False)
        ]
        wholes = [self._given(each) for each in beside[len(sides) :]]
        if not isinstance(stage, Patches):
            return _without_files(from_rows, stage, primary, sides, wholes, sample_ids)
        tree = self.folder / f"tree-{node.record.key}"

        def patches() -> tuple[MadeNow, tuple[Difference, ...]]:
            made = from_rows(elsewhere(stage, tree), primary, sides, wholes)
            return made, tuple(differing_files(stage.tree, tree, rule))

        return patches

    def _taken_over(self, node: Node, sample_ids: Ids, rule: Rule, stored: pa.Table | None) -> pa.Table:
        """The rows as they are in the store, after those that they were made of; a whole stage where that is asked."""
        if stored is None:
            raise RemakeError(f"Rows of {node.record.stage}/{node.record.key[:12]} were erased on purpose.")
        for above in self.build.inputs(node):
            here = tuple(each for each in sample_ids if isinstance(above, Node) and self._holds(above, each))
            if here and isinstance(above, Node):
                self.rows(above, here)
        whole = self.whole and rule.way is Way.JOINED
        self._run(
            lambda: (self._whole(node, sample_ids) if whole else _told(node, sample_ids, Outcome.TAKEN_OVER), stored)
        )
        return stored

    def _whole(self, node: Node, sample_ids: Ids) -> StageCompared:
        why = compared_whole(self.build, node, self.folder)
        return _told(node, sample_ids, Outcome.DIFFERENT if why else Outcome.EQUAL, why=why)

    def _holds(self, node: Node, sample_id: str) -> bool:
        """Whether an output has, or had before it was erased, a row."""
        if not node.record.erased:
            return node.record.data.rows > 0 and holds(self.build.store.data_path(node.record), sample_id)
        above = self.build.inputs(node)
        return any(self._holds(each, sample_id) for each in above if isinstance(each, Node))

    def _side(self, side: Node | ShardRecord, sample_ids: Ids) -> Path:
        if isinstance(side, ShardRecord):
            return put(self.folder, self._stored(side, "sample_id", sample_ids))
        return self.rows(side, sample_ids)

    def _given(self, whole: Node | ShardRecord) -> Path:
        """A whole input: made again where it is the one row of a source, else as it is in the store."""
        record = whole if isinstance(whole, ShardRecord) else whole.record
        if isinstance(whole, Node) and record.data.rows == 1 and rule_of(record.stage).way is Way.SOURCE:
            ids = pq.read_table(self.build.store.data_path(record), columns=["sample_id"])
            return self.rows(whole, _ids(ids, "sample_id"))
        return self.build.store.data_path(record)

    def _stored(self, record: ShardRecord, column: str, values: Sequence[str]) -> pa.Table:
        path = self.build.store.data_path(record)
        try:
            return rows_with(path, column, values)
        except (OSError, pa.ArrowException) as error:
            raise RemakeError(f"{path} does not read: `mannequin verify` says more ({error}).") from error


def _without_files(make: Callable[P, MadeNow], *args: P.args, **kwargs: P.kwargs) -> Making:
    return lambda: (make(*args, **kwargs), ())


def _made_again(node: Node, sample_ids: Ids, making: Making, stored: pa.Table | None) -> Again:
    """Let a stage make its rows, and hold them against those of the store."""
    made, files = making()
    now = _in_order(made.rows, sample_ids)
    missing = sorted(set(sample_ids) - set(now["sample_id"].to_pylist()))
    if missing:
        return _told(node, sample_ids, Outcome.DIFFERENT, why=made.why_not(missing[0])), now
    if stored is None:
        return _told(node, sample_ids, Outcome.ERASED), now
    found = (*differences(_in_order(stored, sample_ids), now, rule_of(node.record.stage)), *files)
    return _told(node, sample_ids, _outcome(found), found), now


def _told(
    node: Node, sample_ids: Ids, outcome: Outcome, found: tuple[Difference, ...] = (), why: str = ""
) -> StageCompared:
    told = ". ".join(each for each in (why, _otherwise(node)) if each)
    record = node.record
    return StageCompared(record.stage, record.key, sample_ids, rule_of(record.stage).way, outcome, found, told)


def _outcome(found: tuple[Difference, ...]) -> Outcome:
    if not found:
        return Outcome.EQUAL
    return Outcome.WITHIN if all(each.allowed for each in found) else Outcome.DIFFERENT


def _otherwise(node: Node) -> str:
    """What of a stage is not as it was when the build was made."""
    stage, record = node.derivation.stage, node.record
    before = {"version": record.version, **record.params, **record.models, **record.execution}
    params = loads(dumps(stage.params()))
    now = {"version": stage.version, **params, **stage.models(), **stage.execution()}
    changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return "not as it was then: " + ", ".join(changed) if changed else ""


def _parents(sample_ids: Ids, stored: pa.Table | None) -> Ids:
    """The rows that children were made of; ids say it where the children are gone."""
    if stored is not None:
        return _ids(stored, "parent_id")
    return tuple(dict.fromkeys(each.rpartition("/")[0] for each in sample_ids))


def _ids(table: pa.Table, column: str) -> Ids:
    return tuple(dict.fromkeys(table[column].to_pylist()))


def _in_order(rows: pa.Table, sample_ids: Ids) -> pa.Table:
    """The rows of these ids, in their order."""
    places = pc.index_in(pa.array(sample_ids, pa.string()), value_set=rows["sample_id"].combine_chunks())
    return rows.take(places.drop_null())
