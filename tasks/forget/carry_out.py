"""Forgets: tombstones first, then the shards and builds, then all other places, then a receipt.

Nothing else should run on the store meanwhile: what runs may write again what it read before.
"""

from collections.abc import Callable, Iterable
from functools import partial

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
    do,
    end,
    put,
    read_asked,
    read_steps,
    staging,
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
from tasks.shards.store import Store
from tasks.shards.tombstones import add_tombstones, read_salt

Outside = Callable[[Doomed], Iterable[Erased]]
"""Takes what goes out of every place but shards and builds; says what it did."""

OUT_OF_REACH = (
    "Copies of exports, and backups of the store, its exports and its databases: take it out of them yourself.",
    "The sources themselves: addresses, folders and lists still hold it, the store only keeps it out.",
)

LEARNED = ("classifier",)
"""Stages whose rows are models that learned from the rows of others."""


class Receipt(Frozen):
    """What was forgotten, told without saying what it was.

    Args:
        asked: salted names of what people asked for.
        samples, rows: samples with all that was made of them; rows of shards that are gone.
        out_of_reach: what only people can do, a sentence each.
    """

    number: int
    asked: tuple[str, ...]
    samples: int
    rows: int
    taken: tuple[Taken, ...]
    out_of_reach: tuple[str, ...] = Field(())

    def text(self) -> list[str]:
        """The receipt in lines, for a person."""
        lines = [f"Receipt {self.number}: {self.samples:,} samples and {self.rows:,} rows made of them are forgotten."]
        for each in self.taken:
            lines.append(f"  {each.place}: {each.things:,} changed or removed, {each.rows:,} rows gone")
            lines += [f"    {problem}" for problem in each.problems]
        return [*lines, *self.out_of_reach]


def carry_out(store: Store, plan: Plan, outside: Outside) -> Receipt:
    """Forget what a plan names, for good; what an earlier call left unfinished is finished first.

    Killed at any instant, the next call or `finish_unfinished` goes on where it was.

    Raises:
        StoreError: the store cannot be written, or what was begun does not read.
    """
    finish_unfinished(store, outside)
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
    with disk_errors_explained(store.root):
        return _finish(store, begin(store, asked), outside)


def finish_unfinished(store: Store, outside: Outside) -> Receipt | None:
    """Finish what a killed call began; None where there is nothing.

    Raises:
        StoreError: the store cannot be written, or what was begun does not read.
    """
    receipt = None
    with disk_errors_explained(store.root):
        while (number := unfinished(store)) is not None:
            receipt = _finish(store, number, outside)
    return receipt


def receipts(store: Store) -> list[Receipt]:
    """All receipts, the oldest first.

    Raises:
        StoreError: one does not read.
    """
    found = []
    for path in sorted((store.root / FORGOTTEN / "receipts").glob("*.json")):
        try:
            found.append(Receipt.model_validate_json(path.read_bytes()))
        except ValueError as error:
            raise StoreError(f"{path} is damaged: restore it from a backup.") from error
    return found


def _finish(store: Store, number: int, outside: Outside) -> Receipt:
    path = store.root / FORGOTTEN / "receipts" / f"{number:06d}.json"
    if not path.exists():
        asked = read_asked(store, number)
        add_tombstones(store, asked.roots, asked.source_uris, asked.contents, asked.hashes)
        steps = read_steps(store, number) or _prepare(store, number, asked)
        do(store, steps.steps)
        store.sweep(older_than_s=-1)
        scrubber = Scrubber(asked.doomed, read_salt(store))
        taken = (*steps.taken, *(_taken(each, scrubber) for each in outside(asked.doomed)))
        put(store, path, _receipt(store, number, asked, taken).model_dump_json(indent=1).encode())
    end(store, number)
    return Receipt.model_validate_json(path.read_bytes())


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
        things=len(builds.changed),
        rows=0,
        removed=tuple(sorted(builds.changed)),
        problems=tuple(builds.problems),
    )
    told = tuple(scrubber.text(each) for each in out_of_reach(store, asked.doomed, names))
    elsewhere = Taken(place="out of reach", things=0, rows=0, problems=told)
    steps = Steps(steps=(*places, *builds.steps, *removes), taken=(shards, manifests, elsewhere))
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
        out_of_reach=OUT_OF_REACH,
    )


def _taken(erased: Erased, scrubber: Scrubber) -> Taken:
    return Taken(
        place=erased.place,
        things=erased.things,
        rows=erased.rows,
        removed=tuple(sorted(erased.removed)),
        problems=tuple(scrubber.text(each) for each in erased.problems),
    )
