"""Face ViTs that timm builds, from safetensors files in timm's key layout; no code of anybody else's is run."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.face.recogniser import CardRecogniser, Faces, demand_width, model_input, spec_of
from tasks.face.recogniser_torch import TorchNetwork, torch_execution
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, demand_provider, provider
from tasks.models.loaded import load_once
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.errors import ModelError

HEAD_WIDTH: Final = 64
"""Numbers of an attention head in timm's tiny, small and base ViTs; the only size that no weight tells."""


@dataclass(frozen=True)
class TimmRecogniser(CardRecogniser):
    """A face ViT as gau-nernst/timm-face trains them, as `Recogniser` says; its size is read off the weights."""

    device: Device = "auto"

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {**torch_execution(provider(self.device)), "timm": metadata.version("timm")}

    def embed(self, faces: Faces, landmarks: NDArray[np.float32] | None = None) -> NDArray[np.float32]:  # noqa: ARG002
        """The raw embeddings, as `Recogniser` says; landmarks are not looked at.

        Raises:
            ModelError: the weights are missing, damaged, or not those of a face ViT.
            ShapeError: a face is not RGB uint8 of the card's side.
        """
        pixels = model_input(faces, self.spec)
        if not len(pixels):
            return np.empty((0, self.spec.width), np.float32)
        return demand_width(self._loaded().run(pixels), self.card, len(pixels))

    def _loaded(self) -> TorchNetwork:
        where = provider(self.device)
        key = ("timm-recognition", self.card.name, self.card.sha256, self.zoo, where)
        return load_once(key, lambda: _load(self.card, self.zoo, where))


def _load(card: ModelCard, zoo: Zoo, where: Provider) -> TorchNetwork:
    verified = verified_file(card, zoo)
    demand_provider(where)
    return TorchNetwork(_vit(verified.path, card), where, lambda module, pixels, _: module(pixels))


def _vit(path: Path, card: ModelCard) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from timm.models.vision_transformer import VisionTransformer

    side = spec_of(card).side
    try:
        weights = load_file(path)
        patches = weights["patch_embed.proj.weight"]
        width, patch = int(patches.shape[0]), int(patches.shape[-1])
        averages = "cls_token" not in weights
        module = VisionTransformer(
            img_size=side,
            patch_size=patch,
            embed_dim=width,
            depth=1 + max(int(key.split(".")[1]) for key in weights if key.startswith("blocks.")),
            num_heads=width // HEAD_WIDTH,
            mlp_ratio=weights["blocks.0.mlp.fc1.weight"].shape[0] / width,
            num_classes=int(weights["head.weight"].shape[0]),
            class_token=not averages,
            global_pool="avg" if averages else "token",
            fc_norm="fc_norm.weight" in weights,
        )
        module.load_state_dict(weights, strict=True)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError) as error:
        raise ModelError(f"{path} does not load as a face ViT of {side} px: {error}") from error
    return module.eval()
