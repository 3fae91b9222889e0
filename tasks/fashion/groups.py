"""The stage that takes every photo once, and says which photos belong together and must share a fold."""

from collections.abc import Iterator
from dataclasses import dataclass
from json import dumps
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.fashion.near_duplicates import joined, nearest_edges
from tasks.identity.split import share_of
from tasks.images.hashing import MAX_DISTANCE
from tasks.schema.fashion import GROUPED_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput

ALWAYS_JOINED: Final = 20
"""Photos that may always be one group: in a small collection an author's few photos are a large share."""

TEST, TRAIN = "test", "train"


class GroupConfig(Frozen):
    """What belongs together, and how groups are divided."""

    near_duplicate_bits: int = Field(
        6,
        title="Bits of a near-duplicate",
        ge=-1,
        le=MAX_DISTANCE,
        description="Photos whose 64-bit perceptual hashes differ in no more bits are one group. -1: none are.",
    )
    by_author: bool = Field(True, title="Keep authors together", description="Where a dataset names them.")
    largest_group: float = Field(
        0.1,
        title="Largest group",
        gt=0,
        le=1,
        description="Share of the photos. An author with more (unknown, say) is nobody; what else grows beyond it is "
        "divided. 20 photos may always be one group.",
    )
    test_share: float = Field(
        0.2, title="Share of the test fold", ge=0, le=1, description="Of the groups, by a hash of their ids."
    )
    salt: str = Field("mannequin", title="Salt", description="Another one divides the same groups anew.")


@dataclass(frozen=True)
class GroupLooks(Stage):
    """Photos of all labels shards, in order, without those whose bytes came before, each with its group and fold.

    A group's id follows from the smallest digest in it, its fold from the id: a new photo moves another one only where
    it joins groups or has a smaller digest than its group had.

    Groups that would hold more than the largest share of the photos say nothing, and would decide a fold alone. So an
    author of more photos counts as not known; near-duplicates that are too many keep together at fewer bits only, at
    the most that divide them enough (photos with the very same hash that are still too many: not at all); and where
    authors chain near-duplicates to more, the authors do not count there.

    Facts: `photos`, `exact_duplicates`, `in_both_sources`, `groups`, `largest_group`, `authors_ignored` (names),
    `near_duplicates_divided` and `chains_of_authors_divided` (photos in them), `folds` (photos of each).
    """

    config: GroupConfig

    name: ClassVar[str] = "groups"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1 << 14

    @property
    def schema(self) -> pa.Schema:
        return GROUPED_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        light = [name for name in GROUPED_SCHEMA.names if name not in ("group_id", "fold")]
        given = [batch.select(light) for batch in batches]
        if given:
            yield grouped(pa.Table.from_batches(given).combine_chunks(), self.config)


def grouped(photos: pa.Table, config: GroupConfig) -> StageOutput:
    """Photos with their groups and folds, and those rejected that repeat an earlier one.

    Args:
        photos: rows of `LABELLED_SCHEMA`.
    """
    _, first, content = np.unique(_codes(photos["sha256"]), return_index=True, return_inverse=True)
    earliest = first[content]
    stays = earliest == np.arange(len(photos))
    rejected, across = _rejections(photos, np.flatnonzero(~stays), earliest)
    kept = photos.filter(pa.array(stays))
    group, facts = _groups(kept, config)
    ids = _names(kept["sha256"], group)
    folds = {name: fold_of(name, config) for name in set(ids)}
    fold = [folds[name] for name in ids]
    counts: dict[str, JsonValue] = {
        "photos": len(kept),
        "exact_duplicates": len(rejected),
        "in_both_sources": across,
        "groups": len(folds),
        "largest_group": int(np.bincount(group).max(initial=0)),
        "folds": {name: fold.count(name) for name in (TRAIN, TEST)},
    }
    columns = [*kept.columns, pa.array(ids, pa.string()), pa.array(fold, pa.string())]
    return StageOutput(pa.table(columns, names=[*kept.column_names, "group_id", "fold"]), rejected, counts | facts)


