"""What a request means: addresses, ids, people, the same pictures under other names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.forget.plan import plan_forget
from tasks.lineage.find import SampleNotFoundError
from tasks.schema.columns import IMAGE, shard_schema
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store
from tests.identity.clean_cases import identities, person

SCHEMA = shard_schema(pa.field("image", IMAGE), pa.field("sha256", pa.string()), pa.field("phash", pa.uint64()))
HASH = 0x00000000FFFFFFFF


class PhotosConfig(Frozen):
    offered: tuple[tuple[str, str, str, int], ...]


@dataclass(frozen=True)
class Photos(Stage):
    """Photos with their bytes, digests and hashes."""

    config: PhotosConfig
    name = "photos"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        assert not list(batches)
        rows = [
            {"sample_id": i, "source_uri": uri, "licence": "", "image": {"bytes": b"x"}, "sha256": sha, "phash": bits}
            for i, uri, sha, bits in self.config.offered
        ]
        yield StageOutput(pa.Table.from_pylist(rows, SCHEMA))


@dataclass(frozen=True)
class Bodies(Stage):
    """A child of every photo."""

    config: PhotosConfig
    name = "bodies"
    version = 1
    fan_out = True

    @property
    def schema(self) -> pa.Schema:
        return shard_schema()

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            rows = [row | {"sample_id": f"{row['sample_id']}/p0", "parent_id": row["sample_id"]}
                    for row in batch.select([0, 1, 2, 3]).to_pylist()]  # fmt: skip
            yield StageOutput(pa.Table.from_pylist(rows, self.schema))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("photos"))
    photos = Photos(
        PhotosConfig(
            offered=(
                ("web/a", "http://a/1", "1" * 64, HASH),
                ("web/b", "http://a/2", "2" * 64, HASH ^ 0b111),
                ("web/c", "http://a/3", "1" * 64, HASH),
                ("web/d", "http://a/4", "4" * 64, ~HASH & ((1 << 64) - 1)),
                ("frames/e", "video://v#frame=1", "5" * 64, HASH ^ 1),
            )
        )
    )
    realise(Derivation(Bodies(PhotosConfig(offered=())), (Derivation(photos),)), store)
    realise(identities([*person("id-ann", 2, 0), *person("id-bob", 2, 5)]), store)
    return store


@pytest.mark.parametrize("query", ["web/a", "http://a/1", "web/a/p0"])
def test_a_photo_goes_with_its_doubles_and_all_that_was_made_of_them(store: Store, query: str) -> None:
    plan = plan_forget(store, [query])
    assert plan.doomed.roots == {"web/a", "web/b", "web/c"}
    assert plan.doomed.sample_ids == {f"web/{each}{end}" for each in "abc" for end in ("", "/p0")}
    assert plan.doomed.source_uris == {"http://a/1", "http://a/2", "http://a/3"}
    assert plan.kin.alike == {"web/b": 3, "web/c": 0}
    assert plan.kin.hashes == {HASH}
    assert [(stage, rows) for stage, _, rows, _ in plan.counts] == [("photos", 3), ("bodies", 3)]


def test_frames_look_alike_by_nature(store: Store) -> None:
    assert plan_forget(store, ["frames/e"]).doomed.roots == {"frames/e"}


def test_an_address_that_nobody_read_is_kept_out(store: Store) -> None:
    plan = plan_forget(store, ["https://never/seen.jpg"])
    assert plan.doomed.source_uris == {"https://never/seen.jpg"}
    assert not plan.doomed.sample_ids
    assert "kept out" in plan.text()[0]


def test_a_person_is_found_by_name(store: Store) -> None:
    plan = plan_forget(store, identities=["id-ann"])
    assert len(plan.doomed.roots) == 2
    assert "2 faces" in plan.text()[0]
    with pytest.raises(ConfigError, match="No build knows"):
        plan_forget(store, identities=["id-eve"])


def test_what_means_nothing_or_too_much_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Say what"):
        plan_forget(store, [" "])
    with pytest.raises(SampleNotFoundError):
        plan_forget(store, ["nobody"])
    with pytest.raises(SampleNotFoundError):
        plan_forget(Store(tmp_path), ["web/a"])
    crowd = Photos(PhotosConfig(offered=tuple((f"c/{i:03}", f"http://c/{i}", f"{i:064}", 0) for i in range(30))))
    realise(Derivation(crowd), Store(tmp_path))
    with pytest.raises(ConfigError, match="means 30 samples"):
        plan_forget(Store(tmp_path), ["c/"])
