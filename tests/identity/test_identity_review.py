"""Doubts out, verdicts in, and what they do to the next build."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.identity.clean import Clean
from tasks.identity.clean_thresholds import Cosines
from tasks.identity.clean_work import CleanConfig
from tasks.identity.review import Doubt, find_doubts, pictures_of_faces
from tasks.identity.review_forms import (
    CHOICES,
    read_csv,
    read_fiftyone,
    read_label_studio,
    write_fiftyone,
    write_label_studio,
)
from tasks.identity.review_ledger import Verdict, Verdicts, add_verdicts, read_verdicts
from tasks.schema.errors import ConfigError, SourceError, StoreError
from tasks.schema.webbody import FACE_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Whole
from tasks.shards.store import Store
from tests.identity.clean_cases import Face, axis, embeddings, identities, person
from tests.poses.sample_shards import given

LOOSE = CleanConfig(thresholds=Cosines(merge=0.7, ambiguous=0.6, validation=0.7, duplicate=1.0))


def jpeg(shade: int, side: int = 160) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), shade, np.uint8))[1])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def group(name: str, count: int, vector: np.ndarray) -> list[Face]:
    return [Face(f"{name}-{i}", name, vector) for i in range(count)]


ROWS = [
    *group("a", 3, axis(0)),
    *group("b", 2, axis(0, 0.8, 1)),
    *group("c", 4, axis(5)),
    *group("d", 2, axis(5, 0.65, 6)),
    *group("e", 3, axis(8)),
    *group("f", 3, axis(8, 0.5, 9)),
    *person("g", 4, 12, cosine=0.9),
]
ROWS[-1] = replace(ROWS[-1], vector=axis(12, 0.3, 13))
"""b is merged into a; d is ambiguous with c; e and f are alike; a face of g is odd."""


def cleaned(store: Store, *more: Derivation) -> tuple[dict[str, str], list[Doubt]]:
    whole = (embeddings(ROWS), *more)
    record = realise(Derivation(Clean(LOOSE), (identities(ROWS),), whole=whole), store).record
    before = realise(identities(ROWS), store).record
    vectors = realise(embeddings(ROWS), store).record
    rejects = store.rejects_path(record)
    after = pq.read_table(store.data_path(record))
    doubts = find_doubts(
        pq.read_table(store.data_path(before)),
        after,
        pq.read_table(rejects) if rejects else None,
        [Whole(store.data_path(vectors))],
        each=3,
    )
    return dict(zip(after["sample_id"].to_pylist(), after["identity"].to_pylist(), strict=True)), doubts


def test_the_most_doubtful_of_every_kind_are_found(store: Store) -> None:
    _, doubts = cleaned(store)
    first = {doubt.kind: doubt for doubt in reversed(doubts)}
    merged, ambiguous, apart, odd = (first[kind] for kind in ("merged", "ambiguous", "apart", "odd_face"))
    assert (merged.identity_a, merged.identity_b) == ("b", "a")
    assert merged.similarity == pytest.approx(0.8, abs=1e-2)
    assert (ambiguous.identity_a, ambiguous.identity_b) == ("d", "c")
    assert ambiguous.face_a.startswith("d")
    assert ambiguous.face_b.startswith("c")
    assert {apart.identity_a, apart.identity_b} == {"e", "f"}
    assert odd.face_a == "g-3"
    assert odd.face_b.startswith("g")
    assert all(doubt.question.endswith("?") for doubt in doubts)
    assert len({doubt.doubt_id for doubt in doubts}) == len(doubts)


def test_what_was_answered_is_not_asked_again(store: Store) -> None:
    _, doubts = cleaned(store)
    table = pq.read_table(store.data_path(realise(identities(ROWS), store).record))
    vectors = Whole(store.data_path(realise(embeddings(ROWS), store).record))
    answered = [(doubts[0].face_b, doubts[0].face_a)]
    asked = find_doubts(table, table, None, [vectors], answered=answered)
    assert asked
    assert doubts[0].doubt_id not in {doubt.doubt_id for doubt in asked}


def test_answers_change_the_next_build(store: Store) -> None:
    before, doubts = cleaned(store)
    assert before["b-0"] == "a"
    assert "d-0" not in before
    words = {"merged": "different", "ambiguous": "same", "odd_face": "different"}
    said = [Verdict.of(words[d.kind], d.face_a, d.face_b) for d in doubts if d.kind in ("merged", "ambiguous")]  # type: ignore[arg-type]
    odd = next(doubt for doubt in doubts if doubt.kind == "odd_face")
    add_verdicts(store, [*said, Verdict.of("different", odd.face_a, odd.face_b)])
    after, again = cleaned(store, Derivation(Verdicts.of(read_verdicts(store))))
    assert after["b-0"] == "b"
    assert after["d-0"] == "c"
    assert "g-3" not in after
    assert ("d", "c") in {(doubt.identity_a, doubt.identity_b) for doubt in again if doubt.kind == "merged"}


def test_the_latest_word_counts_and_none_is_lost(store: Store) -> None:
    assert read_verdicts(store) == ()
    assert add_verdicts(store, [Verdict.of("same", "b", "a", "me"), Verdict.of("remove", "c")]) == 2
    assert add_verdicts(store, [Verdict.of("same", "a", "b")]) == 0
    assert add_verdicts(store, [Verdict.of("different", "a", "b"), Verdict.of("unsure", "x", "y")]) == 1
    assert [(v.verdict, *v.about) for v in read_verdicts(store)] == [("different", "a", "b"), ("remove", "c", None)]
    add_verdicts(store, [Verdict.of("unsure", "a", "b")])
    assert [v.verdict for v in read_verdicts(store)] == ["remove"]
    assert len(list((store.root / "verdicts" / "faces").glob("*.json"))) == 3


def test_two_writers_lose_nothing(store: Store) -> None:
    class Beaten(type(store.files)):  # type: ignore[misc]
        """Somebody else writes first, once."""

        beaten = False

        def link_exclusive(self, source: Path, target: Path) -> bool:
            if not Beaten.beaten:
                Beaten.beaten = True
                add_verdicts(store, [Verdict.of("remove", "other")])
            return super().link_exclusive(source, target)

    assert add_verdicts(Store(store.root, Beaten()), [Verdict.of("remove", "mine")]) == 1
    assert [v.face_a for v in read_verdicts(store)] == ["mine", "other"]


def test_a_damaged_ledger_is_told(store: Store) -> None:
    add_verdicts(store, [Verdict.of("remove", "a")])
    path = store.root / "verdicts" / "faces" / "000001.json"
    path.write_text(path.read_text().replace('"a"', '"b"'))
    with pytest.raises(StoreError, match="restore"):
        read_verdicts(store)
    with pytest.raises(ConfigError, match="short lower-case"):
        read_verdicts(store, "../up")


def test_the_key_follows_what_stands() -> None:
    one, two = Verdicts.of((Verdict.of("remove", "a"),)), Verdicts.of((Verdict.of("remove", "b"),))
    assert one.config != two.config
    assert one.config == Verdicts.of((Verdict.of("remove", "a"),)).config


@pytest.mark.parametrize(("word", "a", "b"), [("same", "a", None), ("remove", "a", "b"), ("same", "a", "a")])
def test_words_that_do_not_fit_are_refused(word: Any, a: str, b: str | None) -> None:
    with pytest.raises(ValidationError, match="does not fit"):
        Verdict.of(word, a, b)


def doubts_and_pictures() -> tuple[list[Doubt], dict[str, bytes]]:
    doubts = [
        Doubt("apart", "p/x,1/p0/f0", "q/p0/f0", "i1", "i2", 0.51234),
        Doubt("odd_face", "r/p0/f0", "q/p0/f0", "i2", "i2", 0.2),
        Doubt("merged", "gone/p0/f0", "q/p0/f0", "i3", "i2", 0.7),
    ]
    return doubts, {"p/x,1/p0/f0": jpeg(60), "q/p0/f0": jpeg(120, 200), "r/p0/f0": jpeg(200)}


def test_label_studio_there_and_back(tmp_path: Path) -> None:
    doubts, pictures = doubts_and_pictures()
    assert write_label_studio(tmp_path, doubts, pictures, "/data/local-files/?d=review") == 2
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for task in tasks:
        name = task["data"]["picture_a"].removeprefix("/data/local-files/?d=review/")
        assert (tmp_path / name).read_bytes() == pictures[task["data"]["face_a"]]
    interface = (tmp_path / "labels.xml").read_text()
    assert re.findall(r'<Choice value="(\w+)"', interface) == list(CHOICES)
    assert set(re.findall(r"\$(\w+)", interface)) <= tasks[0]["data"].keys()

    def answer(word: str, at: str, **more: Any) -> dict[str, Any]:
        result = {"from_name": "verdict", "to_name": "picture_a", "type": "choices", "value": {"choices": [word]}}
        return {"result": [result], "updated_at": at, "completed_by": {"id": 1, "email": "r@example.org"}, **more}

    tasks[0]["annotations"] = [
        answer("same", "2026-01-01T00:00:02Z"),
        answer("different", "2026-01-01T00:00:03Z"),
        answer("same", "2026-01-01T00:00:04Z", was_cancelled=True),
    ]
    tasks[1]["annotations"] = [answer("remove", "2026-01-01T00:00:02Z", completed_by=7)]
    export = tmp_path / "export.json"
    export.write_text(json.dumps([*tasks, {"id": 9, "data": tasks[0]["data"], "annotations": []}]))
    wanted = [
        Verdict.of("different", "p/x,1/p0/f0", "q/p0/f0", "r@example.org"),
        Verdict.of("remove", "r/p0/f0", None, "7"),
    ]
    assert read_label_studio(export) == wanted
    export.write_text(json.dumps([{**tasks[0]["data"], "verdict": "same"}, tasks[1]["data"]]))
    assert [v.verdict for v in read_label_studio(export)] == ["same"]


def test_fiftyone_there_and_back(tmp_path: Path) -> None:
    doubts, pictures = doubts_and_pictures()
    pictures["r/p0/f0"] = b"no picture"
    assert write_fiftyone(tmp_path, doubts, pictures) == 1
    name = doubts[0].doubt_id
    assert cv2.imread(str(tmp_path / "data" / f"{name}.jpg")).shape == (320, 640, 3)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels == {"classes": list(CHOICES), "labels": {name: None}}
    assert read_fiftyone(tmp_path) == []
    for target in (1, "different", {"label": "different", "confidence": 1.0}):
        (tmp_path / "labels.json").write_text(json.dumps({**labels, "labels": {name: target}}))
        assert read_fiftyone(tmp_path) == [Verdict.of("different", "p/x,1/p0/f0", "q/p0/f0")]
    (tmp_path / "labels.json").write_text(json.dumps({**labels, "labels": {"unknown": 1}}))
    with pytest.raises(SourceError, match="unknown"):
        read_fiftyone(tmp_path)


def test_a_table_filled_in_by_hand(tmp_path: Path) -> None:
    doubts, pictures = doubts_and_pictures()
    write_label_studio(tmp_path, doubts, pictures, "https://example.org/review/")
    path = tmp_path / "doubts.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["similarity"] for row in rows] == ["0.5123", "0.2"]
    rows[0]["verdict"] = " same "
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert read_csv(path) == [Verdict.of("same", "q/p0/f0", "p/x,1/p0/f0")]
    path.write_text("face_a,face_b,verdict\na,b,perhaps\n")
    with pytest.raises(SourceError, match="perhaps"):
        read_csv(path)
    path.write_text("left,right\na,b\n")
    with pytest.raises(SourceError, match="needs the columns"):
        read_csv(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '[{"data": {}, "annotations": [{"result": [{"from_name": "verdict", "value": {"choices": ["same"]}}]}]}]',
    ],
)
def test_exports_that_are_none_are_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=str(path)):
        read_label_studio(path)


def test_pictures_come_from_the_faces(store: Store) -> None:
    base = {"source_uri": "", "licence": "", "idx": "", "label": "", "photo_id": "", "aligned_side_px": 160}
    numbers = dict.fromkeys(("face_score", "face_side_px", "sharpness", "frontality"), 1.0)
    boxes = {
        "face_xyxy": [0.0] * 4,
        "crop_face_xyxy": [0.0] * 4,
        "landmarks_xy": [0.0] * 10,
        "crop_landmarks_xy": [0.0] * 10,
    }
    rows = [
        {"sample_id": name, **base, **numbers, **boxes, "aligned": {"bytes": jpeg(shade), "path": None}}
        for shade, name in enumerate("abc")
    ]
    record = realise(Derivation(given("faces", FACE_SCHEMA, rows)), store).record
    found = pictures_of_faces([Whole(store.data_path(record))], ["c", "a", "z"])
    assert found == {"a": jpeg(0), "c": jpeg(2)}
