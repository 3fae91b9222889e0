"""What a request would take away: shown first, carried out only when somebody says so."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks.forget.doomed import Doomed
from tasks.forget.faces import LikeFaces, known_again
from tasks.forget.kin import MOST_NEEDLES, Kin, kin_of
from tasks.lineage.find import find_samples
from tasks.lineage.holdings import Holdings
from tasks.lineage.scan import Look, exactly, scan
from tasks.schema.errors import ConfigError
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store

SHOWN = 12
"""Samples that are named; all are counted."""


@dataclass(frozen=True)
class Plan:
    """What goes.

    Args:
        asked: what people named, as they did.
        kin: all that descends from it; see `Kin`.
        counts: stage, builds that hold it, rows and rejects that go, from the sources on.
        notes: how it was understood.
    """

    asked: tuple[str, ...]
    kin: Kin
    counts: tuple[tuple[str, tuple[str, ...], int, int], ...]
    notes: tuple[str, ...] = ()

    @property
    def doomed(self) -> Doomed:
        return self.kin.doomed

    def text(self) -> list[str]:
        """The plan in lines, for a person."""
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from self.notes
        roots = sorted(self.kin.roots)
        yield f"{_number(len(roots), 'sample')} and all that was made of it goes:"
        for root in roots[:SHOWN]:
            bits = self.kin.alike.get(root)
            like = "has the same bytes as" if not bits else f"looks like ({bits} of 64 bits differ)"
            same = "" if bits is None else f"   {like} one that was asked for"
            yield f"  {root}{same}"
        if len(roots) > SHOWN:
            yield f"  and {len(roots) - SHOWN:,} more"
        if self.counts:
            yield f"Out of {_number(len(self.counts), 'stage')}:"
        for stage, flows, rows, rejects in self.counts:
            where = f"   {', '.join(flows)}" if flows else "   in no build"
            also = f" and {_number(rejects, 'reject')}" if rejects else ""
            yield f"  {stage:<18} {_number(rows, 'row')}{also}{where}"
        addresses = sorted(self.kin.addresses)
        if addresses:
            shown = ", ".join(addresses[:SHOWN])
            yield f"Kept out from now on, by salted digests of ids, bytes and pictures, and of addresses: {shown}"
        yield from self.kin.problems


def plan_forget(
    store: Store,
    queries: Sequence[str] = (),
    identities: Sequence[str] = (),
    faces: Sequence[LikeFaces] = (),
    *,
    remembered: bool = False,
) -> Plan:
    """What would go; nothing is changed.

    Args:
        queries: addresses, sample ids, or anything that `find_samples` understands and that means few samples. An
            address that the store does not know is kept out all the same.
        identities: people of a build (`id-...`), by the names that they have or had.
        faces: what `faces_like` found: the photos that show a match go whole.
        remembered: the photos go whole that show a face which later builds knew again.
    Raises:
        ConfigError: nothing was asked for, or something that means too many samples.
        SampleNotFoundError: the store knows nothing of a query.
    """
    asked = tuple(dict.fromkeys(each.strip() for each in (*queries, *identities, *(f.photo.name for f in faces))))
    if not all(asked) or not (asked or remembered):
        raise ConfigError("Say what is to be forgotten: an address, a sample id, a file of an export, or an identity.")
    held = Holdings.of(store)
    wanted = {each.strip() for each in queries}
    ids, addresses, notes = _resolve(store, held.records, wanted)
    for identity in identities:
        own = faces_of(store, held.records, identity.strip())
        notes.append(f"{identity} has {_number(len(own), 'face')}; the photos that show it go whole.")
        ids |= own
    for found in faces:
        notes += found.text()
        ids.update(sample_id for sample_id, _ in found.matches)
    if remembered:
        own = known_again(store, held.records)
        notes.append(f"{_number(len(own), 'face')} in the store {'is' if len(own) == 1 else 'are'} known again.")
        ids |= own
    kin = kin_of(store, held.records, ids, addresses)
    return Plan(asked, kin, tuple(_counts(held, kin)), tuple(notes))


def _resolve(
    store: Store, records: Sequence[ShardRecord], wanted: Collection[str]
) -> tuple[set[str], set[str], list[str]]:
    """Ids and addresses that queries mean: those that rows have exactly in one look, the others one by one."""
    given = pa.array(sorted(wanted), pa.string())
    test = Look(
        ("sample_id", "source_uri"),
        lambda table: pc.or_(
            pc.is_in(table["sample_id"], value_set=given), pc.is_in(table["source_uri"], value_set=given)
        ),
        needles=tuple(map(exactly, wanted)) if len(wanted) <= MOST_NEEDLES else (),
    )
    ids: set[str] = set()
    addresses: set[str] = set()
    for found in scan(store, records, test) if wanted else ():
        ids.update(each for each in found.column("sample_id") if each in wanted)
        addresses.update(each for each in found.column("source_uri") if each in wanted)
    notes = []
    for query in sorted(set(wanted) - ids - addresses):
        if "://" in query:
            addresses.add(query)
            notes.append(f"No row was read from {query}: it is kept out from now on.")
            continue
        meant = find_samples(store, records, query)
        if meant.more:
            raise ConfigError(
                f"{query!r} means {len(meant.sample_ids) + meant.more:,} samples: name those that are to be forgotten."
            )
        ids.update(meant.sample_ids)
        notes += [f"{query} is {meant.how}.", *meant.notes]
    return ids, addresses, notes


def faces_of(store: Store, records: Sequence[ShardRecord], identity: str) -> set[str]:
    """The faces of an identity, by the name that it has or had, in every build.

    Raises:
        ConfigError: no build knows it.
    """

    def test(table: pa.Table) -> pa.ChunkedArray:
        now = table["identity"].to_pylist()
        before = (
            table["former_identities"].to_pylist() if "former_identities" in table.column_names else [()] * len(now)
        )
        marks = [name == identity or identity in (had or ()) for name, had in zip(now, before, strict=True)]
        return pa.chunked_array([pa.array(marks, pa.bool_())])

    look = Look(("identity", "sample_id", "former_identities"), test, needles=(identity.encode(),))
    faces = {each for found in scan(store, records, look, rejects=False) for each in found.column("sample_id")}
    if not faces:
        raise ConfigError(f"No build knows the identity {identity!r}: `mannequin explain` of a face says whose it is.")
    return faces


def _counts(held: Holdings, kin: Kin) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    rows: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    flows: dict[str, dict[str, None]] = {}
    for record in held.in_order([held.by_ref[ref] for ref in {*kin.rows, *kin.rejects}]):
        ref = (record.stage, record.key)
        rows[record.stage] += kin.rows[ref]
        rejects[record.stage] += kin.rejects[ref]
        builds = (build.flow for build in held.builds if build.holds(record))
        flows.setdefault(record.stage, {}).update(dict.fromkeys(builds))
    for stage, names in flows.items():
        if rows[stage] or rejects[stage]:
            yield stage, tuple(names), rows[stage], rejects[stage]


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
