"""The stage that gives every face of a clean identity its group, split and subsets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.identity.clean_inputs import READ_ROWS, codes, confidences_of, pictures_of, read_all, sort_whole
from tasks.identity.split import (
    GIVES_WAY,
    Former,
    Split,
    SplitConfig,
    crossing,
    groups,
    name_groups,
    scenes,
    split_overlaps,
)
from tasks.identity.subsets import People, SubsetConfig, choose_subsets, covered
from tasks.images.hashing import hamming
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import MEMBER_SCHEMA
from tasks.shards.stage import StageOfWhole, StageOutput, Whole


class MembersConfig(Frozen):
    """How the finished dataset is divided; `min_images` holds for identities that lost photos to another split."""

    split: SplitConfig = SplitConfig()
    subsets: SubsetConfig = SubsetConfig()
    min_images: int = Field(2, ge=1)


@dataclass(frozen=True)
class Members(StageOfWhole):
    """Clean identities -> members, in the same order.

    Whole inputs, in any order: the people; and the members of the build before, if there was one.
    """

    config: MembersConfig

    name: ClassVar[str] = "members"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1 << 16

    @property
    def schema(self) -> pa.Schema:
        return MEMBER_SCHEMA

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        rows = read_all(batches)
        if rows is None:
            return
        given = sort_whole(whole)
        parents = rows["parent_id"].combine_chunks()
        pictures = pictures_of(parents, given.people)
        confidence = confidences_of(parents, given.people)
        yield _divide(
            _Rows(
                rows,
                ids=rows["sample_id"].to_pylist(),
                sha256=pictures.sha256,
                phash=pictures.phash,
                covered=covered(confidence, self.config.subsets),
            ),
            _former(given.members),
            self.config,
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """The faces: `ids`, `sha256`, `phash`, `covered`, each (N,)."""

    table: pa.Table
    ids: list[str]
    sha256: pa.Array
    phash: NDArray[np.uint64]
    covered: NDArray[np.bool_]


def _former(members: Sequence[Whole]) -> Former:
    group: dict[str, str] = {}
    split: dict[str, Split] = {}
    for each in members:
        for batch in each.batches(("sample_id", "group_id", "split"), READ_ROWS):
            ids = batch["sample_id"].to_pylist()
            group.update(zip(ids, batch["group_id"].to_pylist(), strict=True))
            split.update(zip(ids, batch["split"].to_pylist(), strict=True))
    return Former(group, split)


@dataclass(frozen=True, eq=False)
class _Placed:
    """Where faces belong.

    Args:
        identity, scene: of each face, (N,).
        names, group_id, split: of each identity.
    """

    identity: NDArray[np.int64]
    scene: NDArray[np.int64]
    names: list[str]
    group_id: list[str]
    split: list[Split]


def _place(rows: _Rows, former: Former, config: SplitConfig) -> _Placed:
    identity, names = codes(rows.table["identity"])
    photo, picture = codes(rows.table["photo_id"])[0], codes(rows.sha256)[0]
    scene = scenes(photo, picture, rows.phash, config.near_duplicate_bits)
    before = _former_groups(rows.ids, identity, len(names), former)
    group = groups(identity, scene, before, config.max_group_identities)
    faces: dict[str, list[str]] = {}
    for sample_id, of in zip(rows.ids, group[identity].tolist(), strict=True):
        faces.setdefault(names[of], []).append(sample_id)
    named, split = name_groups(faces, former, config)
    group_id = [named[names[of]] for of in group.tolist()]
    return _Placed(identity, scene, names, group_id, [split[each] for each in group_id])


def _divide(rows: _Rows, former: Former, config: MembersConfig) -> StageOutput:
    placed = _place(rows, former, config.split)
    identity, names = placed.identity, placed.names
    rank = np.array([GIVES_WAY.index(split) for split in placed.split], np.int64)
    away = crossing(placed.scene, rank[identity])
    before, left = (np.bincount(identity[mask], minlength=len(names)) for mask in (np.ones_like(away), ~away))
    few = ~away & (left < np.minimum(before, config.min_images))[identity]
    stays = ~(away | few)
    people = People(
        names,
        images=np.bincount(identity[stays], minlength=len(names)),
        covered=np.bincount(identity[stays & rows.covered], minlength=len(names)),
        group=codes(pa.array(placed.group_id, pa.string()))[0],
        split=list(placed.split),
    )
    subsets = choose_subsets(people, config.subsets)
    kept = pa.array(np.flatnonzero(stays))
    of = identity[stays].tolist()
    split = [placed.split[i] for i in of]
    table = rows.table.take(kept)
    problems = split_overlaps(
        split,
        table["identity"].to_pylist(),
        rows.sha256.take(kept).to_pylist(),
        rows.phash[stays],
        config.split.near_duplicate_bits,
    )
    present = sorted(set(of))
    facts: dict[str, JsonValue] = {
        "groups": len({placed.group_id[i] for i in present}),
        "largest_group_identities": max(Counter(placed.group_id[i] for i in present).values(), default=0),
        "faces_by_split": dict(sorted(Counter(split).items())),
        "identities_by_split": dict(sorted(Counter(placed.split[i] for i in present).items())),
        "identities_by_subset": dict(sorted(Counter(name for i in present for name in subsets[i]).items())),
        "overlaps": list(problems),
    }
    table = table.append_column("group_id", pa.array([placed.group_id[i] for i in of], pa.string()))
    table = table.append_column("split", pa.array(split, pa.string()))
    table = table.append_column("subsets", pa.array([list(subsets[i]) for i in of], pa.list_(pa.string())))
    return StageOutput(table, tuple(_rejections(rows, placed, away, few, config.min_images)), facts)


def _former_groups(
    ids: Sequence[str], identity: NDArray[np.int64], identities: int, former: Former
) -> NDArray[np.int64]:
    """The group that most faces of each identity were in, as a number, (I,); -1 where none was in any."""
    votes: list[Counter[str]] = [Counter() for _ in range(identities)]
    if former.group:
        for sample_id, of in zip(ids, identity.tolist(), strict=True):
            if sample_id in former.group:
                votes[of][former.group[sample_id]] += 1
    best = [min(each, key=lambda name: (-each[name], name)) if each else None for each in votes]
    number = {name: i for i, name in enumerate(sorted({name for name in best if name is not None}))}
    return np.array([-1 if name is None else number[name] for name in best], np.int64)


def _rejections(
    rows: _Rows, faces: _Placed, away: NDArray[np.bool_], few: NDArray[np.bool_], least: int
) -> Iterator[Rejection]:
    """Why faces go, in the order of the rows: `away` for another split, `few` for what that left."""
    holders = {scene: face for face, scene in enumerate(faces.scene.tolist()) if not away[face]}
    uris = rows.table["source_uri"].to_pylist()
    for face in np.flatnonzero(away | few).tolist():
        own = faces.split[faces.identity[face]]
        evidence: dict[str, JsonValue] = {"identity": faces.names[faces.identity[face]], "split": own}
        if few[face]:
            detail = f"Its identity has fewer than {least} images: the others are in another split."
            said = {"rule": "min_images", "after": "split", **evidence}
            yield Rejection(rows.ids[face], Reason.TOO_FEW_IMAGES, detail, None, uris[face], dumps(said))
            continue
        other = holders[int(faces.scene[face])]
        same = rows.sha256[face].as_py() == rows.sha256[other].as_py()
        reason = Reason.DUPLICATE_EXACT if same else Reason.DUPLICATE_NEAR
        where = faces.split[faces.identity[other]]
        detail = f"Its photo is in {where} with {rows.ids[other]}, and so cannot be in {own}."
        said = {"rule": "split", **evidence, "like": rows.ids[other]}
        bits = float(hamming(rows.phash[face], rows.phash[other]))
        yield Rejection(rows.ids[face], reason, detail, bits, uris[face], dumps(said))
