"""One bundle in the making: which rows belong to it, under which labels, and what is counted on the way."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.exports.owned import OwnedFolder
from tasks.exports.webbody_cut import BUNDLE_SCHEMA, ROWS_SCHEMA
from tasks.exports.webbody_facts import WHOLE, BundleConfig, BundleFacts
from tasks.exports.webbody_formats import SPLITS, Drafts, sink
from tasks.exports.webbody_join import Plan
from tasks.schema.rejections import REJECT_SCHEMA
from tasks.shards.files import LocalFiles, file_digest

ROWS = "rows.parquet"
"""Every row of a bundle without its pictures."""

STAGE = "bundle"
"""The stage that the rejects of a bundle name."""


class FillingBundle:
    """Takes the pieces of a plan in order; a context manager.

    Labels count the identities that have a picture here from 0, in the order of their numbers: a new identity gets the
    next label, and only where an identity vanishes do later ones move up.

    Args:
        shown: members with a picture, (M,).
        numbers: identity -> its number.
    """

    def __init__(
        self,
        name: str,
        out: OwnedFolder,
        files: LocalFiles,
        plan: Plan,
        shown: NDArray[np.bool_],
        numbers: Mapping[str, int],
        config: BundleConfig,
    ) -> None:
        self.name, self.drafts = name, Drafts(out, files)
        self._plan, self._config = plan, config
        self._belongs = np.ones(len(plan), bool) if name == WHOLE else plan.in_subset(name)
        self._shown = shown & self._belongs
        number_of = np.array([numbers[identity] for identity in plan.identity.values], np.int64)
        present = np.unique(plan.identity.codes[self._shown])
        self._present = present[np.argsort(number_of[present])]
        self._number_of = number_of
        self._label_of = np.full(len(number_of), -1, np.int64)
        self._label_of[self._present] = np.arange(len(self._present))
        self._images = np.zeros(len(number_of), np.int64)
        self._rejected, self._splits, self._subsets, self._licences = (Counter[str]() for _ in range(4))
        self._rows = 0

    def __enter__(self) -> Self:
        config = self._config
        with ExitStack() as stack:
            stack.enter_context(self.drafts)
            self._rejects = self.drafts.open_parquet("rejects.parquet", REJECT_SCHEMA)
            self._table = self.drafts.open_parquet(ROWS, ROWS_SCHEMA)
            self._sinks = [sink(kind, self.drafts, config.cut.side, config.file_bytes) for kind in config.formats]
            lists = (*config.subsets, *SPLITS) if self.name == WHOLE else ()
            self._lists = {name: _Listing(name, self.drafts) for name in lists}
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def add(self, members: slice, piece: pa.Table) -> None:
        """Take what belongs here of the rows of some members (`PIECE_SCHEMA`)."""
        kept = self._shown[members]
        codes = self._plan.identity.codes[members][kept]
        labels = {"label": pa.array(self._label_of[codes]), "number": pa.array(self._number_of[codes])}
        shown = piece.filter(pa.array(kept))
        rows = pa.table([labels[n] if n in labels else shown[n] for n in BUNDLE_SCHEMA.names], schema=BUNDLE_SCHEMA)
        for each in self._sinks:
            each.add(rows)
        numbers = pa.array(range(self._rows, self._rows + rows.num_rows), pa.int64())
        self._table.write(rows.append_column("local_idx", numbers))
        self._list(rows)
        np.add.at(self._images, codes, 1)
        self._licences.update(rows["licence"].to_pylist())
        self._rows += rows.num_rows
        self._reject(piece.filter(pa.array(self._belongs[members] & ~kept)))

    def finish(self, made_from: str) -> BundleFacts:
        """Make the drafts whole and durable."""
        for each in self._sinks:
            each.end()
        for listing in self._lists.values():
            listing.end()
        self.drafts.close_parquet(self._rejects)
        self.drafts.close_parquet(self._table)
        listed = self.drafts.open("labels.csv")
        listed.write(_csv([("label", "number", "identity", "images")]))
        values = self._plan.identity.values
        for label, code in enumerate(self._present.tolist()):
            listed.write(_csv([(label, int(self._number_of[code]), values[code], int(self._images[code]))]))
        self.drafts.close(listed)
        self.drafts.settle()
        return BundleFacts(
            name=self.name,
            made_from=made_from,
            config=self._config,
            rows=self._rows,
            identities=len(self._present),
            rejected=dict(sorted(self._rejected.items())),
            splits={name: self._splits[name] for name in SPLITS},
            subsets=dict(sorted(self._subsets.items())),
            licences=dict(sorted(self._licences.items())),
            files={name: (file_digest(path), path.stat().st_size) for name, path in sorted(self.drafts.made.items())},
        )

    def _list(self, rows: pa.Table) -> None:
        for number, row in enumerate(rows.select(["path", "label", "split", "subsets"]).to_pylist(), self._rows):
            self._splits[row["split"]] += 1
            self._subsets.update(row["subsets"])
            for name in {*row["subsets"], row["split"]} & self._lists.keys():
                self._lists[name].add(number, row["path"], row["label"])

    def _reject(self, rows: pa.Table) -> None:
        count = rows.num_rows
        self._rejected.update(rows["reason"].to_pylist())
        given = {
            "stage": pa.array([STAGE] * count, pa.string()),
            "score": pa.nulls(count, pa.float64()),
            "evidence": pa.nulls(count, pa.string()),
        }
        self._rejects.write(
            pa.table([given[n] if n in given else rows[n] for n in REJECT_SCHEMA.names], schema=REJECT_SCHEMA)
        )


def list_name(name: str, kind: str = "csv") -> str:
    """The file in the whole bundle that lists the rows of a subset or a split."""
    return f"subset_config/{name}.{kind}"


class _Listing:
    """`subset_config/<name>.csv`, and the `.tsv` without header that the reference's scripts read."""

    def __init__(self, name: str, drafts: Drafts) -> None:
        self._drafts = drafts
        self._csv, self._tsv = (drafts.open(list_name(name, kind)) for kind in ("csv", "tsv"))
        self._csv.write(_csv([("local_idx", "path", "label")]))

    def add(self, number: int, path: str, label: int) -> None:
        self._csv.write(_csv([(number, path, label)]))
        self._tsv.write(f"{number}\t{path}\t{label}\n".encode())

    def end(self) -> None:
        self._drafts.close(self._csv)
        self._drafts.close(self._tsv)


def _csv(rows: Iterable[tuple[str | int, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
