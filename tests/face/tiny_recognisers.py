"""Files of the form that real recognition models have, small and with seeded weights, and faces to show them."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from tasks.models.card import Family, ModelCard
from tasks.models.embedding import EmbeddingSpec, GateFloors

NO_FLOORS = GateFloors(face_side_px=0, face_score=0, sharpness=0, frontality=0, norm=0)


def card_of(path: Path, family: Family, *, width: int = 16, name: str = "tiny", **spec: object) -> ModelCard:
    """A card with the digest of a file that is there."""
    return ModelCard(
        name=name,
        file_name=path.name,
        family=family,
        revision="0" * 40,
        sha256=sha256(path.read_bytes()).hexdigest(),
        licence="CC0-1.0",
        input_spec="as the card's embedding says",
        embedding=EmbeddingSpec(width=width, floors=NO_FLOORS, **spec),
        origin="made by a test",
    )


def write_onnx(path: Path, *, batch: int | str = "N", width: int = 16, side: int = 112) -> Path:
    """Convolution, rectifier, mean, projection: ArcFace's interface in a few kilobytes."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    rng = np.random.default_rng(11)
    weights = {
        "conv": rng.normal(0, 0.2, (8, 3, 7, 7)).astype(np.float32),
        "project": rng.normal(0, 1, (8, width)).astype(np.float32),
        "offset": rng.normal(0, 0.1, width).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["data", "conv"], ["a"], strides=[7, 7]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "project", "offset"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [batch, width])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    save_model(model, str(path))
    return path


def write_vit(path: Path, *, width: int = 64, depth: int = 2, numbers: int = 512, averages: bool = False) -> Path:
    """Safetensors in the key layout of timm's ViT, 112 px in patches of 8."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 196 + (not averages), width),
        "patch_embed.proj.weight": (width, 3, 8, 8),
        "patch_embed.proj.bias": (width,),
        "head.weight": (numbers, width),
        "head.bias": (numbers,),
    }
    norms = ["fc_norm" if averages else "norm"]
    if not averages:
        shapes["cls_token"] = (1, 1, width)
    for block in range(depth):
        name = f"blocks.{block}"
        norms += [f"{name}.norm1", f"{name}.norm2"]
        for part, out, given in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            shapes |= {f"{name}.{part}.weight": (out, given), f"{name}.{part}.bias": (out,)}
    weights = {key: rng.normal(0, 0.1, shape).astype(np.float32) for key, shape in sorted(shapes.items())}
    for norm in norms:
        weights |= {f"{norm}.weight": np.ones(width, np.float32), f"{norm}.bias": np.zeros(width, np.float32)}
    save_file(weights, path)
    return path


def faces(count: int, side: int = 112) -> list[np.ndarray]:
    """Smooth coloured patterns, all different."""
    y, x = np.mgrid[:side, :side] / side
    rng = np.random.default_rng(2)
    waves = rng.uniform(1, 9, (count, 3, 2))
    return [
        np.stack([127 + 120 * np.sin(fx * x * 6 + fy * y * 6) for fx, fy in wave], axis=-1).astype(np.uint8)
        for wave in waves
    ]
