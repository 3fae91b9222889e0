"""Somebody else's session in a test's database, and rows to seed it with."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from tasks.catalog.rows import template_rows
from tasks.schema.templates import TEMPLATE_SCHEMA

MakeTemplates = Callable[..., pa.Table]


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """Somebody else's session in `database`, say the application's."""
    with psycopg.connect(database, autocommit=True) as session:
        yield session


@pytest.fixture(scope="session")
def make_templates() -> MakeTemplates:
    """Described poses: `make_templates(count, first=0, source="mannequins", **columns)`."""

    def make(count: int, first: int = 0, source: str = "mannequins", **columns: list[Any]) -> pa.Table:
        numbers = range(first, first + count)
        xy = [np.random.default_rng(i).uniform(0, 512, 36) for i in numbers]
        confidence = np.full((count, 18), 0.9, np.float32)
        confidence[:, 17] = 0  # the left ear is missing
        pairs: list[list[float | None]] = [[None if j >= 34 else float(v) for j, v in enumerate(row)] for row in xy]
        values: dict[str, Any] = {
            "sample_id": [f"{source}/{i:06d}" for i in numbers],
            "parent_id": [None] * count,
            "source_uri": [f"mannequin:{i}" for i in numbers],
            "licence": ["CC0-1.0"] * count,
            "source": [source] * count,
            "category": [("fashion", "lifestyle", "sports")[i % 3] for i in numbers],
            "subcategory": [("indoor", "urban", "outdoor", "general")[i % 4] for i in numbers],
            "width": [512] * count,
            "height": [768] * count,
            "sha256": ["0" * 64] * count,
            "phash": list(numbers),
            "keypoints_xy": pairs,
            "keypoints_confidence": confidence.tolist(),
            "keypoints_from": ["rendered"] * count,
            "people": [1] * count,
            "person_xyxy": [[0.0, 0.0, 511.0, 767.0]] * count,
            "pose_class": ["standing"] * count,
            "tags": [["standing", ("full-body", "half-body")[i % 2]] for i in numbers],
            "difficulty": [("easy", "medium", "hard")[i % 3] for i in numbers],
            "difficulty_score": [0.25] * count,
            "difficulty_parts": ["{}"] * count,
            "quality": [0.5 + (i % 50) / 100 for i in numbers],
            "quality_parts": ["{}"] * count,
            "product_placement": [("body", None)[i % 2] for i in numbers],
            "gender": [("female", "male", "unisex", None)[i % 4] for i in numbers],
            "caption": [f"mannequin {i}" for i in numbers],
            "source_gender": [None] * count,
            "source_pose": [None] * count,
            "cloth": [None] * count,
            "pid": [None] * count,
        }
        return pa.table(values | columns, schema=TEMPLATE_SCHEMA)

    return make


@pytest.fixture(scope="session")
def make_rows(make_templates: MakeTemplates) -> MakeTemplates:
    """Rows for Postgres, with the arguments of `make_templates`."""

    def make(count: int, first: int = 0, source: str = "mannequins", **columns: list[Any]) -> pa.Table:
        templates = make_templates(count, first, source, **columns)
        urls = {sample: f"https://pictures.test/{sample}.jpg" for sample in templates["sample_id"].to_pylist()}
        return template_rows(templates, urls)

    return make
