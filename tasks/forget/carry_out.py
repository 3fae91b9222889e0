"""Forgets: tombstones first, then the shards and builds, then all other places, then a receipt.

One forget runs at a time, and tasks that begin meanwhile stop. What a place outside could not be reached for stays put
down, and every later call tries it again.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from pydantic import Field

from tasks.forget.builds import renew_builds
from tasks.forget.doomed import Doomed, Erased
from tasks.forget.exports import output_folders
from tasks.forget.exports_patches import note_after
from tasks.forget.folders_fetched import out_of_reach
from tasks.forget.journal import (
    FORGOTTEN,
    Asked,
    Steps,
    Taken,
    begin,
    clear,
    do,
    end,
    outstanding,
    put,
    read_asked,
    read_steps,
    set_aside,
    staging,
    turn,
    unfinished,
    write_steps,
)
from tasks.forget.outside import names_of
from tasks.forget.plan import Plan
from tasks.forget.rekey import Rekeyed, rekey
from tasks.forget.scrub import Scrubber
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen
from tasks.shards.files import disk_errors_explained
from tasks.shards.notes import drop_runs
from tasks.shards.store import Store
from tasks.shards.tombstones import add_tombstones, read_salt

Outside = Callable[[Doomed, Mapping[str, str]], Iterable[Erased]]
"""Takes what goes out of every place but shards and builds; says what it did. It is given the digests of the manifests
that change, as they were and as they are."""

OUT_OF_REACH = (
    "Copies of exports, and backups of the store, its exports and its databases: take it out of them yourself.",
    "Files of databases (Postgres, Prefect's): deleted rows stay in them, unread, until the server uses their space.",
    "The sources: addresses, folders, lists and forms name it as before, and builds say what they were asked to read.",
)

LEARNED = ("classifier",)
"""Stages whose rows are models that learned from the rows of others."""


class Receipt(Frozen):
    """What was forgotten, told without saying what it was.

    Args:
        asked: salted names of what people asked for.
        samples, rows: samples with all that was made of them; rows of shards that are gone.
        out_of_reach: what only people can do, a sentence each.
        outstanding: a place could not be reached: the next call tries again, and until then the names are kept.
    """

    number: int
    asked: tuple[str, ...]
    samples: int
    rows: int
    taken: tuple[Taken, ...]
    out_of_reach: tuple[str, ...] = Field(())
    outstanding: bool = False

    def text(self) -> list[str]:
        """The receipt in lines, for a person."""
        who, of_whom = ("sample is", "it") if self.samples == 1 else ("samples are", "them")
        lines = [f"Receipt {self.number}: {self.samples:,} {who} forgotten, with {self.rows:,} rows made of {of_whom}."]
        for each in self.taken:
            if each.things or each.rows:
                lines.append(f"  {each.place}: {each.things:,} changed or removed, {each.rows:,} rows gone")
            elif each.problems:
                lines.append(f"  {each.place}:")
            lines += [f"    {problem}" for problem in each.problems]
        if self.outstanding:
            lines.append(
                "Not all of it could be reached: mend that, then call `mannequin forget` again, naming nothing."
            )
        return [*lines, *self.out_of_reach]


def carry_out(store: Store, plan: Plan, outside: Outside) -> Receipt:
    """Forget what a plan names, for good; what an earlier call left unfinished is finished first.

    Killed at any instant, the next call or `finish_unfinished` goes on where it was.

    Raises:
        StoreError: the store cannot be written, or what was begun does not read.
    """
    kin, doomed = plan.kin, plan.doomed
    asked = Asked(
        asked=plan.asked,
        sample_ids=tuple(sorted(doomed.sample_ids)),
        roots=tuple(sorted(doomed.roots)),
        source_uris=tuple(sorted(doomed.source_uris)),
        digests=tuple(sorted(doomed.digests)),
        contents=tuple(sorted(kin.contents)),
        hashes=tuple(sorted(kin.hashes)),
    )
    with disk_errors_explained(store.root), turn(store):
        _finish_all(store, outside)
        return _finish(store, begin(store, asked), outside)


def finish_unfinished(store: Store, outside: Outside) -> Receipt | None:
    """Finish what a killed call began, and what waits for places that could not be reached; None: there is nothing.

    Raises:
        StoreError: the store cannot be written, another call is under way, or what was begun does not read.
    """
    if not store.files.has_any(store.root / FORGOTTEN):
        return None
    with disk_errors_explained(store.root), turn(store):
        return _finish_all(store, outside)


def _finish_all(store: Store, outside: Outside) -> Receipt | None:
    receipt = None
    waiting = outstanding(store)
    while (number := unfinished(store)) is not None:
        receipt = _finish(store, number, outside)
    for number in waiting:
        receipt = _try_again(store, number, outside)
    clear(store)
    return receipt


def receipts(store: Store) -> list[Receipt]:
    """All receipts, the oldest first.

    Raises:
        StoreError: one does not read.
    """
    found = []
    for path in sorted((store.fresh(FORGOTTEN) / "receipts").glob("*.json")):
        try:
            found.append(Receipt.model_validate_json(path.read_bytes()))
        except ValueError as error:
            raise StoreError(f"{path} is damaged: restore it from a backup.") from error
    return found


def _finish(store: Store, number: int, outside: Outside) -> Receipt:
    path = _receipt_path(store, number)
    if not path.exists():
        asked = read_asked(store, number)
        add_tombstones(store, asked.roots, asked.source_uris, asked.contents, asked.hashes)
        steps = read_steps(store, number) or _prepare(store, number, asked)
        do(store, steps.steps)
        store.sweep(older_than_s=-1)
        drop_runs(store, lambda run: bool(run.said))  # an error may name what is forgotten
        erased = tuple(outside(asked.doomed, steps.builds))
        receipt = _receipt(store, number, asked, steps.taken)
        put(
            store,
            path,
            _with(receipt, erased, Scrubber(asked.doomed, read_salt(store))).model_dump_json(indent=1).encode(),
        )
    receipt = Receipt.model_validate_json(path.read_bytes())
    if receipt.outstanding:
        set_aside(store, number)
    else:
        end(store, number)
    return receipt


def _try_again(store: Store, number: int, outside: Outside) -> Receipt:
    """Look at all places outside once more: those that were reached before hold nothing."""
    asked, steps, path = read_asked(store, number), read_steps(store, number), _receipt_path(store, number)
    erased = tuple(outside(asked.doomed, steps.builds if steps else {}))
    receipt = Receipt.model_validate_json(path.read_bytes())
    receipt = _with(receipt, erased, Scrubber(asked.doomed, read_salt(store)))
    put(store, path, receipt.model_dump_json(indent=1).encode())
    if not receipt.outstanding:
        end(store, number)
    return receipt


def _receipt_path(store: Store, number: int) -> Path:
    return store.root / FORGOTTEN / "receipts" / f"{number:06d}.json"


def _with(receipt: Receipt, erased: Iterable[Erased], scrubber: Scrubber) -> Receipt:
    """A receipt with what went from places outside, added to what went from them before."""
    places = {each.place: each for each in receipt.taken}
    again = False
    for each in erased:
        now, before = _taken(each, scrubber), places.get(each.place)
        places[each.place] = now if before is None else _added(before, now)
        again |= each.again
    return receipt.model_copy(update={"taken": tuple(places.values()), "outstanding": again})


def _added(before: Taken, now: Taken) -> Taken:
    return now.model_copy(
        update={
            "things": before.things + now.things,
            "rows": before.rows + now.rows,
            "removed": tuple(sorted({*before.removed, *now.removed})),
        }
    )


def _prepare(store: Store, number: int, asked: Asked) -> Steps:
    """Write all new files, where nobody looks for them, and put down what is to be done with them."""
    scrubber = Scrubber(asked.doomed, read_salt(store))
    names = names_of(store, asked.doomed)
    trees = (*output_folders(store), store.root / "exports" / "video_patches")
    note = partial(note_after, trees, names=names)
    rekeyed = rekey(store, store.records(), scrubber, staging(store, number), f"{number}", note)
    builds = renew_builds(store, rekeyed, scrubber)
    places = [step for step in rekeyed.steps if step.do != "remove"]
    removes = [step for step in rekeyed.steps if step.do == "remove"]
    learned = tuple(
        f"The {old[0]} {old[1][:12]} learned from it: that cannot be taken out; the next run learns anew, without it."
        for old, new in rekeyed.new.items()
        if old[0] in LEARNED
    )
    shards = Taken(
        place="shards",
        things=len(rekeyed.new),
        rows=sum(rekeyed.rows.values()) + sum(rekeyed.rejects.values()),
        stages=_by_stage(rekeyed),
        removed=tuple(sorted(rekeyed.removed)),
        problems=(*rekeyed.problems, *learned),
    )
    manifests = Taken(
        place="builds",
        things=len(builds.renamed),
        rows=0,
        removed=tuple(sorted(builds.renamed)),
        problems=tuple(builds.problems),
    )
    told = tuple(scrubber.sentence(each) for each in out_of_reach(store, asked.doomed, names))
    elsewhere = Taken(place="out of reach", things=0, rows=0, problems=told)
    everything = (*places, *builds.steps, *removes)
    steps = Steps(steps=everything, taken=(shards, manifests, elsewhere), builds=builds.renamed)
    write_steps(store, number, steps)
    return steps


def _by_stage(rekeyed: Rekeyed) -> dict[str, int]:
    stages = sorted({*rekeyed.rows, *rekeyed.rejects})
    return {stage: rekeyed.rows.get(stage, 0) + rekeyed.rejects.get(stage, 0) for stage in stages}


def _receipt(store: Store, number: int, asked: Asked, taken: Iterable[Taken]) -> Receipt:
    salt = read_salt(store)
    said = tuple(taken)
    return Receipt(
        number=number,
        asked=tuple(sorted(salt.name(each) for each in asked.asked)),
        samples=len(asked.roots),
        rows=sum(each.rows for each in said if each.place == "shards"),
        taken=said,
        out_of_reach=(*OUT_OF_REACH, *store.files.beyond),
    )


def _taken(erased: Erased, scrubber: Scrubber) -> Taken:
    return Taken(
        place=erased.place,
        things=erased.things,
        rows=erased.rows,
        removed=tuple(sorted(erased.removed)),
        problems=tuple(scrubber.sentence(each) for each in erased.problems),
    )
