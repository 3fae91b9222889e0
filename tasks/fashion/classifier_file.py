"""The classifier as a file that skops alone can read, and what it says of embeddings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.calibration import softmax
from tasks.schema.errors import ModelError
from tasks.schema.fashion import CATEGORIES, GARMENTS

TYPES: Final = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.float64",
        "numpy.ndarray",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
    }
)
"""All that a file may hold."""

_SCHEMA = "schema.json"
_OLDEST = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Classifier:
    """Scikit-learn pipelines that standardise an embedding and give calibrated probabilities.

    `category`: its `classes_` are those of `CATEGORIES` that were learned; `garments`: of each of `GARMENTS` that was
    learned, whose second class is that it is there; `abstain_below`: smaller confidences are no answer, None: all are.
    """

    embedder: str
    category: Any
    garments: Mapping[str, Any]
    abstain_below: float | None


def to_bytes(classifier: Classifier) -> bytes:
    """A skops file of a dict with the fields of `Classifier`; equal classifiers give equal bytes."""
    import skops.io

    return _plain_zip(skops.io.dumps({name: getattr(classifier, name) for name in _FIELDS}))


def from_bytes(data: bytes) -> Classifier:
    """The classifier of a file.

    Raises:
        ModelError: it is damaged, or holds what no classifier of ours does.
    """
    import skops.io

    try:
        with ZipFile(BytesIO(data)) as file:
            strange = _types(json.loads(file.read(_SCHEMA))) - TYPES
        if strange:
            raise ModelError(f"The classifier holds {sorted(strange)}, which we do not load: make it anew.")
        classifier = Classifier(**skops.io.loads(data, trusted=[]))
        known = set(classifier.category.classes_) <= set(CATEGORIES) and classifier.garments.keys() <= set(GARMENTS)
        widths = {pipeline.n_features_in_ for pipeline in (classifier.category, *classifier.garments.values())}
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"The classifier is damaged ({error}): make it anew.") from error
    if not known or len(widths) != 1:
        raise ModelError("The classifier has other labels than this version, or several widths: make it anew.")
    return classifier


@dataclass(frozen=True, eq=False)
class Heads:
    """A classifier as arrays: `mean`, `scale` (D,); `weights` (H, D) and `intercepts` (H,), categories' first.

    `categories`, `garments`: places in `CATEGORIES` and `GARMENTS` of those that were learned, in the order of H.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    categories: NDArray[np.int64]
    garments: NDArray[np.int64]

    @classmethod
    def of(cls, classifier: Classifier) -> "Heads":
        scaler, head = (step for _, step in classifier.category.steps)
        weights, intercepts = head.coef_, head.intercept_
        if len(weights) == 1:  # of two classes scikit-learn scores the second against the first
            weights, intercepts = np.concatenate([0 * weights, weights]), np.concatenate([[0.0], intercepts])
        garments = [name for name in GARMENTS if name in classifier.garments]
        models = [classifier.garments[name].steps[1][1] for name in garments]
        return cls(
            scaler.mean_,
            scaler.scale_,
            np.concatenate([weights, *(model.coef_ for model in models)]),
            np.concatenate([intercepts, *(model.intercept_ for model in models)]),
            np.array([CATEGORIES.index(name) for name in head.classes_], np.int64),
            np.array([GARMENTS.index(name) for name in garments], np.int64),
        )

    @property
    def width(self) -> int:
        return len(self.mean)

    def probabilities(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each category, (N, 8), and of each garment, (N, 13); NaN where it was not learned.

        A row's numbers do not depend on the other rows: each score is a product of two vectors.

        Args:
            embeddings: (N, D).
        """
        scaled = (embeddings.astype(np.float64) - self.mean) / self.scale
        scores = np.vecdot(scaled[:, None], self.weights[None]) + self.intercepts
        classes = len(self.categories)
        category = np.full((len(scaled), len(CATEGORIES)), np.nan)
        category[:, self.categories] = softmax(scores[:, :classes])
        garment = np.full((len(scaled), len(GARMENTS)), np.nan)
        garment[:, self.garments] = np.exp(-np.logaddexp(0.0, -scores[:, classes:]))
        return category, garment


_FIELDS = ("embedder", "category", "garments", "abstain_below")


def _types(node: Any) -> set[str]:
    """Names of all types that a skops schema asks for."""
    if isinstance(node, list):
        return {name for each in node for name in _types(each)}
    if not isinstance(node, dict):
        return set()
    inner = {name for each in node.values() for name in _types(each)}
    return inner | ({f"{node['__module__']}.{node['__class__']}"} if "__class__" in node else set())


def _plain_zip(data: bytes) -> bytes:
    """A skops file without what differs from run to run: addresses in memory, which it uses as names, and times.

    Arrays that are equal are one file.
    """
    made = BytesIO()
    with ZipFile(BytesIO(data)) as file, ZipFile(made, "w", ZIP_STORED) as copy:
        names: dict[bytes, str] = {}

        def plain(node: dict[str, Any]) -> dict[str, Any]:
            if "__loader__" in node:
                node.pop("__id__", None)
                if "file" in node:
                    node["file"] = names.setdefault(file.read(node["file"]), f"{len(names)}.npy")
            return node

        schema = json.loads(file.read(_SCHEMA), object_hook=plain)
        for array, name in names.items():
            copy.writestr(_entry(name), array)
        copy.writestr(_entry(_SCHEMA), json.dumps(schema, separators=(",", ":")))
    return made.getvalue()


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _OLDEST)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry
