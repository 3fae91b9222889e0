"""A network of RTMO's form that sees painted blocks: what it says of a picture follows from the picture alone.

A block of colour (255, G, B) is a person if B is one of `BLUES`: G / 255 is the score, the block is the box, and the 17
joints lie on its diagonal, the last one beyond it.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.models.card import ModelCard

SIDE = 640
BLUES = (20, 50, 80, 110, 140, 170, 200, 230)
JOINT_PLACES = np.array([j / 16 for j in range(16)] + [1.25], np.float32)
"""Of each joint along both sides of the box, from its first pixel's centre; 1 is just beyond the last pixel's."""

JOINT_CONFIDENCES = np.array([0.0, 0.01] + [0.9] * 15, np.float32)


def paint(picture: np.ndarray, xyxy: tuple[int, int, int, int], blue: int, score: float) -> None:
    left, top, right, bottom = xyxy
    picture[top:bottom, left:right] = (255, round(score * 255), blue)


def joints_of(xyxy: tuple[int, int, int, int]) -> np.ndarray:
    """Where the network sees the joints of a block, (17, 2)."""
    corner, size = np.array(xyxy[:2], float), np.array(xyxy[2:], float) - xyxy[:2]
    return corner - 0.5 + JOINT_PLACES[:, None] * size


def write_blocks_model(folder: Path, name: str = "blocks", file_name: str = "blocks.onnx") -> ModelCard:
    """Write the file and give the card that describes it."""
    content = blocks_onnx()
    (folder / file_name).write_bytes(content)
    return card_of(content, name, file_name)


def card_of(content: bytes, name: str = "blocks", file_name: str = "blocks.onnx") -> ModelCard:
    return ModelCard(
        name=name,
        file_name=file_name,
        family="onnx-pose",
        revision="1",
        sha256=sha256(content).hexdigest(),
        licence="CC0-1.0",
        input_spec="as RTMO",
        thresholds={"person": 0.15, "joint": 0.5},
        origin="made by the tests",
    )


def blocks_onnx(joints: int = 17) -> bytes:
    graph = _Graph()
    blue, green, red = graph.add("Split", "pixels", graph.ints(1, 1, 1), outputs=3, axis=1)
    off = graph.add("Abs", graph.add("Sub", blue, graph.floats(np.reshape(BLUES, (1, -1, 1, 1)))))
    near = graph.add("Relu", graph.add("Sub", graph.floats(1.0), graph.add("Mul", off, graph.floats(0.25))))
    full = graph.add("Cast", graph.add("Greater", red, graph.floats(250.0)), to=TensorProto.FLOAT)
    shown = graph.add("Mul", near, full)
    count = graph.add("Max", graph.total(shown), graph.floats(1.0))

    def mean(of: str) -> str:
        return graph.add("Div", graph.total(graph.add("Mul", shown, of)), count)

    score = graph.add("Mul", mean(green), graph.floats(1 / 255))
    low, high, places = [], [], []
    for shape in ((1, 1, 1, SIDE), (1, 1, SIDE, 1)):
        grid = np.arange(SIDE, dtype=np.float64).reshape(shape) - SIDE / 2
        centre = mean(graph.floats(grid))
        spread = graph.add("Sub", mean(graph.floats(grid**2)), graph.add("Mul", centre, centre))
        quarter = graph.add("Add", graph.add("Mul", spread, graph.floats(3.0)), graph.floats(0.25))
        half = graph.add("Sqrt", graph.add("Relu", quarter))
        middle = graph.add("Add", centre, graph.floats(SIDE / 2 + 0.5))
        low.append(graph.add("Sub", middle, half))
        high.append(graph.add("Add", middle, half))
        along = np.resize(JOINT_PLACES, joints).reshape(1, 1, -1, 1) * 2
        reach = graph.add("Mul", half, graph.floats(along))
        places.append(graph.add("Add", graph.add("Sub", low[-1], graph.floats(0.5)), reach))
    dets = graph.add("Concat", *low, *high, score, axis=3)
    graph.add("Squeeze", dets, graph.ints(2), named="dets")
    told = np.resize(JOINT_CONFIDENCES, joints).reshape(1, 1, -1, 1)
    zero = graph.add("Mul", places[0], graph.floats(0.0))
    graph.add("Concat", *places, graph.add("Add", zero, graph.floats(told)), axis=3, named="keypoints")
    return graph.bytes(joints)


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def _constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, values) -> str:
        return self._constant(np.asarray(values, np.float32))

    def ints(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, outputs: int = 1, named: str = "", **attributes):
        names = [named or f"{kind}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names if outputs > 1 else names[0]

    def total(self, of: str) -> str:
        return self.add("ReduceSum", of, self.ints(2, 3), keepdims=1)

    def bytes(self, joints: int) -> bytes:
        people = len(BLUES)
        described = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (
                ("pixels", ("batch", 3, SIDE, SIDE)),
                ("dets", ("batch", people, 5)),
                ("keypoints", ("batch", people, joints, 3)),
            )
        ]
        graph = helper.make_graph(self._nodes, "blocks", described[:1], described[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)
