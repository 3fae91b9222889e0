"""The outputs of a store without what goes, under the keys by which the next run looks for them.

An output whose rows depend on nothing but their own inputs gets the key of its new inputs, so that it is found. One
that was made of all rows together gets a key that nobody looks for: it stays readable, and the next run makes it anew.
Sources keep their key.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

import pyarrow as pa
from pydantic import JsonValue

from tasks.forget.journal import Step
from tasks.forget.kin import descends
from tasks.forget.scrub import Scrubber
from tasks.forget.thin import Thinned, ThinnedRejects, Thinner
from tasks.lineage.remake_rules import Way, rule_of
from tasks.patches.cut import Patches
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.schema.rejections import Reason
from tasks.shards.stage import output_key
from tasks.shards.store import Store

Ref = tuple[str, str]
"""Stage and key of an output."""


Note = Callable[[str, str], str]
"""Piece and digest of the note of its files in a tree of patches -> the digest that the note will have; empty: none."""


def _as_it_is(piece: str, digest: str) -> str:
    del piece
    return digest


@dataclass
class Rekeyed:
    """What becomes of the outputs of a store.

    Args:
        new: stage and key as they were -> the record from now on, of every output that changes.
        words: keys and digests as they were -> as they are from now on.
        steps: what is to be done to the files, in order; what goes comes last, records before their files.
        rows, rejects: how many rows went, by stage.
        removed: digests of the files that are gone or were written anew.
        problems: outputs that do not read, a sentence each.
    """

    new: dict[Ref, ShardRecord] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def ref(self, ref: InputRef) -> InputRef:
        """What a reference refers to from now on."""
        found = self.new.get((ref.stage, ref.key))
        return ref if found is None else found.ref


def from_the_sources_on(records: Sequence[ShardRecord]) -> list[ShardRecord]:
    """Records, each after all that it names: inputs, sides, and outputs that its parameters tell."""
    known = {(record.stage, record.key): record for record in records}
    above = {ref: [each for each in _named(record) if each in known] for ref, record in known.items()}
    return [known[ref] for ref in TopologicalSorter(above).static_order()]


def _named(record: ShardRecord) -> Iterator[Ref]:
    yield from ((ref.stage, ref.key) for ref in (*record.inputs, *record.sides))
    parent = record.params.get("parent")
    if isinstance(parent, dict):
        yield str(parent.get("stage")), str(parent.get("key"))


def rekey(
    store: Store,
    records: Sequence[ShardRecord],
    scrubber: Scrubber,
    staging: Path,
    nonce: str,
    note: Note = _as_it_is,
) -> Rekeyed:
    """Write every output that changes anew, below `staging`, and say what is to be done with it.

    Args:
        nonce: makes keys that no run has; the same for the same request.
        note: see `Note`.
    """
    roots = scrubber.doomed.roots
    work = _Work(store, scrubber, Thinner(store, lambda each: descends(each, roots), scrubber, staging), nonce, note)
    for record in from_the_sources_on(records):
        try:
            work.renew(record)
        except (OSError, pa.ArrowException) as error:
            why = str(error).partition("\n")[0]
            told = f"{record.stage}/{record.key[:12]} does not read and stays as it is: {why}."
            work.done.problems.append(f"{told} `mannequin verify` says more.")
    work.remove_old()
    return work.done


@dataclass
class _Work:
    store: Store
    scrubber: Scrubber
    thinner: Thinner
    nonce: str
    note: Note
    done: Rekeyed = field(default_factory=Rekeyed)
    _old: dict[Ref, ShardRecord] = field(default_factory=dict)
    _made: dict[Ref, ShardRecord] = field(default_factory=dict)
    _gone: dict[Ref, frozenset[str]] = field(default_factory=dict)

    def renew(self, old: ShardRecord) -> None:
        """Look at an output, and stage what it becomes if it changes."""
        self._old[old.stage, old.key] = old
        inputs, sides = ([self.done.ref(ref) for ref in refs] for refs in (old.inputs, old.sides))
        offered = self._offered(old)
        data = Thinned() if old.erased else self.thinner.rows(self.store.data_path(old))
        fresh = self._introduced(old, data, offered)
        rejects = self.thinner.rejects(self.store.rejects_path(old), old.stage, fresh, source=not old.inputs)
        gone = offered - {each for each, _ in rejects.gone} if old.erased else frozenset(data.gone)
        self._gone[old.stage, old.key] = frozenset(gone)
        about = not old.inputs and bool(data.gone or rejects.gone)
        params, facts = (self._said(each, about=about) for each in (old.params, self._noted(old)))
        same = params == old.params and facts == old.facts and not data.changed and not rejects.changed and not gone
        if same and list(old.inputs) == inputs and list(old.sides) == sides:
            return
        counted = _counted(old, data, rejects, offered, fresh, self._all_known(old))
        emptied = bool(old.inputs) and counted.rows_in == 0 and old.rows_in > 0
        update = {
            "inputs": tuple(inputs),
            "sides": tuple(sides),
            "params": params,
            "facts": _zeros(facts) if emptied else facts,
            "data": data.file or old.data,
            "rejects": rejects.file if rejects.changed else old.rejects,
            "rows_in": counted.rows_in,
            "rows_kept": counted.rows_kept,
            "rejected": counted.rejected,
            "children_rejected": counted.children_rejected,
        }
        if old.erased:
            update["data"] = old.data.model_copy(update={"rows": old.data.rows - len(gone)})
        new = old.model_copy(update=update)
        new = new.model_copy(update={"key": self._key(old, new, emptied=emptied)})
        self._stage(old, new, data, rejects)
        self._count(old, data, rejects)

    def _noted(self, old: ShardRecord) -> dict[str, JsonValue]:
        """The facts of an output; those of patches name the note of their files, which changes with them."""
        if old.stage != Patches.name:
            return old.facts
        files = self.note(str(old.facts["piece"]), str(old.facts["files"]))
        return {**old.facts, "piece": old.facts["piece"] if files else "", "files": files}

    def _offered(self, old: ShardRecord) -> frozenset[str]:
        """The rows of its inputs that go."""
        refs = [(ref.stage, ref.key) for ref in old.inputs]
        return frozenset(each for ref in refs for each in self._gone.get(ref, frozenset()))

    def _all_known(self, old: ShardRecord) -> bool:
        return all((ref.stage, ref.key) in self._old for ref in old.inputs)

    def _introduced(self, old: ShardRecord, data: Thinned, offered: frozenset[str]) -> list[str]:
        """Salted names of what the stage would now leave out itself: rows of a source, children of rows that stay."""
        name, belongs = self.scrubber.salt.name, self.thinner.belongs
        if not old.inputs:
            return [name(each) for each in data.gone]
        children = [
            each for each, parent in data.gone.items() if each not in offered and parent and not belongs(parent)
        ]
        if not children or not self._all_known(old):
            return []
        return [name(each) for each in (*children, *sorted(data.bereft))]

    def _said(self, value: Mapping[str, JsonValue], *, about: bool) -> dict[str, JsonValue]:
        """Parameters or facts, with the names of outputs as they are from now on, and without mention of what goes."""
        scrub = self.scrubber.subject if about else self.scrubber.json
        return {name: with_words(scrub(each), self.done.words) for name, each in value.items()}

    def _key(self, old: ShardRecord, new: ShardRecord, *, emptied: bool) -> str:
        follows = new.params != old.params and with_words(dict(old.params), self.done.words) != old.params
        if not old.inputs and not old.sides and not follows:
            return old.key
        below = tuple(ref.digest for ref in new.inputs), tuple(ref.digest for ref in new.sides)
        alone = rule_of(old.stage).way is not Way.JOINED and not emptied
        params: Mapping[str, JsonValue] = (
            new.params if alone else {**new.params, "forgotten": f"{self.nonce} {old.key}"}
        )
        return output_key(new.stage, new.version, *below, params, new.models, new.execution)

    def _stage(self, old: ShardRecord, new: ShardRecord, data: Thinned, rejects: ThinnedRejects) -> None:
        """Put down how an output comes to its new place; one that is there already is taken as it is."""
        ref = (new.stage, new.key)
        there = self._made.get(ref)
        if there is None and new.key != old.key:
            there = self.store.find(*ref) if ref not in self.done.new else None
        if there is not None:
            for each in (data.staged, rejects.staged):
                if each is not None:
                    self.store.files.remove(each)
            new = there
        else:
            self._move(old, new, data.staged, new.data, old.data, erased=new.erased)
            if new.rejects is not None:
                self._move(old, new, rejects.staged, new.rejects, old.rejects)
            self.done.steps.append(Step.write(self._path(self.store.record_path(*ref)), new.model_dump_json(indent=1)))
        self._made[ref] = new
        self.done.new[old.stage, old.key] = new
        self.done.words |= {} if new.key == old.key else {old.key: new.key}
        self.done.words |= {} if new.data.digest == old.data.digest else {old.data.digest: new.data.digest}
        if old.rejects is not None and new.rejects is not None and new.rejects != old.rejects:
            self.done.words[old.rejects.digest] = new.rejects.digest

    def _move(
        self,
        old: ShardRecord,
        new: ShardRecord,
        staged: Path | None,
        file: DataFile,
        before: DataFile | None,
        *,
        erased: bool = False,
    ) -> None:
        target = self._path(self.store.folder(new.stage, new.key) / file.name)
        if staged is not None:
            self.done.steps.append(Step.move(self._path(staged), target))
        elif new.key != old.key and before is not None and not erased:
            self.done.steps.append(Step.link(self._path(self.store.folder(old.stage, old.key) / before.name), target))

    def _count(self, old: ShardRecord, data: Thinned, rejects: ThinnedRejects) -> None:
        for counts, number in ((self.done.rows, len(data.gone)), (self.done.rejects, len(rejects.gone))):
            if number:
                counts[old.stage] = counts.get(old.stage, 0) + number
        if data.changed:
            self.done.removed.append(old.data.digest)
        if rejects.changed and old.rejects is not None:
            self.done.removed.append(old.rejects.digest)

    def remove_old(self) -> None:
        """What is no part of an output any more goes, records before the files that they name."""
        kept = {
            self.store.folder(record.stage, record.key) / name
            for record in self._made.values()
            for name in ("record.json", record.data.name, *((record.rejects.name,) if record.rejects else ()))
        }
        for stage, key in self.done.new:
            old = self._old[stage, key]
            names = ("record.json", old.data.name, *((old.rejects.name,) if old.rejects else ()))
            paths = [self.store.folder(stage, key) / name for name in names]
            self.done.steps += [Step.remove(self._path(path)) for path in paths if path not in kept]

    def _path(self, path: Path) -> str:
        return path.relative_to(self.store.root).as_posix()


@dataclass(frozen=True)
class _Counts:
    rows_in: int
    rows_kept: int
    rejected: dict[str, int]
    children_rejected: dict[str, int]


def _counted(
    old: ShardRecord,
    data: Thinned,
    rejects: ThinnedRejects,
    offered: frozenset[str],
    fresh: Sequence[str],
    known: bool,
) -> _Counts:
    """The row equation of an output without the rows that go."""
    if not old.inputs:
        rejected = _less(old.rejected, (reason for _, reason in rejects.gone))
        rejected = _more(rejected, len(fresh) + len(rejects.gone))
        kept = old.rows_kept - len(data.gone)
        return _Counts(kept + sum(rejected.values()), kept, rejected, old.children_rejected)
    if not known:
        offered = frozenset(data.gone) | {each for each, _ in rejects.gone}
    rejected = _less(old.rejected, (reason for each, reason in rejects.gone if each in offered))
    children = _less(old.children_rejected, (reason for each, reason in rejects.gone if each not in offered))
    bereft = min(len(data.bereft), len(fresh))
    rejected, children = _more(rejected, bereft), _more(children, len(fresh) - bereft)
    rows_in = old.rows_in - len(offered)
    return _Counts(rows_in, rows_in - sum(rejected.values()), rejected, children)


def _less(counts: Mapping[str, int], gone: Iterable[str]) -> dict[str, int]:
    left = dict(counts)
    for reason in gone:
        left[reason] = left.get(reason, 0) - 1
    return {reason: count for reason, count in sorted(left.items()) if count}


def _more(counts: Mapping[str, int], forgotten: int) -> dict[str, int]:
    told = {**counts, Reason.FORGOTTEN.value: counts.get(Reason.FORGOTTEN.value, 0) + forgotten}
    return dict(sorted(told.items())) if forgotten else dict(counts)


def with_words(value: JsonValue, words: Mapping[str, str]) -> JsonValue:
    """A JSON value with other words in the place of some that are texts of their own."""
    match value:
        case str():
            return words.get(value, value)
        case list():
            return [with_words(each, words) for each in value]
        case dict():
            return {name: with_words(each, words) for name, each in value.items()}
    return value


def _zeros(value: JsonValue) -> JsonValue:
    """What was measured of no rows: counts are 0."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return 0
        case list():
            return [_zeros(each) for each in value]
        case dict():
            return {name: _zeros(each) for name, each in value.items()}
