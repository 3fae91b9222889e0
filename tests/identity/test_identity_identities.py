"""The stages: neighbours and identities over shards, added faces, accounts, facts."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tasks.identity.calibration import Calibration
from tasks.identity.identities import Identities, IdentitiesConfig
from tasks.identity.link_labels import PerLabel
from tasks.identity.metrics import pairwise
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.schema.errors import ConfigError
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.identity.face_shards import Recognise, RecogniseConfig, Recognised
from tests.identity.synthetic_faces import SPACES, make_faces

FACES = 3000
OLD = 2700
CONFIG = IdentitiesConfig(model="digest", default_cosine=0.4)
NEIGHBOURS = NeighboursConfig(k=40)


@pytest.fixture(scope="module")
def made():
    return make_faces(SPACES["angled"], FACES)


@pytest.fixture(scope="module")
def rows(made) -> Recognised:
    return Recognised(
        made.vectors,
        [f"l/{photo:05}/p{row}/f0" for row, photo in enumerate(made.photo)],
        [f"l/{photo:05}" for photo in made.photo],
        [f"person {who}" for who in made.identity],
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def shard(name: str, rows: Recognised) -> Derivation:
    return Derivation(Recognise(RecogniseConfig(name=name), rows))


def identities(inputs, config=CONFIG, known=None, neighbours=None) -> Derivation:
    neighbours = neighbours or Derivation(FindNeighbours(NEIGHBOURS, "cpu"), inputs)
    return Derivation(Identities(config), inputs, whole=(neighbours, *([known] if known else [])))


def table(store: Store, record: ShardRecord):
    return pq.read_table(store.data_path(record))


def rejects(store: Store, record: ShardRecord):
    return pq.read_table(store.rejects_path(record)) if record.rejects else None


@pytest.fixture(scope="module")
def first(store: Store, rows: Recognised) -> tuple[Derivation, Derivation, Derivation]:
    """The shard of the old faces, its neighbours and its identities."""
    old = shard("old", rows.part(0, OLD))
    neighbours = Derivation(FindNeighbours(NEIGHBOURS, "cpu"), (old,))
    return old, neighbours, identities((old,), neighbours=neighbours)


def test_every_face_is_somebody_or_left_out_with_a_reason(store, rows, made, first) -> None:
    record = realise(first[2], store).record
    assert record.rows_in == OLD == record.rows_kept + sum(record.rejected.values())
    found = table(store, record)
    assert (pc.value_counts(found["identity"]).field("counts").to_numpy() > 1).all()
    names = dict(zip(found["sample_id"].to_pylist(), found["identity"].to_pylist(), strict=True))
    labels = _labels(rows.ids[:OLD], names)
    assert pairwise(made.identity[:OLD], labels).f > 0.85
    photo = found.select(["photo_id", "identity"]).group_by(["photo_id", "identity"]).aggregate([([], "count_all")])
    assert (photo["count_all"].to_numpy() > 1).sum() <= record.facts["pairs_shown_twice"]
    left = rejects(store, record)
    assert set(left["reason"].to_pylist()) <= {"no_match", "embedding_collapsed"}
    alone = left.filter(pc.equal(left["reason"], "no_match"))
    assert pc.all(pc.less(alone["score"], 1)).as_py()
    assert realise(first[2], store).cached


def test_the_facts_say_what_was_calibrated_and_done(store, first) -> None:
    facts = realise(first[2], store).record.facts
    calibration = Calibration.from_facts(facts["calibration"])
    assert (calibration.source, calibration.model, facts["linker"]) == ("photos", "digest", "average")
    assert facts["cosines"] == [pytest.approx(calibration.resolve(facts["false_match_rate"], 100), abs=1e-4)]
    assert facts["ids_new"] == facts["identities"] > 0


def test_added_faces_give_what_a_full_run_gives_and_ids_stay(store, rows, first) -> None:
    old, neighbours, before = first
    inputs = (old, shard("new", rows.part(OLD, FACES)))
    longer = Derivation(
        FindNeighbours(NEIGHBOURS.model_copy(update={"extends": True}), "cpu"), inputs, whole=(neighbours,)
    )
    whole = Derivation(FindNeighbours(NEIGHBOURS, "cpu"), inputs)
    assert realise(longer, store).record.facts["extended"] == OLD
    assert realise(longer, store).record.data == realise(whole, store).record.data

    config = CONFIG.model_copy(update={"continues": True})
    added = realise(identities(inputs, config, before, longer), store).record
    full = realise(identities(inputs, neighbours=whole), store).record
    now, anew, then = (table(store, each) for each in (added, full, realise(before, store).record))
    named = [dict(zip(t["sample_id"].to_pylist(), t["identity"].to_pylist(), strict=True)) for t in (now, anew, then)]
    assert pairwise(_labels(rows.ids, named[1]), _labels(rows.ids, named[0])).f == 1
    kept = np.mean([named[0].get(face) == name for face, name in named[2].items()])
    assert kept >= 0.995
    assert added.facts["ids_kept"] >= 0.99 * realise(before, store).record.facts["identities"]


def _labels(ids: list[str], names: dict[str, str]) -> np.ndarray:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(names[each], len(numbers)) if each in names else -1 for each in ids])


def test_other_faces_than_the_earlier_ones_are_computed_anew(store, rows, first) -> None:
    config = NEIGHBOURS.model_copy(update={"extends": True})
    turned = (shard("later", rows.part(100, 400)),)
    record = realise(Derivation(FindNeighbours(config, "cpu"), turned, whole=(first[1],)), store).record
    assert record.facts == {"faces": 300, "extended": 0}
    assert record.data == realise(Derivation(FindNeighbours(NEIGHBOURS, "cpu"), turned), store).record.data


def test_neighbours_of_other_faces_are_refused(store, rows, first) -> None:
    with pytest.raises(ConfigError, match="same shards"):
        realise(identities((shard("some", rows.part(0, 50)),), neighbours=first[1]), store)
    with pytest.raises(TypeError, match="whole inputs"):
        realise(Derivation(Identities(CONFIG), (first[0],)), store)


def test_faces_without_direction_cost_only_themselves(store, rows) -> None:
    vectors = rows.vectors[:60].copy()
    vectors[3], vectors[4] = 0, np.nan
    inputs = (shard("broken", Recognised(vectors, rows.ids[:60], rows.photos[:60])),)
    neighbours = realise(Derivation(FindNeighbours(NEIGHBOURS, "cpu"), inputs), store).record
    assert neighbours.rejected == {"embedding_not_finite": 2}
    record = realise(identities(inputs), store).record
    assert record.rejected["embedding_not_finite"] == 2
    assert record.rows_in == 60


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_faces_are_no_trouble(store, rows, count: int) -> None:
    record = realise(identities((shard(f"few {count}", rows.part(0, count)),)), store).record
    assert (record.rows_in, record.facts["calibration"]["source"]) == (count, "default")


def test_a_face_found_twice_and_a_collage_are_exceptions(store) -> None:
    rng = np.random.default_rng(0)
    who = rng.normal(size=(3, 64)).astype(np.float16)
    vectors = np.concatenate([who, who[:1], who[:1]])
    photos = ["a", "b", "c", "a", "d"]
    record = realise(identities((shard("collage", Recognised(vectors, photos=photos)),)), store).record
    assert record.facts["pairs_shown_twice"] == 1
    assert (record.rows_kept, record.facts["identities"]) == (3, 1)


def test_per_label_keeps_the_largest_cluster_of_each_label(store, rows, made) -> None:
    labels = ["even" if who % 2 else "odd" for who in made.identity]
    given = Recognised(rows.vectors, rows.ids, rows.photos, labels).part(0, 400)
    record = realise(
        identities((shard("labelled", given),), CONFIG.model_copy(update={"linker": PerLabel()})), store
    ).record
    found = table(store, record)
    assert len(set(zip(found["label"].to_pylist(), found["identity"].to_pylist(), strict=True))) == 2
    assert record.rejected.keys() == {"no_match", "not_largest_cluster"}
    assert "cosines" not in record.facts


def test_the_key_knows_the_linker_and_the_history() -> None:
    keys = [
        CONFIG,
        CONFIG.model_copy(update={"linker": PerLabel()}),
        CONFIG.model_copy(update={"continues": True}),
        CONFIG.model_copy(update={"false_match_rate": 1e-5}),
    ]
    assert len({str(Identities(each).params()) for each in keys}) == len(keys)
    assert Path(Identities(CONFIG).name).name == "identities"
