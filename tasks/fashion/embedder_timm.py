"""Any image model of timm, headless, from a file in timm's or torchvision's key layout."""

import math
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tasks.fashion.torchvision_keys import timm_names
from tasks.fashion.weight_files import fill, read_state, without
from tasks.models.card import ModelCard
from tasks.models.image_spec import ImageSpec
from tasks.schema.errors import ModelError


def timm_card(architecture: str, weights: str = "") -> ModelCard:
    """The card of an architecture with somebody's weights; what it takes is timm's own configuration of it.

    Raises:
        ModelError: timm has no such architecture or tag, or it does not give one vector a picture.
    """
    from timm.data.config import resolve_data_config
    from timm.models import get_pretrained_cfg, is_model, list_models, list_pretrained

    name, _, tag = architecture.partition(".")
    known = list_pretrained(f"{name}.*") if is_model(name) else list_models()
    if not is_model(name) or (tag and architecture not in known):
        near = get_close_matches(architecture, known, 3, 0.0)
        raise ModelError(f"timm has no model {architecture!r}; near it are {', '.join(near)}.")
    configured = get_pretrained_cfg(architecture)
    if configured is None:
        raise ModelError(f"timm does not say what {architecture} takes: choose another architecture.")
    data = resolve_data_config(pretrained_cfg=configured.to_dict())  # type: ignore[no-untyped-call]
    side, crop = data["input_size"][1:], data["crop_pct"]
    mean, std = tuple(map(float, data["mean"])), tuple(map(float, data["std"]))
    if (data["input_size"][0], len(mean), len(std)) != (3, 3, 3):
        raise ModelError(f"timm's {architecture} does not take RGB pictures: choose another architecture.")
    spec = ImageSpec(
        architecture=architecture,
        width=_width(architecture, side),
        side=tuple(side),
        resized=tuple(math.floor(each / crop) for each in side),
        fit={"squash": "squash", "border": "contain"}.get(data["crop_mode"], "cover"),  # type: ignore[arg-type]
        interpolation=data["interpolation"],
        mean=mean,  # type: ignore[arg-type]
        std=std,  # type: ignore[arg-type]
        paper=tuple(round(255 * each) for each in mean),  # type: ignore[arg-type]
    )
    source = f"model.safetensors of {configured.hf_hub_id} on the Hugging Face hub" if configured.hf_hub_id else ""
    return ModelCard(
        name=f"timm-{architecture}".lower(),
        file_name=weights or f"timm-{architecture}.safetensors",
        family="timm-image",
        revision="",
        sha256=None,
        licence="unknown",
        input_spec="as timm configures the architecture",
        image=spec,
        origin=f"weights of your own for timm's {architecture}" + (f", or {source}" if source else ""),
    )


def timm_network(spec: ImageSpec, path: Path) -> Any:
    """The network with the weights of a file, without its head, in eval mode.

    Raises:
        ModelError: the file is damaged, or not of that architecture.
    """
    import timm

    network = timm.create_model(spec.architecture, pretrained=False, num_classes=0)
    return fill(network, without(timm_names(read_state(path)), _heads(network)), path, f"timm's {spec.architecture}")


def _heads(network: Any) -> tuple[str, ...]:
    """Names of the classifiers that the whole network has."""
    heads = network.pretrained_cfg.get("classifier") or ()
    return (heads,) if isinstance(heads, str) else tuple(heads)


def _width(architecture: str, side: tuple[int, int]) -> int:
    """Numbers that the network gives a picture, found without computing any."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            network = timm.create_model(architecture, pretrained=False, num_classes=0).eval()
            _, width = network(torch.zeros(1, 3, *side)).shape
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"timm's {architecture} does not give one vector a picture: choose another architecture. ({error})"
        ) from error
    return int(width)
