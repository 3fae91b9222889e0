"""Networks of RTMW's form whose peaks are known: what they say of a crop follows from the crop alone.

The brightest pixel of the green channel, (row r, column c) of the input, decides: joint k lies `OFFSETS[k]` half pixels
from it, and its scores along x and y are Gaussians' logarithms, lifted to `SCORES[k]` and one more along y.
"""

from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.models.card import ModelCard

JOINTS = 133
SIDE_X, SIDE_Y = 288, 384
OFFSETS = np.random.default_rng(7).integers(-40, 41, (JOINTS, 2)).astype(np.float32)
"""x and y of each joint from the bright pixel, half pixels of the input."""
SCORES = np.linspace(8, 0.5, JOINTS, dtype=np.float32)
SCORES[3] = -1.0

Fault = Literal["", "batch axis", "neighbours"]


def simcc_onnx(
    *, batch: int | str = "batch", joints: int = JOINTS, fault: Fault = "", blur: float = 0.0, lower: float = 0.0
) -> bytes:
    """The network as bytes.

    Args:
        batch: a name, or the fixed size of the batch axis.
        joints: how many.
        fault: "batch axis": claims any batch but works for one crop only; "neighbours": mixes the crops of a batch.
        blur: half pixels by which the true places lie beyond the half pixel.
        lower: by how much all scores are lower.
    """
    graph = _Graph()
    pixels = "input"
    if fault == "batch axis":
        pixels = graph.add("Reshape", pixels, graph.ints(1, 3, SIDE_Y, SIDE_X))
    if fault == "neighbours":
        mean = graph.add("ReduceMean", pixels, axes=[0], keepdims=1)
        pixels = graph.add("Sub", pixels, graph.add("Mul", mean, graph.floats(0.9)))
    green = graph.add("Gather", pixels, graph.constant(np.array(1, np.int64)), axis=1)
    for name, axis, side, column in (("simcc_x", 1, SIDE_X, 0), ("simcc_y", 2, SIDE_Y, 1)):
        profile = graph.add("ReduceMax", green, axes=[axis], keepdims=0)
        at = graph.add("Cast", graph.add("ArgMax", profile, axis=1, keepdims=1), to=TensorProto.FLOAT)
        place = graph.add("Add", graph.add("Mul", at, graph.floats(2.0)), graph.floats(blur))
        wanted = graph.add("Add", place, graph.floats(np.resize(OFFSETS[:, column], (1, joints))))
        off = graph.add("Sub", graph.floats(np.arange(2 * side)), graph.add("Unsqueeze", wanted, graph.ints(2)))
        fall = graph.add("Mul", graph.add("Mul", off, off), graph.floats(-1 / 200))
        lift = np.resize(SCORES, (1, joints, 1)) + column - lower
        graph.add("Add", fall, graph.floats(lift), named=name)
    return graph.bytes(batch, joints)


def write_simcc_model(folder: Path, name: str = "peaks", **options) -> ModelCard:
    """Write the file and give the card that describes it."""
    content = simcc_onnx(**options)
    (folder / f"{name}.onnx").write_bytes(content)
    return card_of(content, name, f"{name}.onnx")


def card_of(content: bytes, name: str, file_name: str) -> ModelCard:
    return ModelCard(
        name=name,
        file_name=file_name,
        family="onnx-wholebody",
        revision="1",
        sha256=sha256(content).hexdigest(),
        licence="CC0-1.0",
        input_spec="as RTMW",
        thresholds={"person": 0.3, "joint": 0.5},
        origin="made by the tests",
    )


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, values) -> str:
        return self.constant(np.asarray(values, np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, named: str = "", **attributes) -> str:
        name = named or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def bytes(self, batch: int | str, joints: int) -> bytes:
        shapes = {
            "input": (batch, 3, SIDE_Y, SIDE_X),
            "simcc_x": (batch, joints, 2 * SIDE_X),
            "simcc_y": (batch, joints, 2 * SIDE_Y),
        }
        described = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]
        graph = helper.make_graph(self._nodes, "peaks", described[:1], described[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)
