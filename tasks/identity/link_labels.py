"""The parity mode: what the WebBody reference does, per query label, with its raw cosine."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.gallery import Gallery, Linked, unit
from tasks.identity.graph_components import numbered
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen

REFERENCE_COSINE = 0.3
"""DBSCAN with eps 0.7 and min_samples 2 on the cosine distance is connected components from this cosine on."""

_BLOCK = 2048


class PerLabel(Frozen):
    """Components within every label; only the largest of each stays, of equals the one with the first face.

    Raw cosines belong to one model: this is for comparison with the reference. Faces of one photo are not kept apart.
    """

    method: Literal["per-label"] = "per-label"
    cosine: float = Field(default=REFERENCE_COSINE, gt=-1, lt=1)

    def link(self, gallery: Gallery) -> Linked:
        if gallery.label is None:
            raise ConfigError("Linking per label needs the labels of the faces.")
        label = gallery.label.dictionary_encode().indices.to_numpy()
        order = np.argsort(label, kind="stable")
        cluster = np.arange(len(gallery))
        left_out = np.zeros(len(gallery), np.bool_)
        for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else ():
            found = _components(unit(gallery.vectors[rows]), self.cosine)
            counts = np.bincount(found)
            cluster[rows] = rows[np.unique(found, return_index=True)[1]][found]
            left_out[rows] = (counts[found] > 1) & (found != counts.argmax())
        return Linked(numbered(cluster), 0, left_out)


def _components(units: NDArray[np.float32], cosine: float) -> NDArray[np.int64]:
    """Connected components of unit vectors from a cosine on, numbered by their first rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = [], []
    for start in range(0, len(units), _BLOCK):
        a, b = np.nonzero(units[start : start + _BLOCK] @ units[start:].T >= cosine)
        first.append(a + start)
        second.append(b + start)
    rows, columns = np.concatenate(first), np.concatenate(second)
    shape = (len(units), len(units))
    matrix = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=shape)
    return numbered(connected_components(matrix, directed=False)[1])
