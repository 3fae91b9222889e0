"""COCO exports made of photos, as Roboflow writes them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from tasks.schema.fashion import GARMENTS

GARMENT_OF_FOLDER = {
    "dress": "dress",
    "hat": "headwear",
    "longsleeve": "top",
    "outwear": "outer",
    "pants": "pants",
    "shirt": "top",
    "shoes": "footwear",
    "shorts": "shorts",
    "skirt": "skirt",
    "t-shirt": "top",
}
"""Folder of `people/clothing_categories` -> the garment that its photos show."""


@dataclass(frozen=True)
class Photo:
    """A photo of an export; `labels`: one annotation each; `fields`: more of its entry (`extra` among them)."""

    name: str
    data: bytes
    labels: Sequence[str] = ()
    split: str = "train"
    fields: dict[str, Any] = field(default_factory=dict)


def roboflow_name(name: str, data: bytes) -> str:
    """`a.jpg` as Roboflow renames it: `a_jpg.rf.<hash>.jpg`."""
    path = PurePath(name)
    return f"{path.stem}_{path.suffix[1:]}.rf.{sha256(data).hexdigest()[:32]}{path.suffix}"


def coco(photos: Iterable[Photo], categories: Sequence[str] = GARMENTS) -> dict[str, Any]:
    """The annotation file of some photos, with Roboflow's dummy category of id 0."""
    numbers = {name: number for number, name in enumerate(categories, 1)}
    images, annotations = [], []
    for number, photo in enumerate(photos):
        images.append(
            {"id": number, "license": 1, "file_name": photo.name, "height": 640, "width": 640, **photo.fields}
        )
        for label in photo.labels:
            box = {"bbox": [0, 0, 10, 10], "area": 100, "segmentation": [[0, 0, 10, 0, 10, 10]], "iscrowd": 0}
            entry = {"id": len(annotations), "image_id": number, "category_id": numbers[label], **box}
            annotations.append(entry)
    dummy = {"id": 0, "name": "clothes", "supercategory": "none"}
    named = [{"id": number, "name": name, "supercategory": "clothes"} for name, number in numbers.items()]
    return {
        "info": {"year": "2024", "version": "1", "description": "Exported from roboflow.com"},
        "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
        "categories": [dummy, *named],
        "images": images,
        "annotations": annotations,
    }


def write_export(folder: Path, photos: Sequence[Photo], categories: Sequence[str] = GARMENTS) -> Path:
    """`<split>/_annotations.coco.json` and the photos beside it, for every split that has photos."""
    for split in dict.fromkeys(photo.split for photo in photos):
        chosen = [photo for photo in photos if photo.split == split]
        for photo in chosen:
            path = folder / split / photo.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo.data)
        (folder / split / "_annotations.coco.json").write_text(json.dumps(coco(chosen, categories)))
    return folder


def clothing_photos(real_data: Path, splits: Sequence[str] = ("train", "valid", "test")) -> list[Photo]:
    """The photos of `people/clothing_categories` with the garment of their folder, dealt out to the splits in turn."""
    paths = sorted((real_data / "people" / "clothing_categories").glob("*/*"))
    photos = []
    for number, path in enumerate(paths):
        data = path.read_bytes()
        label = GARMENT_OF_FOLDER[path.parent.name]
        photos.append(Photo(roboflow_name(path.name, data), data, (label,), splits[number % len(splits)]))
    return photos
