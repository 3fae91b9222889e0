"""What the stage of embeddings says of photos, against the same network asked in another way."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.controls.finding import Finding
from tasks.controls.passage import Came
from tasks.controls.pictures import Photo
from tasks.fashion.embed import Embed, embedder_name
from tasks.models.device import provider
from tasks.models.image_spec import ImageSpec
from tasks.models.zoo import verified_file

STAGE: Final = "embed"

SAME: Final = {"cpu": 5e-4, "cuda": 0.02}
"""By provider, distance of an embedding to the one that was made another way, in lengths of that: 1e-7 is measured on a
CPU, half precision on a GPU is good to about 0.01. A crop that is one pixel off gives 1.5e-3, other channels 0.02."""

TURNED: Final = {"cpu": 1e-5, "cuda": 0.02}
"""The same for pictures of the very same pixels, which may lie in other batches."""


def embed_findings(seen: Came, photos: Sequence[Photo], stage: Embed) -> list[Finding]:
    """Compare embeddings with those of plain torch and torchvision on the planted pixels."""
    width = stage.schema.field("embedding").type.list_size
    embedded = {name: np.array(row["embedding"], np.float64) for name, row in seen.kept.items()}
    lossless = [each for each in photos if each.name in embedded and each.format == "PNG" and each.orientation == 1]
    asked = [each for each in lossless if each.name in ("control/wide", "control/stripes", "control/board")]
    findings = [
        Finding.none_wrong(
            STAGE,
            "the embedder's name and width",
            {
                name: row["embedder"] == embedder_name(stage.embedder) and len(row["embedding"]) == width
                for name, row in seen.kept.items()
            },
        )
    ]
    where = provider(stage.device)
    direct = _asked(asked, stage)
    off = [_apart(embedded[name], wanted) for name, wanted in direct.items()]
    turned = [
        _apart(embedded[f"control/wide-{turn}"], embedded["control/wide"])
        for turn in (3, 8)
        if {"control/wide", f"control/wide-{turn}"} <= embedded.keys()
    ]
    twins = _apart(embedded["control/again"], embedded["control/worn-0"]) if "control/again" in embedded else 0.0
    return [
        *findings,
        Finding.at_most(
            STAGE,
            "embeddings made another way",
            max(off, default=0.0),
            SAME[where],
            "of length",
            "By torch and torchvision.",
        ),
        Finding.at_most(STAGE, "photos turned by EXIF", max(turned, default=0.0), TURNED[where], "of length"),
        Finding.at_most(STAGE, "the same photo twice", twins, TURNED[where], "of length"),
    ]


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(one - other) / max(float(np.linalg.norm(other)), 1e-9))


def _asked(photos: Sequence[Photo], stage: Embed) -> dict[str, NDArray[np.float64]]:
    """The network's answers to photos prepared by torchvision; nothing where a model wants another preparation."""
    import torch

    from tasks.fashion.embedder_open_clip import open_clip_network
    from tasks.fashion.embedder_timm import timm_network

    spec = stage.embedder.spec
    if spec.fit == "contain":
        return {}
    path = verified_file(stage.card, stage.zoo).path
    load = timm_network if stage.card.family == "timm-image" else open_clip_network
    network = load(spec, path).eval()
    answers = {}
    with torch.inference_mode():
        for each in photos:
            answer: Any = network(_prepared(each.upright, spec)[None])
            answer = answer[0] if isinstance(answer, tuple) else answer
            answers[each.name] = answer[0].double().numpy()
    return answers


def _prepared(upright: NDArray[np.uint8], spec: ImageSpec) -> Any:
    """Normalised planes, (3, height, width)."""
    from torchvision.transforms import v2

    square = spec.resized[0] == spec.resized[1] and spec.fit == "cover"
    how = v2.InterpolationMode(spec.interpolation)
    resize = v2.Resize(spec.resized[0] if square else _covering(upright, spec), interpolation=how)
    picture = v2.functional.center_crop(resize(Image.fromarray(upright)), list(spec.side))
    planes = v2.functional.pil_to_tensor(picture).float() / 255
    return v2.functional.normalize(planes, list(spec.mean), list(spec.std))


def _covering(upright: NDArray[np.uint8], spec: ImageSpec) -> tuple[int, int]:
    if spec.fit == "squash":
        return spec.resized
    height, width = upright.shape[:2]
    ratio = min(height / spec.resized[0], width / spec.resized[1])
    return max(1, round(height / ratio)), max(1, round(width / ratio))
