"""HDBSCAN on a GPU through cuML, imported where it is chosen."""

from typing import Literal

import numpy as np
from pydantic import Field

from tasks.identity.gallery import Gallery, Linked, unit
from tasks.identity.graph_components import numbered
from tasks.identity.keep_apart import keep_apart
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen


class HdbscanLinkage(Frozen):
    """Density-based clusters of unit vectors: the Euclidean distance orders them as the cosine does.

    It looks at densities, not at a cosine; the faces that it calls noise are alone.
    """

    method: Literal["hdbscan"] = "hdbscan"
    smallest: int = Field(default=2, ge=2)

    def link(self, gallery: Gallery) -> Linked:
        try:
            from cuml.cluster import HDBSCAN
        except ImportError as error:
            raise ConfigError(
                "HDBSCAN runs on a GPU with cuML: install `cuml-cu13` beside torch on a machine with a CUDA device; or "
                "run until `neighbours`, link on a worker with `cuml-cu12` (webbody_linkage/clustering) and run again; "
                "or link by `average` (`global` in the form of webbody)."
            ) from error
        found = HDBSCAN(min_cluster_size=self.smallest, output_type="numpy").fit_predict(unit(gallery.vectors))
        found = np.asarray(found, np.int64)
        found = np.where(found < 0, len(found) + np.arange(len(found)), found)
        return keep_apart(Linked(numbered(found)), gallery)
