"""A small fixed input for the stage of embeddings: two photos, one that is none, and a ResNet of whole weights."""

from pathlib import Path

import numpy as np

from tasks.fashion.embed import Embed, EmbedConfig
from tasks.models.zoo import Zoo
from tasks.schema.fashion import LABELLED_SCHEMA, LOOK_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.fashion.made_weights import labelled_row, look_row, picture, png
from tests.poses.sample_shards import given


def embedding_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    models = store.root / "made_embedders"
    models.mkdir(parents=True, exist_ok=True)
    _write_whole_resnet(models / "whole.safetensors")
    shown = {"wide": png(picture(1, 180, 240)), "tall": png(picture(2, 300, 170)), "none": b"no picture"}
    looks = given("embed looks", LOOK_SCHEMA, [look_row(name, data) for name, data in shown.items()])
    labels = given("embed labels", LABELLED_SCHEMA, [labelled_row(name) for name in shown])
    config = EmbedConfig(model="timm:test_resnet", weights="whole.safetensors")
    stage = Embed(config, Zoo(models, trust_unknown_digest=True), "cpu", "torch")
    return {"embed": Derivation(stage, (Derivation(labels),), (Derivation(looks),))}


def _write_whole_resnet(path: Path) -> None:
    """Weights of -1, 0 and 1 over a power of two, and normalisations that change nothing."""
    import timm
    from safetensors.numpy import save_file

    draw = np.random.default_rng(3)
    weights: dict[str, np.ndarray] = {}
    for name, tensor in sorted(timm.create_model("test_resnet", pretrained=False).state_dict().items()):
        shape = tuple(tensor.shape)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            weights[name] = np.ones(shape, np.float32)
        elif len(shape) > 1:
            scale = 2.0 ** np.round(np.log2(np.prod(shape[1:]) / 3) / 2)  # signals stay as large as they are
            weights[name] = (draw.integers(-1, 2, shape) / scale).astype(np.float32)
        else:
            weights[name] = np.zeros(shape, tensor.numpy().dtype)
    save_file(weights, path)
