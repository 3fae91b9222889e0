"""By which names exports, tables and pages know the samples that go."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tasks.exports.m2p_join import folder_name
from tasks.forget.doomed import Doomed
from tasks.lineage.exports import FIRST_NUMBERS, PICTURE_ENDS
from tasks.schema.errors import UnreadableError
from tasks.schema.ids import template_id
from tasks.shards.numbers import ledgers, number_name, read_ledger
from tasks.shards.store import Store

StandIn = Callable[[str], str]
"""A forgotten sample -> what stands for it in a ledger of numbers, the same every time, without saying who it was."""

_IDS: Final = (
    *("sample_id", "parent_id", "photo_id", "other_sample_id", "template_id", "image_id", "id", "folder"),
    *("face_a", "face_b"),
)
"""Columns that name a sample, in tables, lists and ledgers."""

_ORIGINS: Final = ("source_uri", "url", "sha256", "photo_sha256")
"""Columns that say where a row is from; they count only in tables that name no sample, since of one photo with two
people one may go."""

_ENDS: Final = re.compile(f"{PICTURE_ENDS}$")

_SHORTEST: Final = 8
"""Characters of a name that is looked for inside of texts: shorter ones are words."""


@dataclass(frozen=True)
class Names:
    """What samples that go are called.

    Args:
        ids: sample ids.
        files: names of their files and folders: their ids with `_`, template ids, numbers (`fashion_0003`).
        origins: addresses, paths and digests that they come from.
    """

    ids: frozenset[str]
    files: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: Store, doomed: Doomed, stand_in: StandIn) -> "Names":
        """All names, the numbers that the store gave included, also those that `stand_in` holds by now."""
        files = {name for each in doomed.sample_ids for name in _file_names(each)}
        if doomed.sample_ids:
            files |= set(_numbered(store, {name for each in doomed.sample_ids for name in (each, stand_in(each))}))
        return cls(doomed.sample_ids, frozenset(files), doomed.source_uris | doomed.digests)

    def __bool__(self) -> bool:
        return bool(self.ids or self.files or self.origins)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Values of the columns that name a sample."""
        return self.ids | self.files

    @cached_property
    def _keys(self) -> pa.Array:
        return pa.array(sorted(self.keys), pa.string())

    @cached_property
    def _origins(self) -> pa.Array:
        return pa.array(sorted(self.origins), pa.string())

    @cached_property
    def needles(self) -> tuple[str, ...]:
        """What is looked for inside of texts, the longest first."""
        return tuple(sorted((each for each in self.keys | self.origins if len(each) >= _SHORTEST), key=len)[::-1])

    def more(self, files: Iterable[str]) -> "Names":
        """With further names of files."""
        return replace(self, files=self.files | frozenset(files))

    def columns(self, offered: Collection[str]) -> tuple[str, ...]:
        """Of the columns of a table those that decide which rows go."""
        named = tuple(name for name in _IDS if name in offered)
        return named or tuple(name for name in _ORIGINS if name in offered)

    def has_row(self, row: Mapping[str, Any]) -> bool:
        """Whether a row, entry or verdict is of one of them."""
        return any(row[name] in self._values(name) for name in self.columns(row) if isinstance(row[name], str))

    def rows(self, table: pa.Table) -> pa.ChunkedArray:
        """Which rows of a table are of one of them, booleans without nulls; `table` has at least `columns`."""
        found = pa.chunked_array([pa.array([False] * table.num_rows, pa.bool_())])
        for name in self.columns(table.schema.names):
            if pa.types.is_string(table.schema.field(name).type):
                found = pc.or_(found, pc.is_in(table[name], self._origins if name in _ORIGINS else self._keys))
        return found

    def has_file(self, name: str) -> bool:
        """Whether a file of an export, named with `/`, is called by one of them, or lies in a folder that is."""
        *folders, last = name.split("/")
        stems = (last.partition(".")[0], last.rpartition(".")[0])
        called = (*stems, *(_ENDS.sub("", stem) for stem in stems), *folders[-1:])
        return not self.files.isdisjoint(called) or any("/".join(pair) in self.ids for pair in pairwise(folders))

    def named_in(self, text: str) -> bool:
        """Whether a page or a card names one of them."""
        return any(needle in text for needle in self.needles)

    def _values(self, column: str) -> frozenset[str]:
        return self.origins if column in _ORIGINS else self.keys


def _file_names(sample_id: str) -> tuple[str, ...]:
    """Ids of films and videos are words that folders may be called too, and have no files under them alone."""
    plain = (sample_id.replace("/", "_"),) if "/" in sample_id else ()
    return (*plain, folder_name(sample_id), template_id(sample_id))


def _numbered(store: Store, wanted: set[str]) -> Iterable[str]:
    """`fashion_0003` for samples, or what stands for them, in all ledgers of numbers that read."""
    for ledger in ledgers(store):
        with suppress(UnreadableError):
            for prefix, numbers in read_ledger(store, ledger).items():
                for each in numbers.keys() & wanted:
                    yield number_name(prefix, numbers[each] + FIRST_NUMBERS.get(ledger, 0))
