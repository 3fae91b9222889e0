"""The names that torchvision gives the weights of its vision transformers, in the words of timm.

Its ResNets, ResNeXts, wide ResNets and DenseNets have one layout in both libraries.
"""

import re
from typing import Any, Final

_WHOLE: Final = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
}
_PARTS: Final = (
    (re.compile(r"^conv_proj\."), "patch_embed.proj."),
    (re.compile(r"^encoder\.ln\."), "norm."),
    (re.compile(r"^heads\.head\."), "head."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\."), r"blocks.\1.norm\2."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_"), r"blocks.\1.attn.qkv."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\."), r"blocks.\1.attn.proj."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\."), r"blocks.\1.mlp.fc1."),
    (re.compile(r"^encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\."), r"blocks.\1.mlp.fc2."),
)


def timm_names(state: dict[str, Any]) -> dict[str, Any]:
    """Weights by timm's names; those of a network that is no vision transformer of torchvision's stay as they are."""
    if "encoder.pos_embedding" not in state:
        return state
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    for pattern, replacement in _PARTS:
        new, found = pattern.subn(replacement, name)
        if found:
            return new
    return name
