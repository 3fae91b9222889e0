"""Small fixed inputs for the stages from labels to predictions: embeddings of four numbers that say what is worn."""

from hashlib import sha256
from typing import Any

import numpy as np

from tasks.fashion.classifier import LearnClassifier
from tasks.fashion.groups import GroupConfig, GroupLooks
from tasks.fashion.predict import PredictConfig, PredictLooks
from tasks.fashion.training import ClassifierConfig
from tasks.schema.fashion import LABELLED_SCHEMA, RUNWAY, STREET, embedded_schema
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.poses.sample_shards import given

WIDTH = 4
_WORN = ("dress", "outer", "bag")
_MEANS = np.array([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 1]])


def classified_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    street, runway = _photos(STREET, 90), _photos(RUNWAY, 6)
    runway[-1]["sha256"] = street[0]["sha256"]
    parts = {"runway": runway, "street": street}
    labels = [_given(f"{part} labels", LABELLED_SCHEMA, rows) for part, rows in parts.items()]
    embeds = [_given(f"{part} embeddings", embedded_schema(WIDTH), rows) for part, rows in parts.items()]
    groups = Derivation(GroupLooks(GroupConfig()), tuple(labels))
    classifier = Derivation(LearnClassifier(ClassifierConfig(min_groups=5)), whole=(groups, *embeds))
    return {
        "groups": groups,
        "classifier": classifier,
        "predict": Derivation(PredictLooks(PredictConfig()), (embeds[0],), whole=(classifier,)),
    }


def _given(name: str, schema: Any, rows: list[dict[str, Any]]) -> Derivation:
    return Derivation(given(name, schema, rows))


def _photos(source: str, count: int) -> list[dict[str, Any]]:
    """Rows of `LABELLED_SCHEMA` with an embedding each; some nearly repeat the one before."""
    draw = np.random.default_rng(len(source))
    worn = np.arange(count) % len(_WORN)
    embeddings = np.round(_MEANS[worn] + 0.8 * draw.normal(size=(count, WIDTH)), 3)
    hashes = draw.integers(0, 1 << 63, count)
    hashes[2::9] = hashes[1::9][: len(hashes[2::9])] ^ 5
    categories = ("dress", "outerwear", "bag")
    return [
        {
            "sample_id": f"{source}-{number}",
            "source_uri": f"{source}/{number}.jpg",
            "licence": "cc-by-4.0",
            "source": source,
            "original_dataset": f"{source} photos",
            "image_path": f"{number}.jpg",
            "author": f"author {number // 2}" if source == STREET and number % 5 == 0 else None,
            "garments": [_WORN[kind]] if source == STREET else None,
            "category": categories[kind] if source == STREET else None,
            "width": 60,
            "height": 80,
            "sha256": sha256(f"{source} {number}".encode()).hexdigest(),
            "phash": int(hashes[number]),
            "embedding": embeddings[number].tolist(),
            "embedder": "planted",
        }
        for number, kind in enumerate(worn.tolist())
    ]
