"""The stage that cleans identities: what was one in the neighbours' eyes, as one person or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.identity.clean_faces import Faces, Reviewed, centres
from tasks.identity.clean_inputs import Given, codes, embeddings_of, pictures_of, read_all, sort_whole, vectors
from tasks.identity.clean_merge import units_of
from tasks.identity.clean_rules import clean
from tasks.identity.clean_work import CleanConfig, Cleaned
from tasks.schema.columns import shard_schema
from tasks.schema.records import Frozen
from tasks.schema.rejections import Rejection
from tasks.schema.webbody import IDENTITY_SCHEMA
from tasks.shards.stage import StageOfWhole, StageOutput, Whole


@dataclass(frozen=True)
class Clean(StageOfWhole):
    """Identities -> those that are one person each, by the rules of `clean_rules`, in the order of the input.

    Whole inputs, in any order: the embeddings (all of them); the people (without them, photos are compared by faces
    alone); a validation set (see `Validation`); verdicts (see `review`).
    """

    config: CleanConfig
    device: str = "cpu"

    name: ClassVar[str] = "clean"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1 << 16

    @property
    def schema(self) -> pa.Schema:
        return IDENTITY_SCHEMA

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        rows = read_all(batches)
        if rows is None:
            return
        given = sort_whole(whole)
        order, faces = _faces(rows, given)
        cleaned = clean(faces, self.config, _reviewed(faces.ids, given.verdicts), _centres(given), self.device)
        yield _output(rows, order, faces, cleaned)


def _faces(rows: pa.Table, given: Given) -> tuple[NDArray[np.int64], Faces]:
    """The faces in the order of their ids, and the row that each is."""
    order = np.asarray(pc.sort_indices(rows["sample_id"]).to_numpy(), np.int64)
    rows = rows.take(pa.array(order)).combine_chunks()
    ids = rows["sample_id"].combine_chunks()
    identity, names = codes(rows["identity"])
    pictures = pictures_of(rows["parent_id"].combine_chunks(), given.people) if given.people else None
    return order, Faces(
        ids=ids.to_pylist(),
        names=names,
        identity=identity,
        photo=codes(rows["photo_id"])[0],
        score=rows["face_score"].to_numpy(),
        side_px=rows["face_side_px"].to_numpy(),
        norm=rows["norm"].to_numpy(),
        embedding=embeddings_of(ids, given.embeddings),
        picture=codes(pictures.sha256)[0] if pictures else None,
        phash=pictures.phash if pictures else None,
    )


def _reviewed(ids: Sequence[str], verdicts: Sequence[Whole]) -> Reviewed:
    """Verdicts on faces that are there, as places."""
    place = {sample_id: i for i, sample_id in enumerate(ids)} if verdicts else {}
    removed: list[int] = []
    pairs: dict[str, list[tuple[int, int]]] = {"same": [], "different": []}
    for each in verdicts:
        for row in each.table(("face_a", "face_b", "verdict")).to_pylist():
            a, b = place.get(row["face_a"]), place.get(row["face_b"])
            if a is not None and row["verdict"] == "remove":
                removed.append(a)
            elif a is not None and b is not None and row["verdict"] in pairs:
                pairs[row["verdict"]].append((min(a, b), max(a, b)))
    return Reviewed(
        np.array(sorted(removed), np.int64),
        np.array(sorted(pairs["same"]), np.int64).reshape(-1, 2),
        np.array(sorted(pairs["different"]), np.int64).reshape(-1, 2),
    )


def _centres(given: Given) -> NDArray[np.float32] | None:
    """Unit centres of the identities of the validation set, each input for itself."""
    found = []
    for each in given.validation:
        rows = each.table(("sample_id", "identity", "embedding", "norm")).sort_by("sample_id")
        if rows.num_rows:
            embedding = vectors(rows["embedding"]).astype(np.float16)
            found.append(units_of(centres(embedding, rows["norm"].to_numpy(), codes(rows["identity"])[0]).sums))
    return np.concatenate(found) if found else None


def _output(rows: pa.Table, order: NDArray[np.int64], faces: Faces, cleaned: Cleaned) -> StageOutput:
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    gone = sorted(cleaned.removals, key=lambda face: int(order[face]))
    uris = rows["source_uri"].take(pa.array(order[gone], pa.int64())).to_pylist()
    rejected = tuple(
        Rejection(faces.ids[face], each.reason, each.detail, each.score, uri, dumps(dict(each.evidence)))
        for face, uri in zip(gone, uris, strict=True)
        for each in (cleaned.removals[face],)
    )
    stays = np.ones(len(order), np.bool_)
    stays[gone] = False
    kept = np.sort(order[stays])
    kept_rows, kept_faces = rows.take(pa.array(kept)), place[kept]
    before, now = faces.identity[kept_faces], cleaned.identity[kept_faces]
    former = [
        [name for name in names if name != faces.names[b]] + [faces.names[a]] if a != b else names
        for names, a, b in zip(kept_rows["former_identities"].to_pylist(), before.tolist(), now.tolist(), strict=True)
    ]
    return StageOutput(
        _with(
            kept_rows,
            identity=pa.array([faces.names[i] for i in now.tolist()], pa.string()),
            former_identities=pa.array(former, pa.list_(pa.string())),
            similarity=pa.array(cleaned.similarity[kept_faces]),
        ),
        rejected,
        cleaned.facts,
    )


def _with(rows: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


class ValidationConfig(Frozen):
    """Nothing to choose."""


@dataclass(frozen=True)
class Validation(StageOfWhole):
    """Identities of a validation set, with their embeddings (a whole input): what `Clean` must not let in.

    `width` is that of the embeddings.
    """

    config: ValidationConfig
    width: int

    name: ClassVar[str] = "validation"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1 << 16

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(
            pa.field("identity", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float16(), self.width), nullable=False),
            pa.field("norm", pa.float32(), nullable=False),
        )

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        given = sort_whole(whole).embeddings
        for batch in batches:
            found = embeddings_of(batch["sample_id"], given)
            column = pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), found.shape[1])
            yield StageOutput(pa.Table.from_batches([batch]).append_column("embedding", column))
