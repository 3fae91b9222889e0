"""Small fixed inputs for the stages that ask for consent: photos of which some were spoken against."""

import json
from typing import Any

import numpy as np

from tasks.download.consent import Consent
from tasks.download.consented import Consented
from tasks.images.sheet import encode_png
from tasks.schema.webbody import WEB_PHOTO_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.download.golden_case import release_case
from tests.poses.sample_shards import given

CLOSED = [
    {"url": "https://example.org/robots", "robots": {"refuses": True, "status": 200, "rule": "Disallow: /robots"}}
]
SAID: dict[str, dict[str, Any]] = {
    "free": {"x-robots-tag": "otherbot: noai\nnofollow"},
    "header": {"x-robots-tag": "otherbot: all\nnoai"},
    "tdm": {"tdm-reservation": "1"},
    "robots": {},
}
"""Headers of the photos, by their names."""


def consent_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    photos = given("said", WEB_PHOTO_SCHEMA, [_row(name) for name in SAID])
    return {
        "consent": Derivation(Consented.of(Consent()), (Derivation(photos),)),
        "released_urls": release_case(store),
    }


def _row(name: str) -> dict[str, Any]:
    url = f"https://example.org/{name}"
    return {
        "sample_id": f"web/{name}",
        "source_uri": url,
        "licence": "CC0-1.0",
        "idx": "1",
        "label": "7",
        "url": url,
        "image": {"bytes": encode_png(np.full((8, 8, 3), 90, np.uint8)), "path": f"{name}.png"},
        **dict.fromkeys(("width", "height", "original_width", "original_height"), 8),
        "content_xyxy": [0.0, 0.0, 8.0, 8.0],
        "sha256": "ab",
        "attempt": 0,
        "fetched_at": 0,
        "http_status": 200,
        "final_url": url,
        "headers": json.dumps(SAID[name]),
        "reuse": json.dumps(CLOSED) if name == "robots" else None,
    }
