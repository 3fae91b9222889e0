"""Remembered faces: kept apart, known again by the same model, and part of the key of the gate."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.face.gate import Gate
from tasks.face.remembered import RememberedFace, remember_face, remembered_faces, remembers_anybody
from tasks.schema.errors import StoreError
from tasks.schema.rejections import Reason
from tasks.schema.webbody import embedding_schema
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.shards.tombstones import REMEMBERED, read_salt
from tests.face.test_face_gate import GATE, face
from tests.poses.sample_shards import given

ME = np.array([0.6, 0.8], np.float32)


def test_a_face_is_kept_once_and_known_by_its_model_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not remembers_anybody(store)
    paths = [remember_face(store, RememberedFace.of("0" * 64, face, 0.5)) for face in (ME, ME, -ME)]
    assert [path.name for path in paths] == ["000001.json", "000001.json", "000002.json"]
    assert remembered_faces(store, "1" * 64) is None
    known = remembered_faces(store, "0" * 64)
    assert known is not None
    found = known.likeness(np.array([[0.8, 0.6], [1, 0], [-0.6, -0.8], [0.8, -0.6]], np.float16))
    np.testing.assert_allclose(found, [0.96, 0.6, 1.0, np.nan], atol=1e-3)
    paths[0].unlink()
    left = remembered_faces(store, "0" * 64)
    assert left is not None
    assert (len(left.embeddings), left.digest != known.digest) == (1, True)
    paths[2].write_text(paths[2].read_text().replace("-0.6", "-0.7"))
    with pytest.raises(StoreError, match="is damaged"):
        remembered_faces(store, "0" * 64)


def test_the_gate_leaves_a_remembered_face_out_without_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors = [np.eye(1, 128, at, np.float16)[0].tolist() for at in range(2)]
    faces = given("faces", embedding_schema(128), [face(n, embedding=v) for n, v in zip("ab", vectors, strict=True)])
    remember_face(store, RememberedFace.of("0" * 64, np.eye(1, 128, 1, np.float32)[0], 0.9))
    before = realise(Derivation(GATE, (Derivation(faces),)), store).record
    known = Gate(GATE.config, remembered_faces(store, "0" * 64))
    outcome = realise(Derivation(known, (Derivation(faces),)), store)
    assert (before.data.rows, before.rejected, outcome.ran) == (2, {}, ("gate",))
    assert (outcome.record.data.rows, outcome.record.rejected) == (1, {Reason.FORGOTTEN: 1})
    path = store.rejects_path(outcome.record)
    assert path is not None
    (told,) = pq.read_table(path).to_pylist()
    assert (told["detail"], told["score"], told["source_uri"]) == (REMEMBERED, 1, "")
    assert told["sample_id"] == read_salt(store).name("b")
