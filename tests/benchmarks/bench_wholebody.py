"""Boxes a second through a whole-body network in batches, beside the same network one box a call.

    python -m tests.benchmarks.bench_wholebody [--model rtmw-l-384]

Without `--model` the network is made here, with seeded weights: strided convolutions to a twelfth of a pixel a number,
a 7 x 7 convolution to 133 maps, two SimCC heads; input, outputs and layout are RTMW's, `--width` sets the work a box.
What it says means nothing; what it costs is near. Rounds alternate, so that whatever else the machine does hits both.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.body.rtmw import RtmwPose, open_wholebody_model
from tasks.models.device import cpu_threads
from tasks.models.zoo import Zoo
from tests.body.simcc_model import JOINTS, SIDE_X, SIDE_Y, card_of


def seeded_onnx(width: int) -> bytes:
    """A network of RTMW's ends whose widest layer has 16 `width` channels."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []

    def weights(*shape: int) -> str:
        name = f"w{len(constants)}"
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(kind: str, *inputs: str, named: str = "", **attributes: object) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [named or f"n{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    here, channels = "input", 3
    for stage in range(5):
        wide = width * 2**stage
        for stride in (2, 1, 1):
            here = add("Conv", here, weights(wide, channels, 3, 3), strides=[stride] * 2, pads=[1] * 4)
            here, channels = add("Relu", here), wide
    here = add("Conv", here, weights(JOINTS, channels, 7, 7), pads=[3] * 4)
    flat = numpy_helper.from_array(np.array([0, JOINTS, -1], np.int64), "flat")
    constants.append(flat)
    here = add("MatMul", add("Reshape", here, "flat"), weights(SIDE_X * SIDE_Y // 1024, 256))
    for name, side in (("simcc_x", SIDE_X), ("simcc_y", SIDE_Y)):
        add("MatMul", here, weights(256, 2 * side), named=name)
    shapes = {"input": (3, SIDE_Y, SIDE_X), "simcc_x": (JOINTS, 2 * SIDE_X), "simcc_y": (JOINTS, 2 * SIDE_Y)}
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("batch", *s)) for n, s in shapes.items()]
    graph = helper.make_graph(nodes, "seeded", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the name of a card whose file is here, in place of the seeded network")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--boxes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            model = open_wholebody_model(options.model, Zoo.from_environment())
        else:
            content = seeded_onnx(options.width)
            (Path(folder) / "seeded.onnx").write_bytes(content)
            model = RtmwPose(card_of(content, "seeded", "seeded.onnx"), Zoo(Path(folder)), 2.0)
        network = model._loaded()
        batch = network.batch
        rng = np.random.default_rng(1)
        pictures = [rng.integers(0, 256, (512, 512, 3), np.uint8) for _ in range(options.boxes)]
        corner = rng.uniform(0, 200, (options.boxes, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(100, 300, corner.shape)], axis=1).astype(np.float32)

        wall: dict[int, list[float]] = {1: [], batch: []}
        work: dict[int, list[float]] = {1: [], batch: []}
        places = {}
        for _ in range(options.rounds):
            for size in dict.fromkeys((1, batch)):
                network.batch = size
                start, cpu_start = time.perf_counter(), time.process_time()
                places[size] = model.estimate(pictures, boxes).keypoints.xy
                work[size].append((time.process_time() - cpu_start) / options.boxes)
                wall[size].append((time.perf_counter() - start) / options.boxes)
    for size, seconds in wall.items():
        rate = f"{1 / median(seconds):6.2f} boxes/s (of {1 / max(seconds):.2f} to {1 / min(seconds):.2f})"
        print(f"batch {size:>2}: {rate}, {1000 * median(work[size]):.0f} ms CPU a box, {cpu_threads()} threads")
    for what, values in (("boxes/s", wall), ("boxes a CPU second", work)):
        ratios = [single / batched for single, batched in zip(values[1], values[batch], strict=True)]
        print(f"batch {batch} / batch 1, {what}: {median(ratios):.2f} (of {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"largest difference of a joint: {np.nanmax(np.abs(places[batch] - places[1])):.3f} pixels")


if __name__ == "__main__":
    main()
