"""The rules of cleaning, each alone and all in order, and the stage."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st

from tasks.identity.clean import Clean, Validation, ValidationConfig
from tasks.identity.clean_faces import Faces, Reviewed
from tasks.identity.clean_rules import clean
from tasks.identity.clean_thresholds import Cosines
from tasks.identity.clean_work import CleanConfig, Cleaned
from tasks.identity.review_ledger import Verdict, Verdicts
from tasks.schema.errors import ConfigError
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.identity.clean_cases import Face, as_faces, axis, embeddings, identities, people, person, read

RAW = CleanConfig(thresholds=Cosines(merge=0.7, ambiguous=0.6, validation=0.7, duplicate=0.9))


def run(rows: list[Face], config: CleanConfig = RAW, **inputs: Any) -> tuple[dict[str, str], dict[str, str], Cleaned]:
    """-> kept face -> identity, removed face -> rule, and all that is known."""
    faces = as_faces(rows)
    cleaned = clean(faces, config, **inputs)
    kept = {
        name: faces.names[of]
        for at, (name, of) in enumerate(zip(faces.ids, cleaned.identity.tolist(), strict=True))
        if at not in cleaned.removals
    }
    return kept, {faces.ids[at]: str(r.evidence["rule"]) for at, r in cleaned.removals.items()}, cleaned


def pair(rows: list[Face], a: str, b: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    ids = sorted(face.name for face in rows)
    return np.array([[ids.index(a), ids.index(b)]], np.int64)


def alike(identity: str, count: int, index: int, cosine: float, side: int, **columns: Any) -> list[Face]:
    """Faces whose centre has `cosine` to axis `index`."""
    return [Face(f"{identity}-{i}", identity, axis(index, cosine, side), **columns) for i in range(count)]


LOOSE = CleanConfig(thresholds=Cosines(merge=0.7, ambiguous=0.6, validation=0.7, duplicate=1.0))
"""Equal vectors are no copies."""


def test_clean_identities_stay_as_they_are() -> None:
    rows = person("a", 4, 0) + person("b", 3, 1)
    kept, gone, cleaned = run(rows)
    assert kept == {face.name: face.identity for face in rows}
    assert not gone
    assert cleaned.facts["identities_out"] == 2


def test_nothing_in_nothing_out() -> None:
    kept, gone, _ = run([])
    assert not kept
    assert not gone


def test_low_scores_go_and_what_they_leave_alone() -> None:
    a, b = person("a", 3, 0), person("b", 2, 1)
    rows = [replace(a[0], score=0.95), *a[1:], replace(b[0], score=0.5), b[1]]
    kept, gone, cleaned = run(rows)
    assert kept == {"a-1": "a", "a-2": "a"}
    assert gone == {"a-0": "face_score", "b-0": "face_score", "b-1": "min_images"}
    left = cleaned.removals[as_faces(rows).ids.index("b-1")]
    assert left.reason == Reason.TOO_FEW_IMAGES
    assert left.evidence["after"] == "face_score"


@pytest.mark.parametrize("bad", [np.nan, 0.0, np.inf])
def test_one_bad_vector_costs_one_face(bad: float) -> None:
    rows = person("a", 3, 0)
    rows[0] = replace(rows[0], vector=np.full_like(rows[0].vector, bad))
    kept, gone, cleaned = run(rows)
    assert set(kept) == {"a-1", "a-2"}
    assert gone == {"a-0": "finite"}
    assert np.isfinite(cleaned.similarity).all()


def test_a_bad_norm_costs_one_face() -> None:
    rows = person("a", 3, 0)
    assert run([replace(rows[0], norm=float("nan")), *rows[1:]])[1] == {"a-0": "finite"}


def test_two_alike_are_merged_under_the_larger_id() -> None:
    rows = alike("a", 2, 0, 1.0, 1) + alike("b", 3, 0, 0.8, 1) + person("c", 3, 5)
    kept, gone, cleaned = run(rows, LOOSE)
    assert {kept[f"a-{i}"] for i in range(2)} == {"b"}
    assert not gone
    assert cleaned.facts["merges"] == 1


def test_of_two_equally_large_the_older_id_lives() -> None:
    rows = alike("b", 2, 0, 1.0, 1) + alike("a", 2, 0, 0.8, 1)
    assert set(run(rows, LOOSE)[0].values()) == {"a"}


def test_a_component_is_merged_greedily_and_no_chain_joins_strangers() -> None:
    chain = [(1.0, 0.0), (0.8, 0.6), (0.1, 0.995)]
    rows = [
        Face(f"{name}-{i}", name, x * axis(0) + y * axis(1))
        for name, (x, y) in zip("abc", chain, strict=True)
        for i in range(3)
    ]
    kept, gone, cleaned = run(rows, LOOSE)
    assert {kept[f"a-{i}"] for i in range(3)} == {kept[f"b-{i}"] for i in range(3)} == {"a"}
    assert {kept.get(f"c-{i}", "") for i in range(3)} <= {"c", ""}
    assert cleaned.facts["merges"] == 1
    assert set(gone.values()) <= {"ambiguous"}


def test_a_new_centre_may_be_like_others() -> None:
    """`c` has 0.64 to `a` and to `b` each, and 0.67 to their common centre."""
    rows = [
        *(Face(f"a-{i}", "a", 0.9 * axis(0) + 0.436 * axis(1)) for i in range(2)),
        *(Face(f"b-{i}", "b", 0.9 * axis(0) + 0.436 * axis(3)) for i in range(2)),
        *(Face(f"c-{i}", "c", np.sqrt(0.5) * (axis(0) + axis(2))) for i in range(2)),
    ]
    config = CleanConfig(thresholds=Cosines(merge=0.65, ambiguous=0.65, duplicate=1.0))
    kept, gone, cleaned = run(rows, config)
    assert set(kept.values()) == {"a"}
    assert not gone
    assert (cleaned.facts["merges"], cleaned.facts["merge_rounds"]) == (2, 3)
    once = run(rows, config.model_copy(update={"merge_until_settled": False}))
    assert once[2].facts["merges"] == 1
    assert once[1] == {"c-0": "ambiguous", "c-1": "ambiguous"}


def test_a_merged_identity_does_not_vanish_for_what_its_parts_were() -> None:
    """`b` is ambiguous with `a` before, and one with it after, the merge with `c` between them."""
    angle = np.deg2rad([0, 22, 48])
    rows = [
        Face(f"{name}-{i}", name, np.cos(t) * axis(0) + np.sin(t) * axis(1))
        for name, t in zip("acb", angle, strict=True)
        for i in range(2)
    ]
    assert 0.6 < float(rows[0].vector @ rows[4].vector) < 0.7
    kept, gone, _ = run(rows, LOOSE)
    assert set(kept.values()) == {"a"}
    assert len(kept) == 6
    assert not gone


def test_of_two_ambiguous_the_smaller_goes() -> None:
    rows = alike("a", 2, 0, 1.0, 1) + alike("b", 3, 0, 0.65, 1)
    kept, gone, cleaned = run(rows, LOOSE)
    assert set(kept.values()) == {"b"}
    assert gone == {"a-0": "ambiguous", "a-1": "ambiguous"}
    removal = cleaned.removals[0]
    assert removal.reason == Reason.IDENTITY_AMBIGUOUS
    assert removal.score == pytest.approx(0.65, abs=1e-3)
    assert removal.evidence["other"] == "b"


def test_what_is_ambiguous_with_one_that_went_stays() -> None:
    rows = [
        *(Face(f"a-{i}", "a", axis(0)) for i in range(4)),
        *(Face(f"b-{i}", "b", 0.65 * axis(0) + 0.76 * axis(1)) for i in range(3)),
        *(Face(f"c-{i}", "c", 0.85 * axis(1) + 0.527 * axis(2)) for i in range(2)),
    ]
    kept, gone, _ = run(rows, LOOSE)
    assert set(kept.values()) == {"a", "c"}
    assert set(gone.values()) == {"ambiguous"}


def test_identities_that_share_a_photo_are_not_merged() -> None:
    rows = alike("a", 2, 0, 1.0, 1) + alike("b", 3, 0, 0.8, 1)
    rows[0], rows[2] = replace(rows[0], photo="both"), replace(rows[2], photo="both")
    kept, gone, cleaned = run(rows, LOOSE)
    assert set(kept.values()) == {"b"}
    assert set(gone.values()) == {"ambiguous"}
    assert cleaned.facts["alike_but_not_merged"] == 1
    free = LOOSE.model_copy(update={"one_face_a_photo": False})
    assert set(run(rows, free)[0].values()) == {"b"}


def test_a_cannot_link_holds_through_a_third() -> None:
    rows = alike("a", 3, 0, 1.0, 1) + alike("b", 2, 0, 0.99, 2) + alike("c", 2, 0, 0.98, 3)
    rows[3], rows[5] = replace(rows[3], photo="both"), replace(rows[5], photo="both")
    kept, _, cleaned = run(rows, LOOSE)
    assert cleaned.facts["merges"] == 1
    assert len({name[0] for name in kept}) == 2


def test_of_two_faces_of_a_photo_in_one_identity_the_odd_one_goes() -> None:
    rows = person("a", 4, 0)
    rows[0] = replace(rows[0], photo="both", score=0.96)
    odd = Face("a-odd", "a", axis(0, 0.1, 9), photo="both", score=0.999)
    _, gone, cleaned = run([*rows, odd])
    assert gone == {"a-odd": "one_face_a_photo"}
    assert cleaned.removals[4].evidence["like"] == "a-0"


def test_identities_like_the_validation_set_go() -> None:
    rows = person("a", 3, 0) + person("b", 3, 1)
    kept, gone, cleaned = run(rows, validation=np.stack([axis(1), axis(9)]).astype(np.float32))
    assert set(kept.values()) == {"a"}
    assert set(gone.values()) == {"validation"}
    assert {r.reason for r in cleaned.removals.values()} == {Reason.VALIDATION_OVERLAP}


def test_of_two_equal_pictures_the_better_stays() -> None:
    rows = person("a", 4, 0)
    rows[1] = replace(rows[1], vector=rows[0].vector, score=0.999)
    rows[3] = replace(rows[3], photo_bytes="same", side=50)
    rows[2] = replace(rows[2], photo_bytes="same", phash=7)
    rows[3] = replace(rows[3], phash=7)
    _, gone, cleaned = run(rows)
    assert gone == {"a-0": "near_duplicate", "a-3": "near_duplicate"}
    assert [cleaned.removals[i].reason for i in (0, 3)] == [Reason.DUPLICATE_NEAR, Reason.DUPLICATE_EXACT]
    assert cleaned.removals[0].score == pytest.approx(1, abs=1e-6)
    assert cleaned.removals[3].evidence["phash_bits"] == 0


def test_near_duplicate_photos_are_found_by_their_hash() -> None:
    rows = person("a", 3, 0)
    rows[0], rows[1] = replace(rows[0], phash=0), replace(rows[1], phash=0b111111, side=200)
    assert run(rows)[1] == {"a-0": "near_duplicate"}
    strict = RAW.model_copy(update={"near_duplicate_bits": 5})
    assert not run(rows, strict)[1]


def test_without_photos_known_faces_alone_decide() -> None:
    rows = [replace(face, photo_bytes="same", phash=1) for face in person("a", 3, 0)]
    assert not clean(as_faces(rows, pictures=False), RAW).removals


def test_copies_of_a_copy_that_went_stay() -> None:
    """b is like a and c, which are not like each other: b goes, whatever the order."""
    rows = [
        Face("a", "x", axis(0), score=0.99),
        Face("b", "x", axis(0, 0.92, 1), score=0.98),
        Face("c", "x", axis(0, np.cos(2 * np.arccos(0.92)), 1), score=0.97),
        Face("d", "x", axis(0, 0.7, 3), score=0.96),
    ]
    _, gone, _ = run(rows)
    assert gone == {"b": "near_duplicate"}


def test_a_reviewer_takes_a_face_out() -> None:
    rows = person("a", 3, 0)
    _, gone, cleaned = run(rows, reviewed=Reviewed(removed=np.array([1])))
    assert gone == {"a-1": "review"}
    assert cleaned.removals[1].reason == Reason.REVIEWED_OUT


def test_two_people_in_an_identity_are_split_and_the_smaller_side_goes() -> None:
    rows = person("a", 5, 0) + [replace(face, identity="a") for face in person("b", 2, 1)]
    reviewed = Reviewed(different=pair(rows, "a-0", "b-1"))
    kept, gone, _ = run(rows, reviewed=reviewed)
    assert set(kept) == {f"a-{i}" for i in range(5)}
    assert gone == {"b-0": "review", "b-1": "review"}


def test_a_word_of_sameness_merges_and_one_of_difference_holds_apart() -> None:
    rows = person("a", 3, 0) + person("b", 2, 1)
    said = Reviewed(same=pair(rows, "a-0", "b-0"))
    assert set(run(rows, reviewed=said)[0].values()) == {"a"}
    close = alike("a", 2, 0, 1.0, 1) + alike("b", 3, 0, 0.8, 1)
    kept, gone, cleaned = run(close, LOOSE, reviewed=Reviewed(different=pair(close, "a-0", "b-0")))
    assert set(kept.values()) == {"a", "b"}
    assert not gone
    both = Reviewed(same=pair(close, "a-1", "b-1"), different=pair(close, "a-0", "b-0"))
    kept, _, cleaned = run(close, LOOSE, reviewed=both)
    assert set(kept.values()) == {"a", "b"}
    assert cleaned.facts["verdicts_contradicted"] == 1


def test_a_word_of_sameness_is_stronger_than_a_shared_photo() -> None:
    rows = person("a", 3, 0) + person("b", 3, 1)
    rows[0], rows[3] = replace(rows[0], photo="mirror"), replace(rows[3], photo="mirror")
    kept, gone, _ = run(rows, reviewed=Reviewed(same=pair(rows, "a-0", "b-0")))
    assert set(kept.values()) == {"a"}
    assert set(gone.values()) == {"near_duplicate"}


def test_oversized_components_are_left_alone_and_counted() -> None:
    rows = [face for i in range(4) for face in alike(f"i{i}", 2, 0, 0.9, 1 + i)]
    config = LOOSE.model_copy(update={"max_component": 3})
    _, _, cleaned = run(rows, config)
    assert cleaned.facts["merges"] == 0
    assert cleaned.facts["identities_in_oversized_components"] == 4


def test_rules_run_in_their_order() -> None:
    """The face that the floor takes out would have kept its identity above the other, and merged the two."""
    rows = alike("a", 2, 0, 1.0, 1) + alike("b", 2, 0, 0.65, 1)
    rows.append(Face("a-low", "a", axis(0, 0.2, 1), norm=60, score=0.1))
    kept, gone, _ = run(rows, LOOSE)
    assert gone == {"a-low": "face_score", "b-0": "ambiguous", "b-1": "ambiguous"}
    assert set(kept.values()) == {"a"}


def test_the_least_number_of_images_holds_at_the_end() -> None:
    rows = [replace(face, phash=5) for face in person("a", 2, 0)] + person("b", 3, 1)
    kept, gone, cleaned = run(rows)
    assert set(kept.values()) == {"b"}
    assert sorted(gone.values()) == ["min_images", "near_duplicate"]
    assert cleaned.facts["removed_by_rule"] == {"min_images": 1, "near_duplicate": 1}


def random_faces(seed: int, people_: int = 14) -> list[Face]:
    """People of whom some are broken in pieces, with copies, crowds and weak faces."""
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(people_):
        centre = rng.standard_normal(64)
        for i in range(int(rng.integers(1, 7))):
            vector = centre / np.linalg.norm(centre) + rng.standard_normal(64) * rng.choice([0.02, 0.07, 0.12])
            rows.append(
                Face(
                    f"f{rng.integers(10**9):09d}",
                    f"id{who:02d}{'x' if rng.random() < 0.3 else ''}",
                    vector / np.linalg.norm(vector),
                    photo=f"photo{rng.integers(30)}" if rng.random() < 0.4 else "",
                    score=float(rng.choice([0.9, 0.97, 0.99])),
                    side=float(rng.integers(20, 200)),
                    norm=float(rng.uniform(5, 25)),
                )
            )
            if i and rng.random() < 0.2:
                rows.append(replace(rows[-1], name=f"{rows[-1].name}c", photo=""))
    return rows


def summary(faces: Faces, cleaned: Cleaned) -> list[tuple[str, str, float, str]]:
    return [
        (
            name,
            faces.names[cleaned.identity[at]],
            float(cleaned.similarity[at]),
            json.dumps(dict(cleaned.removals[at].evidence)) if at in cleaned.removals else "",
        )
        for at, name in enumerate(faces.ids)
    ]


@property_of(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_face_is_kept_or_removed_and_clean_stays_clean(seed: int, rates: bool) -> None:
    rows = random_faces(seed)
    config = CleanConfig() if rates else RAW
    kept, gone, cleaned = run(rows, config)
    assert sorted([*kept, *gone]) == sorted(face.name for face in rows)
    sizes = np.unique(list(kept.values()), return_counts=True)[1] if kept else np.array([2])
    assert sizes.min() >= config.min_images
    photos = [(kept[face.name], face.photo_id) for face in rows if face.name in kept]
    assert len(photos) == len(set(photos))
    by_name = {face.name: face for face in rows}
    if not rates:
        again = [replace(by_name[name], identity=identity) for name, identity in kept.items()]
        settled = run(again, config)[1]
        assert "one_face_a_photo" not in settled.values()
    assert cleaned.facts["identities_out"] == len(set(kept.values()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def derivation(rows: list[Face], shards: int = 1, config: CleanConfig | None = None, **more: Any) -> Derivation:
    cuts = np.array_split(np.arange(len(rows)), shards)
    parts = [[rows[i] for i in part] for part in cuts]
    whole = [embeddings(part, f"e{i}") for i, part in enumerate(parts)]
    whole += [people(part, f"p{i}") for i, part in enumerate(parts)]
    inputs = tuple(identities(part, f"i{i}") for i, part in enumerate(parts))
    return Derivation(Clean(config or RAW, **more), inputs, whole=tuple(whole))


def outcome(
    made: Derivation, store: Store
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], dict[str, Any]]:
    record = realise(made, store).record
    rejects = store.rejects_path(record)
    return (
        read(pq.read_table(store.data_path(record))),
        read(pq.read_table(rejects)) if rejects else {},
        dict(record.facts),
    )


def test_the_stage_accounts_for_all_and_says_why(store: Store) -> None:
    rows = random_faces(1)
    kept, gone, facts = outcome(derivation(rows), store)
    assert len(kept) + len(gone) == len(rows)
    assert sum(facts["removed_by_rule"].values()) == len(gone)
    for row in gone.values():
        assert row["detail"].endswith(".")
        assert {"rule", "identity"} <= json.loads(row["evidence"]).keys()
        assert row["source_uri"].startswith("https://")


def test_neither_order_nor_shards_decide(store: Store) -> None:
    rows = random_faces(2, 20)
    first = outcome(derivation(rows), store)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert outcome(derivation(shuffled, 3), store) == first
    reverse = derivation(rows)
    assert outcome(replace(reverse, whole=reverse.whole[::-1]), store) == first


def test_rows_keep_the_order_of_the_input(store: Store) -> None:
    rows = random_faces(3)
    kept, _, _ = outcome(derivation(rows, 2), store)
    assert list(kept) == [face.name for face in rows if face.name in kept]


def test_a_merged_face_remembers_whose_it_was(store: Store) -> None:
    rows = alike("a", 2, 0, 1.0, 1, former=("z",)) + alike("b", 3, 0, 0.8, 1)
    kept, _, _ = outcome(derivation(rows, config=LOOSE), store)
    assert kept["a-0"]["identity"] == "b"
    assert kept["a-0"]["former_identities"] == ["z", "a"]
    assert kept["b-0"]["former_identities"] == []
    assert kept["b-0"]["similarity"] > 0.9


def test_verdicts_and_validation_reach_the_stage(store: Store) -> None:
    rows = person("a", 3, 0) + person("b", 3, 1) + person("c", 3, 2)
    verdicts = Verdicts.of(
        (Verdict.of("remove", "a-0"), Verdict.of("same", "b-0", "a-1"), Verdict.of("same", "q", "a-1"))
    )
    others = person("v", 2, 2)
    validation = Derivation(
        Validation(ValidationConfig(), 64), (identities(others, "vi"),), whole=(embeddings(others, "ve"),)
    )
    made = derivation(rows)
    kept, gone, _ = outcome(replace(made, whole=(*made.whole, Derivation(verdicts), validation)), store)
    assert {row["identity"] for row in kept.values()} == {"b"}
    assert gone["a-0"]["reason"] == Reason.REVIEWED_OUT.value
    assert {row["reason"] for name, row in gone.items() if name[0] == "c"} == {Reason.VALIDATION_OVERLAP.value}


def test_missing_embeddings_are_no_data(store: Store) -> None:
    rows = person("a", 3, 0)
    with pytest.raises(LookupError, match="embeddings of 1 of 3"):
        realise(Derivation(Clean(RAW), (identities(rows),), whole=(embeddings(rows[1:]),)), store)


def test_a_whole_input_of_no_use_is_refused(store: Store) -> None:
    rows = person("a", 3, 0)
    with pytest.raises(ConfigError, match="of no use"):
        realise(Derivation(Clean(RAW), (identities(rows),), whole=(identities(rows, "again"),)), store)


def test_nobody_in_nobody_out(store: Store) -> None:
    kept, gone, _ = outcome(Derivation(Clean(RAW), (identities([]),), whole=(embeddings([]),)), store)
    assert not kept
    assert not gone


def test_parity_has_the_numbers_of_the_reference() -> None:
    parity = CleanConfig.reference()
    assert parity.thresholds == Cosines(merge=0.7, ambiguous=0.6, validation=0.7, duplicate=0.9)
    assert (parity.face_score_floor, parity.min_images) == (0.95, 2)
    assert CleanConfig.model_validate_json(parity.model_dump_json()) == parity
    assert CleanConfig.model_validate_json(CleanConfig().model_dump_json()) == CleanConfig()
