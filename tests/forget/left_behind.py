"""Everything by which samples could be found again: names, picture files, vectors, and how pictures look.

    python -m tests.forget.left_behind BEFORE AFTER PLACE ... -- ID ...

Reads what the samples ID and all below them left in the store BEFORE, a copy from before they were forgotten, and looks
for it in every file of the store AFTER and of further places. Exit status 1 where something is found.
"""

import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.forget.kin import descends
from tasks.forget.outside_search import parts_of, search_for
from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.hashing import phash
from tasks.schema.ids import template_id
from tasks.shards.store import Store
from tasks.shards.tombstones import NEAR_BITS, TELLING_BITS

_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n")
_DIGESTS = ("sha256", "digest", "clip_digest", "gt_digest", "lr5_digest")
_VIDEO_IDS = ("dance_", "small/", "film")
"""Frames of one video look alike, those that stay too."""


@dataclass(frozen=True)
class Traces:
    """What samples left: bytes by what they are, and perceptual hashes of their pictures, (N,)."""

    needles: dict[str, frozenset[bytes]]
    hashes: np.ndarray

    def found(self, places: Iterable[Path]) -> list[str]:
        """Files that hold one of them, and why; receipts are to have the digests of files that are gone."""
        every = list(places)
        told = [
            f"{what}: {path}"
            for what, each in self.needles.items()
            for path in search_for(every, each)
            if not (what == "digest" and path.parent.name == "receipts")
        ]
        return told + [f"looks like it: {path}" for path in _looking_alike(every, self.hashes)]


def traces(store: Store, ids: Collection[str]) -> Traces:
    """Of samples and all below them, from every shard of a store that still has them."""
    needles: dict[str, set[bytes]] = {
        "name": set(),
        "address": set(),
        "digest": set(),
        "picture": set(),
        "vector": set(),
    }
    hashes: set[int] = set()
    for record in store.records():
        if record.erased:
            continue
        for row in _rows(pq.read_table(store.data_path(record)), ids):
            needles["name"] |= {row["sample_id"].encode(), template_id(row["sample_id"]).encode()}
            needles["address"] |= {row[n].encode() for n in ("source_uri", "url") if row.get(n)}
            needles["digest"] |= {row[n].encode() for n in _DIGESTS if row.get(n)}
            for name, value in row.items():
                if isinstance(value, dict) and value.get("bytes"):
                    needles["picture"].add(value["bytes"])
                    if not row["sample_id"].startswith(_VIDEO_IDS):
                        hashes |= set(_hashes(value["bytes"]))
                if name in ("embedding", "face_embedding") and value:
                    needles["vector"] |= {np.asarray(value, kind).tobytes() for kind in ("<f2", "<f4", "<f8")}
    return Traces({what: frozenset(each) for what, each in needles.items()}, np.array(sorted(hashes), np.uint64))


def _rows(table: pa.Table, ids: Collection[str]) -> Iterator[dict[str, object]]:
    goes = [descends(each, ids) for each in table["sample_id"].to_pylist()]
    yield from table.filter(pa.array(goes, pa.bool_())).to_pylist()


def _looking_alike(places: Iterable[Path], hashes: np.ndarray) -> Iterator[Path]:
    if not len(hashes):
        return
    files = (path for top in places for path in ([top] if top.is_file() else sorted(top.rglob("*"))) if path.is_file())
    for path in files:
        near = (int(np.bitwise_count(hashes ^ np.uint64(h)).min()) for part in parts_of(path) for h in _hashes(part))
        if any(bits <= NEAR_BITS for bits in near):
            yield path


def _hashes(data: bytes) -> Iterator[int]:
    """Of all pictures among some bytes; flat ones tell nothing."""
    for start in _PICTURE.finditer(data):
        try:
            value = phash(decode_rgb(data[start.start() :]))
        except DecodeError:
            continue
        if value.bit_count() in TELLING_BITS:
            yield value


def main(*args: str) -> None:
    """Print what is found."""
    places, ids = args[: args.index("--")], args[args.index("--") + 1 :]
    before, *after = (Path(each).resolve() for each in places)
    sought = traces(Store(before), ids)
    print(", ".join(f"{len(each)} x {what}" for what, each in sought.needles.items()), f"{len(sought.hashes)} hashes")
    found = sought.found(after)
    print(*found, f"{len(found)} traces are left", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
