"""The image tower of any open_clip model, from a file of the whole model or of the tower."""

from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from tasks.fashion.weight_files import fill, read_state
from tasks.models.card import ModelCard
from tasks.models.image_spec import ImageSpec
from tasks.schema.errors import ModelError

_TOWER: Final = "visual."
_FITS: Final = {"shortest": "cover", "longest": "contain", "squash": "squash"}


def open_clip_card(architecture: str, weights: str = "") -> ModelCard:
    """The card of an architecture with somebody's weights; what it takes is open_clip's own configuration of it.

    Args:
        architecture: "ViT-B-32", or with the tag of published weights, "ViT-B-32.laion2b_s34b_b79k", where the weights
            of an architecture differ in what they take.
    Raises:
        ModelError: open_clip has no such architecture or tag, or the tag has to be told.
    """
    name, tag = _split(architecture)
    taken = _preprocessing(name, tag)
    tower, width = _tower(name, "meta")
    down, across = (tower.image_size,) * 2 if isinstance(tower.image_size, int) else tower.image_size
    spec = ImageSpec(
        architecture=architecture,
        width=width,
        side=(down, across),
        resized=(down, across),
        fit=_FITS[taken["resize_mode"]],  # type: ignore[arg-type]
        interpolation=taken["interpolation"],
        mean=tuple(taken["mean"]),
        std=tuple(taken["std"]),
        paper=(taken["fill_color"],) * 3,
    )
    return ModelCard(
        name=f"open_clip-{architecture}".lower(),
        file_name=weights or f"open_clip-{architecture}.safetensors",
        family="open-clip-image",
        revision="",
        sha256=None,
        licence="unknown",
        input_spec="as open_clip configures the architecture",
        image=spec,
        origin=f"weights of your own for open_clip's {architecture}{_published(name, tag)}",
    )


def open_clip_network(spec: ImageSpec, path: Path) -> Any:
    """The image tower with the weights of a file, in eval mode; weights of the text tower are left out.

    Raises:
        ModelError: the file is damaged, or not of that architecture.
    """
    tower, _ = _tower(_split(spec.architecture)[0], "cpu")
    state = read_state(path)
    own = {name.removeprefix(_TOWER): value for name, value in state.items() if name.startswith(_TOWER)}
    return fill(tower, own or state, path, f"the image tower of open_clip's {spec.architecture}")


def _split(architecture: str) -> tuple[str, str]:
    """Name and tag.

    Raises:
        ModelError: open_clip has no such architecture, or no such weights of it.
    """
    open_clip = _library()
    if open_clip.get_model_config(architecture) is not None:
        return architecture, ""
    name, _, tag = architecture.rpartition(".")
    if name and open_clip.get_model_config(name) is not None:
        tags = open_clip.list_pretrained_tags_by_model(name)
        if tag in tags:
            return name, tag
        raise ModelError(f"open_clip has no weights {tag!r} of {name}; choose one of: {', '.join(tags)}.")
    near = get_close_matches(architecture, open_clip.list_models(), 3, 0.0)
    raise ModelError(f"open_clip has no model {architecture!r}; near it are {', '.join(near)}.")


def _preprocessing(name: str, tag: str) -> dict[str, Any]:
    """How pictures are made for weights; those of all tags where they agree, open_clip's default where there are none.

    Raises:
        ModelError: the tags do not agree and none is named, or the named weights belong to a sister architecture.
    """
    open_clip = _library()
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(name)
    configured = {each: open_clip.get_pretrained_cfg(name, each) for each in tags}
    quick = bool(open_clip.get_model_config(name).get("quick_gelu", False))
    if tag and bool(configured[tag].get("quick_gelu", False)) != quick:
        sister = name.removesuffix("-quickgelu") if quick else f"{name}-quickgelu"
        raise ModelError(
            f"The weights {tag} were trained with another activation than {name} has: choose {sister}.{tag}."
        )
    default = asdict(open_clip.transform.PreprocessCfg())
    merge = open_clip.transform.merge_preprocess_dict
    ways = [merge(default, each) | {"size": None} for each in configured.values()] or [default]
    if any(way != ways[0] for way in ways):
        raise ModelError(
            f"The weights of {name} differ in what they take: name yours, {name}.<one of {', '.join(tags)}>."
        )
    return dict(ways[0])


def _tower(name: str, device: str) -> tuple[Any, int]:
    """The image tower of an architecture, without weights of its own, and the width of its embeddings."""
    import torch
    from open_clip.model import _build_vision_tower

    config = _library().get_model_config(name)
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    with torch.device(device):
        tower = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
    return tower, int(config["embed_dim"])


def _library() -> Any:
    import open_clip

    return open_clip


def _published(name: str, tag: str) -> str:
    open_clip = _library()
    hub = open_clip.get_pretrained_cfg(name, tag).get("hf_hub", "") if tag else ""
    return f", or open_clip_model.safetensors of {hub.rstrip('/')} on the Hugging Face hub" if hub else ""
