"""Tombstones: what was forgotten and must not come back, told without saying what it was.

<root>/forgotten/salt                       32 random bytes, made once for each store
<root>/forgotten/tombstones/000001.json     a ledger, see `tasks.shards.ledger`
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from json import dumps
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.schema.errors import StoreError
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.files import Stamp, disk_errors_explained, temporary
from tasks.shards.ledger import Segment, append_segment, ledger_folder, make_durable, read_segments
from tasks.shards.store import Store

NEAR_BITS = 6
"""Bits in which perceptual hashes of one picture may differ. Source: the flows' own limit for near duplicates."""

TELLING_BITS = range(24, 41)
"""Set bits of a hash that tells pictures apart: half of its 64 lie above the median; flat pictures have ties."""

CONTENT_COLUMNS = ("sha256", "digest")
"""Columns with the digest of the file that a row is: a photo, a film, a video."""

REMEMBERED = "It shows a face that somebody asked to have known again and left out."
"""What is told of a face that `tasks.face.remembered` knows; its score is the cosine."""

_SALT_BYTES = 32
_ROWS_AT_ONCE = 1 << 12

Kind = Literal["id", "address", "content"]


@dataclass(frozen=True)
class Salt:
    """The secret of a store, without which nobody can try out whom its tombstones name."""

    data: bytes

    def digest(self, kind: Kind, value: str, size: int = 16) -> str:
        """What stands for a value: `size` bytes in hex."""
        return blake2b(f"{kind}\0{value}".encode(), digest_size=size, key=self.data).hexdigest()

    def name(self, value: str) -> str:
        """What stands where an id or an address stood: `forgotten-` and 32 hex digits."""
        return f"forgotten-{self.digest('id', value)}"

    def masked(self, hashes: Iterable[int]) -> NDArray[np.uint64]:
        """Perceptual hashes that only this store can read; distances between them stay as they are."""
        mask = np.frombuffer(blake2b(b"phash", digest_size=8, key=self.data).digest(), "<u8")[0]
        return np.fromiter(hashes, np.uint64) ^ np.uint64(mask)


class Tombstone(Segment):
    """What one request took away; salted, each list sorted."""

    ids: tuple[str, ...]
    addresses: tuple[str, ...]
    contents: tuple[str, ...]
    hashes: tuple[int, ...]
    sha256: str

    @classmethod
    def of(
        cls, ids: Iterable[str], addresses: Iterable[str], contents: Iterable[str], hashes: Iterable[int]
    ) -> "Tombstone":
        lists = tuple(tuple(sorted(each)) for each in (ids, addresses, contents))
        numbers = tuple(sorted(hashes))
        digest = sha256(dumps([*lists, numbers], separators=(",", ":")).encode()).hexdigest()
        return cls(ids=lists[0], addresses=lists[1], contents=lists[2], hashes=numbers, sha256=digest)

    @property
    def whole(self) -> bool:
        return self == Tombstone.of(self.ids, self.addresses, self.contents, self.hashes)