def fold_of(group_id: str, config: GroupConfig) -> str:
    """The fold of a group, by its id alone."""
    return TEST if share_of(group_id, config.salt) < config.test_share else TRAIN


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """One number for equal strings, by first appearance; -1 for null."""
    encoded = column.combine_chunks().dictionary_encode()
    codes: NDArray[np.int64] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _rejections(
    photos: pa.Table, repeats: NDArray[np.int64], earliest: NDArray[np.int64]
) -> tuple[tuple[Rejection, ...], int]:
    """Rejections of rows that repeat an earlier one, and how many of them are of the other source."""
    seen = photos.select(["sample_id", "source_uri", "source", "original_dataset", "image_path"])
    of, originals = seen.take(repeats).to_pylist(), seen.take(earliest[repeats]).to_pylist()
    rejected = []
    for row, same in zip(of, originals, strict=True):
        detail = f"Its bytes are those of {same['image_path']} in {same['original_dataset']} ({same['source']})."
        said = {"same_as": same["sample_id"], "source": same["source"], "original_dataset": same["original_dataset"]}
        rejected.append(
            Rejection(row["sample_id"], Reason.DUPLICATE_EXACT, detail, None, row["source_uri"], dumps(said))
        )
    across = sum(row["source"] != same["source"] for row, same in zip(of, originals, strict=True))
    return tuple(rejected), across


def _names(digests: pa.ChunkedArray, group: NDArray[np.int64]) -> list[str]:
    """The id of each photo's group, of the smallest digest in it."""
    table = pa.table({"group": group, "digest": digests})
    smallest = table.group_by("group").aggregate([("digest", "min")])
    names = dict(zip(smallest["group"].to_pylist(), smallest["digest_min"].to_pylist(), strict=True))
    return [f"g{names[number][:16]}" for number in group.tolist()]


def _groups(photos: pa.Table, config: GroupConfig) -> tuple[NDArray[np.int64], dict[str, JsonValue]]:
    """One number a group, (N,), and what had to be divided."""
    count = len(photos)
    most = max(ALWAYS_JOINED, config.largest_group * count)
    scene, divided = _scenes(photos["phash"].to_numpy(), config.near_duplicate_bits, most)
    author, ignored = _authors(photos, most) if config.by_author else (np.full(count, -1, np.int64), [])
    named = np.flatnonzero(author >= 0)
    scenes, authors = int(scene.max(initial=-1)) + 1, int(author.max(initial=-1)) + 1
    nodes = count + scenes + authors
    rows = np.concatenate([np.arange(count), named])
    marks = np.concatenate([count + scene, count + scenes + author[named]])
    whole = joined(nodes, np.stack([rows, marks, np.ones_like(rows)]))[:count]
    too_large = np.bincount(whole, minlength=nodes)[whole] > most
    group = np.unique(np.where(too_large, nodes + scene, whole), return_inverse=True)[1].astype(np.int64)
    facts: dict[str, JsonValue] = {
        "authors_ignored": list(ignored),
        "near_duplicates_divided": divided,
        "chains_of_authors_divided": int(too_large.sum()),
    }
    return group, facts


def _scenes(phash: NDArray[np.uint64], bits: int, most: float) -> tuple[NDArray[np.int64], int]:
    """One number for photos that are one picture, chains of near-duplicates included, and how many were too many."""
    count = len(phash)
    if bits < 0 or not count:
        return np.arange(count), 0
    distinct, which = np.unique(phash, return_inverse=True)
    edges = nearest_edges(distinct, bits)
    scene = np.full(count, -1, np.int64)
    too_many = 0
    for least in range(bits, -1, -1):
        part = joined(len(distinct), edges[:, edges[2] <= least])[which]
        fits = (scene < 0) & (np.bincount(part)[part] <= most)
        scene[fits] = (bits - least) * count + part[fits]
        if least == bits:
            too_many = int((scene < 0).sum())
    alone = np.flatnonzero(scene < 0)
    scene[alone] = (bits + 1) * count + alone
    return np.unique(scene, return_inverse=True)[1].astype(np.int64), too_many


def _authors(photos: pa.Table, most: float) -> tuple[NDArray[np.int64], list[str]]:
    """One number an author of a dataset, -1 where nobody is known, (N,); and the names that are not one person's."""
    name = pc.utf8_trim_whitespace(photos["author"])
    name = pc.if_else(pc.equal(name, ""), None, name)
    author = _codes(pc.binary_join_element_wise(photos["original_dataset"], name, "\n"))
    known, first, counts = np.unique(author, return_index=True, return_counts=True)
    large = (known >= 0) & (counts > most)
    of = photos.select(["author", "original_dataset"]).take(first[large]).to_pylist()
    ignored = sorted(f"{row['author'].strip()} ({row['original_dataset']})" for row in of)
    return np.where(np.isin(author, known[large]), -1, author), ignored
