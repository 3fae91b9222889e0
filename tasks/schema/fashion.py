"""Words and columns of the shards that lead from runway and street photos to categories and trends."""

from typing import Final

import pyarrow as pa

from tasks.schema.columns import IMAGE, shard_schema

GARMENTS: Final = (
    "bag",
    "belt",
    "boots",
    "footwear",
    "outer",
    "dress",
    "sunglasses",
    "pants",
    "top",
    "shorts",
    "skirt",
    "headwear",
    "scarf/tie",
)
"""What a photo is labelled with, any number of them. Source: ModaNet's 13 categories, in the order of their ids."""

CATEGORIES: Final = ("dress", "outerwear", "top+bottom", "bottoms", "footwear", "bag", "accessory", "other")
"""What a photo counts as, one of them, in the order of precedence. Source: the seed's table."""

RUNWAY: Final = "runway"
STREET: Final = "street"

LOOK_SCHEMA = shard_schema(
    pa.field("source", pa.string(), nullable=False),
    pa.field("original_dataset", pa.string(), nullable=False),
    pa.field("image_path", pa.string(), nullable=False),
    pa.field("split", pa.string()),
    pa.field("designer", pa.string()),
    pa.field("season", pa.string()),
    pa.field("author", pa.string()),
    pa.field("garments", pa.list_(pa.string())),
    pa.field("image", IMAGE, nullable=False),
)
"""A photo as its source offers it, with its bytes.

`source`: `RUNWAY` or `STREET`; `original_dataset` as the parameters name it; `image_path` as the source calls the file,
relative to it; `garments`: those of `GARMENTS` that its annotations name, in that order, empty where it was annotated
with none of them, null where its source has no annotations.
"""

_LIGHT_FIELDS = (
    *(field for field in LOOK_SCHEMA if field.name in ("source", "original_dataset", "image_path", "split")),
    *(field for field in LOOK_SCHEMA if field.name in ("designer", "season", "author", "garments")),
    pa.field("category", pa.string()),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("phash", pa.uint64(), nullable=False),
)

LABELLED_SCHEMA = shard_schema(*_LIGHT_FIELDS)
"""A photo that decodes, without its pixels. `category`: one of `CATEGORIES`, null where `garments` is null."""

GROUPED_SCHEMA = shard_schema(
    *_LIGHT_FIELDS,
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("fold", pa.string(), nullable=False),
)
"""All photos of a build, each once. Photos that nearly repeat one another, or of one author, have one `group_id`, and
a group is in one `fold`: "train" or "test"."""


def embedded_schema(width: int) -> pa.Schema:
    """The embedding of a photo, `width` numbers as the model gives them, and the model's name and digest."""
    return shard_schema(
        pa.field("embedding", pa.list_(pa.float32(), width), nullable=False),
        pa.field("embedder", pa.string(), nullable=False),
    )


CLASSIFIER_SCHEMA = shard_schema(
    pa.field("model", pa.binary(), nullable=False),
    pa.field("embedder", pa.string(), nullable=False),
    pa.field("report", pa.string(), nullable=False),
)
"""One row: the classifier as a skops file, the embedder whose embeddings it reads, and what was measured of it (JSON).
"""

PREDICTED_SCHEMA = shard_schema(
    pa.field("pred_category", pa.string(), nullable=False),
    pa.field("confidence", pa.float32(), nullable=False),
    pa.field("abstained", pa.bool_(), nullable=False),
    pa.field("category_probabilities", pa.list_(pa.float32(), len(CATEGORIES)), nullable=False),
    pa.field("garment_probabilities", pa.list_(pa.float32(), len(GARMENTS)), nullable=False),
    pa.field("classifier", pa.string(), nullable=False),
)
"""What a photo is taken for. Probabilities are calibrated, in the order of `CATEGORIES` and `GARMENTS`, null for one
that the classifier did not learn; `confidence` is that of `pred_category`; `abstained`: it is below the classifier's
threshold; `classifier`: digest of the model, the same for all that may be compared."""

VERDICT_SCHEMA = shard_schema(
    pa.field("garments", pa.list_(pa.string()), nullable=False),
    pa.field("reviewer", pa.string(), nullable=False),
)
"""What a person saw in a photo of the audit sheet, by the photo's `sample_id`; `garments` as in `LOOK_SCHEMA`."""

TREND_SCHEMA = shard_schema(
    pa.field("kind", pa.string(), nullable=False),
    pa.field("scope", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("estimate", pa.string(), nullable=False),
    pa.field("runway_n", pa.int64(), nullable=False),
    pa.field("runway_share", pa.float64()),
    pa.field("runway_low", pa.float64()),
    pa.field("runway_high", pa.float64()),
    pa.field("street_n", pa.int64(), nullable=False),
    pa.field("street_share", pa.float64()),
    pa.field("street_low", pa.float64()),
    pa.field("street_high", pa.float64()),
    pa.field("difference", pa.float64()),
    pa.field("difference_low", pa.float64()),
    pa.field("difference_high", pa.float64()),
    pa.field("p_value", pa.float64()),
    pa.field("q_value", pa.float64()),
    pa.field("note", pa.string()),
)
"""A share on the runway against that on the street, one row a label.

`kind`: "garment" (any number of them in a photo) or "category" (one); `scope`: "all", "designer=...", "season=...";
`label`: of `GARMENTS` or `CATEGORIES`; `estimate`: "uncorrected" (classifier's words counted) or "powered" (corrected
by a labelled audit sample); intervals hold 95 %; `q_value`: Benjamini-Hochberg over the labels of a kind and scope.
Numbers are null where there are too few photos, and `note` says so.
"""