@dataclass(frozen=True)
class Tombstones:
    """All of a store: salted digests of ids, addresses and contents, and masked hashes (N,) of pictures."""

    salt: Salt
    ids: frozenset[str]
    addresses: frozenset[str]
    contents: frozenset[str]
    hashes: NDArray[np.uint64]

    def sift(self, rows: pa.RecordBatch | pa.Table) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which rows were forgotten, (N,), and the bits by which a picture differs from a forgotten one, else NaN."""
        gone = np.fromiter(map(self._names, rows["sample_id"].to_pylist()), np.bool_, rows.num_rows)
        gone |= self._known(rows, "source_uri", "address", self.addresses)
        for column in CONTENT_COLUMNS:
            gone |= self._known(rows, column, "content", self.contents)
        bits = np.full(rows.num_rows, np.nan)
        if len(self.hashes) and "phash" in rows.schema.names and rows.schema.field("phash").type == pa.uint64():
            bits = self._nearest(rows["phash"].to_pylist())
            gone |= bits <= NEAR_BITS
        return gone, np.where(gone & (bits <= NEAR_BITS), bits, np.nan)

    def rejects(self, rejection: Rejection) -> bool:
        """Whether a row that was left out for another reason was forgotten."""
        return self._names(rejection.sample_id) or self._at(rejection.source_uri)

    def nameless(self, rejections: Iterable[Rejection]) -> list[Rejection]:
        """Rejections as they are written: the forgotten ones last, under salted names and in the order of these."""
        given = list(rejections)
        known = [each for each in given if each.reason is not Reason.FORGOTTEN]
        forgotten = [each for each in given if each.reason is Reason.FORGOTTEN]
        told = [_nameless(each, self.salt.name(each.sample_id)) for each in forgotten]
        return [*known, *sorted(told, key=lambda each: each.sample_id)]

    def _names(self, sample_id: str) -> bool:
        return self.salt.digest("id", sample_id) in self.ids

    def _at(self, address: str) -> bool:
        return bool(self.addresses and address) and self.salt.digest("address", address) in self.addresses

    def _known(
        self, rows: pa.RecordBatch | pa.Table, column: str, kind: Kind, known: frozenset[str]
    ) -> NDArray[np.bool_]:
        if not known or column not in rows.schema.names or rows.schema.field(column).type != pa.string():
            return np.zeros(rows.num_rows, np.bool_)
        values = rows[column].to_pylist()
        return np.fromiter((bool(v) and self.salt.digest(kind, v) in known for v in values), np.bool_, len(values))

    def _nearest(self, hashes: list[int | None]) -> NDArray[np.float64]:
        own = self.salt.masked(each or 0 for each in hashes)
        telling = [each is not None and each.bit_count() in TELLING_BITS for each in hashes]
        parts = [
            np.bitwise_count(own[at : at + _ROWS_AT_ONCE, None] ^ self.hashes[None]).min(axis=1)
            for at in range(0, len(own), _ROWS_AT_ONCE)
        ]
        return np.where(telling, np.concatenate([np.zeros(0, np.float64), *parts]), np.inf)


def forgotten_row(name: str, score: float | None = None) -> Rejection:
    """The rejection of a forgotten sample under its salted name."""
    like = "" if score is None else "It looks like a picture that was forgotten. "
    return Rejection(name, Reason.FORGOTTEN, f"{like}It was forgotten on request, and is kept out.", score)


def _nameless(rejection: Rejection, name: str) -> Rejection:
    if rejection.detail == REMEMBERED:
        return Rejection(name, Reason.FORGOTTEN, REMEMBERED, rejection.score)
    return forgotten_row(name, rejection.score)


def read_salt(store: Store) -> Salt:
    """The salt of a store; made if there is none.

    Raises:
        StoreError: the store cannot be written, or the salt is damaged.
    """
    path = store.root / "forgotten" / "salt"
    with disk_errors_explained(store.root):
        if not store.files.has(path):
            written = temporary(store.tmp)
            try:
                with store.files.create(written) as stream:
                    stream.write(os.urandom(_SALT_BYTES))
                    store.files.sync(stream)
                store.files.link_exclusive(written, path)
            finally:
                store.files.remove(written)
            for folder in (path.parent, store.root):
                store.files.sync_folder(folder)
        data = store.files.read(path)
    if len(data) != _SALT_BYTES:
        raise StoreError(f"{path} is damaged: restore it from a backup, or what was forgotten may come back.")
    return Salt(data)


def add_tombstones(
    store: Store,
    ids: Collection[str],
    addresses: Collection[str],
    contents: Collection[str],
    hashes: Collection[int] = (),
) -> None:
    """Put down what must not come back; what stands already is not repeated. Durable when this returns.

    Args:
        ids: sample ids.
        addresses: values of `source_uri`.
        contents: digests of files, as `CONTENT_COLUMNS` hold them.
        hashes: perceptual hashes; those of flat pictures tell nothing and are left out.
    """
    salt, folder = read_salt(store), _folder(store)
    wanted = Tombstone.of(
        {salt.digest("id", each) for each in ids},
        {salt.digest("address", each) for each in addresses},
        {salt.digest("content", each) for each in contents},
        {int(each) for each in salt.masked(each for each in hashes if each.bit_count() in TELLING_BITS)},
    )
    with disk_errors_explained(store.root):
        while True:
            standing = _standing(store, salt)
            fresh = Tombstone.of(
                set(wanted.ids) - standing.ids,
                set(wanted.addresses) - standing.addresses,
                set(wanted.contents) - standing.contents,
                set(wanted.hashes) - set(standing.hashes.tolist()),
            )
            written = len(list(folder.glob("[0-9]*.json")))  # those that `_standing` read
            nothing = fresh == Tombstone.of((), (), (), ())
            if nothing or append_segment(store, folder, written + 1, fresh):
                make_durable(store, folder)
                return


def open_tombstones(store: Store) -> None:
    """Begin the ledger, if nothing was forgotten yet: from here on what is rejected as forgotten has no name."""
    read_salt(store)
    store.files.make_folder(_folder(store))
    make_durable(store, _folder(store))


def demand_nothing_under_way(store: Store) -> None:
    """Stop before work on a store that something is being taken out of: what runs would write again what it read.

    Raises:
        StoreError: a forget runs, or was interrupted.
    """
    if store.files.has_any(store.root / "forgotten" / "unfinished"):
        raise StoreError(
            f"Something is being forgotten in the store at {store.place}, or was interrupted: run again when "
            "`mannequin forget` has ended; without anything named it finishes what was interrupted."
        )


def stamp_of(store: Store) -> Stamp | None:
    """Changes whenever something is forgotten; None: nothing ever was."""
    return store.files.stamp(_folder(store))


_READ: dict[Path, tuple[Stamp, Tombstones]] = {}
"""What was read last, and when."""


def read_tombstones(store: Store) -> Tombstones | None:
    """The tombstones of a store; None where nothing was ever forgotten.

    Raises:
        StoreError: they are damaged.
    """
    folder, stamp = _folder(store), stamp_of(store)
    if stamp is None:
        return None
    known = _READ.get(folder)
    if known is None or known[0] != stamp:
        known = _READ[folder] = stamp, _standing(store, read_salt(store))
    return known[1]


def _standing(store: Store, salt: Salt) -> Tombstones:
    segments = list(read_segments(store, _folder(store), Tombstone, "what was forgotten"))
    hashes = sorted({each for segment in segments for each in segment.hashes})
    return Tombstones(
        salt,
        frozenset(each for segment in segments for each in segment.ids),
        frozenset(each for segment in segments for each in segment.addresses),
        frozenset(each for segment in segments for each in segment.contents),
        np.array(hashes, np.uint64),
    )


def _folder(store: Store) -> Path:
    return ledger_folder(store, "forgotten", "tombstones")
