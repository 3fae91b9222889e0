"""Which faces go on to linkage, and what is said of the others."""

import math

import numpy as np
import pyarrow as pa
import pytest

from tasks.face.gate import Gate, GateConfig
from tasks.models.recognition_cards import AURAFACE_V1, MOBILEFACENET_128
from tasks.schema.errors import ModelError
from tasks.schema.rejections import Reason
from tasks.schema.webbody import embedding_schema
from tasks.shards.stage import stage_key

FLOORS = {"face_side_px": 32.0, "face_score": 0.7, "sharpness": 0.3, "frontality": 0.2, "norm": 10.0}
GATE = Gate(GateConfig(model="mobilefacenet-128", **FLOORS))


def face(name: str, **changes) -> dict:
    good = {column: floor + 0.1 for column, floor in FLOORS.items()}
    ids = {"sample_id": name, "parent_id": f"{name}-person", "source_uri": f"https://example.org/{name}"}
    listed = {"licence": "", "idx": "1", "label": "x", "photo_id": name}
    return {**ids, **listed, "face_xyxy": [0.0] * 4, "embedding": [np.float16(0)] * 128, **good, **changes}


def run(gate: Gate, *rows: dict):
    batch = pa.RecordBatch.from_pylist(list(rows), schema=embedding_schema(128))
    (output,) = gate.process(iter([batch]))
    return output.kept["sample_id"].to_pylist(), output.rejected


@pytest.mark.parametrize(
    ("column", "reason", "says"),
    [
        ("face_side_px", Reason.FACE_TOO_SMALL, "32 px are wanted"),
        ("face_score", Reason.FACE_SCORE_LOW, "the detector gives it"),
        ("sharpness", Reason.FACE_BLURRED, "its sharpness is 0.29"),
        ("frontality", Reason.FACE_TURNED_AWAY, "its frontality is 0.19"),
        ("norm", Reason.FACE_FAINT, "its embedding has the norm"),
    ],
)
def test_a_face_under_a_floor_is_left_out_with_its_value(column, reason, says):
    low = FLOORS[column] - 0.01
    kept, (rejection,) = run(GATE, face("a"), face("low", **{column: low}), face("b"))
    assert kept == ["a", "b"]
    assert (rejection.sample_id, rejection.reason) == ("low", reason)
    assert rejection.score == pytest.approx(low, rel=1e-6)
    assert says in rejection.detail
    assert rejection.source_uri == "https://example.org/low"


def test_a_face_on_every_floor_is_kept_and_a_value_that_is_no_number_is_not():
    assert run(GATE, face("on", **FLOORS)) == (["on"], ())
    kept, (rejection,) = run(GATE, face("odd", sharpness=math.nan))
    assert not kept
    assert rejection.reason is Reason.FACE_BLURRED


def test_the_first_floor_that_is_not_reached_is_the_reason():
    _, (rejection,) = run(GATE, face("a", norm=0.0, sharpness=0.0))
    assert rejection.reason is Reason.FACE_BLURRED


def test_rows_of_any_number_are_accounted_for_in_order():
    names = [f"{i:03}" for i in range(50)]
    kept, rejected = run(GATE, *(face(name, face_score=0.5 if int(name) % 3 else 0.9) for name in names))
    assert sorted([*kept, *(r.sample_id for r in rejected)]) == names
    assert [r.sample_id for r in rejected] == sorted(r.sample_id for r in rejected)
    assert run(GATE)[0] == []


def test_floors_left_open_are_the_models_own_and_stand_in_the_key():
    gate = Gate(GateConfig(model="mobilefacenet-128", sharpness=0.0))
    own = MOBILEFACENET_128.embedding.floors
    assert gate.floors == own.model_copy(update={"sharpness": 0.0})
    assert gate.params()["face_side_px"] == own.face_side_px
    assert gate.schema.equals(embedding_schema(128))
    other = Gate(GateConfig(model="mobilefacenet-128"))
    assert stage_key(gate, ("0",), ()) != stage_key(other, ("0",), ())
    assert Gate(GateConfig()).schema.equals(embedding_schema(AURAFACE_V1.embedding.width))


def test_an_unknown_model_fails_at_once():
    with pytest.raises(ModelError, match="Choose one of"):
        Gate(GateConfig(model="face-net"))
