"""A small build of runway and street: photos whose colour says what is worn, and a tiny network that sees colours."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.images.sheet import encode_png
from tests.fashion.made_weights import seeded
from tests.fashion.make_coco import Photo, write_export

COLOURS = {"dress": (200, 60, 60), "outer": (60, 160, 70), "bag": (60, 70, 200)}
MODEL = "timm:test_resnet"
WEIGHTS = "coloured.pth"


def coloured(garment: str, seed: int, side: int = 96) -> bytes:
    """A noisy picture in the colour of a garment; other seeds look nothing alike to a perceptual hash."""
    draw = np.random.default_rng([seed, sorted(COLOURS).index(garment)])
    blocks = draw.integers(-40, 40, (8, 8, 1)).repeat(side // 8, 0).repeat(side // 8, 1)
    noisy = np.array(COLOURS[garment]) + blocks + draw.integers(-9, 10, (side, side, 3))
    return encode_png(noisy.clip(0, 255).astype(np.uint8))


def write_looks(folder: Path, *, street: int = 14, runway: int = 5) -> dict[str, Any]:
    """Photos of each garment, one broken file a side, a network; returns the parameters of the flow."""
    import timm
    import torch

    models = folder / "models"
    models.mkdir(parents=True)
    torch.save(seeded(timm.create_model("test_resnet", pretrained=False)).state_dict(), models / WEIGHTS)
    photos = [
        Photo(f"{garment}_{number}.png", coloured(garment, number), (garment,))
        for garment in COLOURS
        for number in range(street)
    ]
    write_export(folder / "street", [*photos, Photo("broken.png", b"no picture", ("bag",))])
    for garment in COLOURS:
        for number in range(runway):
            path = folder / "runway" / f"maison_{number % 2}" / "ss24" / f"{garment}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(coloured(garment, 1000 + number))
    pattern = "(?P<designer>[^/]+)/(?P<season>[^/]+)/"
    runway_source = {"kind": "folder", "location": str(folder / "runway"), "path_pattern": pattern}
    return {
        "sources": [
            {"name": "street", "side": "street", "location": str(folder / "street"), "original_dataset": "modanet"},
            {"name": "runway", "side": "runway", **runway_source},
        ],
        "embedding": {"model": MODEL, "weights": WEIGHTS},
        "grouping": {"near_duplicate_bits": 0},
        "classifier": {"min_groups": 4},
        "trends": {"min_photos": 5, "min_clusters": 2, "min_labelled": 10},
        "exports": {"audit_photos": 12, "similar": {"shown": 2, "nearest": 2}},
    }
