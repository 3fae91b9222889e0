"""Files of weights in the key layouts of torchvision, timm and open_clip, seeded; and photos to show them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.images.sheet import encode_png
from tasks.models.zoo import Zoo
from tasks.schema.columns import IMAGE, SAMPLE_FIELDS

PHOTO_SCHEMA = pa.schema([*SAMPLE_FIELDS, pa.field("image", IMAGE)])
"""The columns that `embed` reads: those of its rows, and the one that it looks up."""


def trusting(folder: Path) -> Zoo:
    """A zoo of files that tests made."""
    return Zoo(folder.resolve(), trust_unknown_digest=True)


def seeded(network: Any, seed: int = 0) -> Any:
    """The network with weights that make every layer count, also its normalisations; in eval mode."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.8, 1.2, generator=draw)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1, generator=draw)
        elif tensor.ndim == 1 and name.endswith("weight"):
            tensor.uniform_(0.5, 1, generator=draw)
        elif tensor.is_floating_point():
            tensor.normal_(0, (1 / max(1, tensor[0].numel())) ** 0.5 if tensor.ndim > 1 else 0.1, generator=draw)
    return network.eval()


def torchvision_resnet(name: str = "resnet50") -> Any:
    """torchvision's own network, with its head."""
    import torchvision

    return seeded(getattr(torchvision.models, name)(weights=None))


def write_resnet(path: Path, name: str = "resnet50") -> Path:
    """torchvision's ResNet of that name as torchvision publishes it: a pickled state dict with its head."""
    import torch

    torch.save(torchvision_resnet(name).state_dict(), path)
    return path


def tiny_clip(folder: Path, name: str = "tiny-clip") -> Any:
    """A CLIP of 32 px that open_clip then knows by its name, with seeded weights."""
    import open_clip

    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return seeded(open_clip.create_model(name))


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Coloured waves, RGB uint8, (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / 100
    waves = np.random.default_rng(seed).uniform(0.5, 6, (3, 2))
    return np.stack([127 + 120 * np.sin(fx * x + fy * y) for fx, fy in waves], axis=-1).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return encode_png(pixels)


def photo_row(sample_id: str, data: bytes) -> dict[str, Any]:
    """A row of `PHOTO_SCHEMA`."""
    told = {"sample_id": sample_id, "parent_id": None, "source_uri": f"{sample_id}.png", "licence": "CC0-1.0"}
    return told | {"image": {"bytes": data, "path": f"{sample_id}.png"}}


def look_row(sample_id: str, data: bytes, source: str = "street") -> dict[str, Any]:
    """A row of `LOOK_SCHEMA`."""
    told = {"source": source, "original_dataset": "made", "image_path": f"{sample_id}.png", "garments": ["dress"]}
    return photo_row(sample_id, data) | told


def labelled_row(sample_id: str, source: str = "street", phash: int = 0) -> dict[str, Any]:
    """A row of `LABELLED_SCHEMA`."""
    told = {"category": "dress", "width": 1, "height": 1, "sha256": "00", "phash": phash}
    return look_row(sample_id, b"", source) | told


def batch_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=PHOTO_SCHEMA)
