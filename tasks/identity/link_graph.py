"""Linkers that look at the graph of neighbours alone: components, Infomap, FC-ES and Leiden.

Infomap (AGPL) and graspologic-native (MIT) are optional packages, imported where they are chosen.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.gallery import Gallery, Linked
from tasks.identity.graph_components import Edges, components, edges, numbered
from tasks.identity.keep_apart import keep_apart
from tasks.identity.neighbours import Neighbours
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen

SEED = 1


class Components(Frozen):
    """Connected components: one false link joins two people."""

    method: Literal["components"] = "components"

    def link(self, gallery: Gallery) -> Linked:
        found = components(edges(gallery.neighbours, gallery.least))
        return keep_apart(Linked(found), gallery)


class InfomapLinkage(Frozen):
    """Two-level Infomap on the neighbours, weighted by cosine."""

    method: Literal["infomap"] = "infomap"

    def link(self, gallery: Gallery) -> Linked:
        graph = edges(gallery.neighbours, gallery.least)
        return keep_apart(Linked(_infomap(graph, graph.cosine, directed=False)), gallery)


class FcEsLinkage(Frozen):
    """FC-ES: edges between faces whose neighbours are the same, then two-level directed Infomap.

    The defaults are those of FC-ES on MS1M. It looks at neighbourhoods, not at a cosine.
    """

    method: Literal["fc-es"] = "fc-es"
    width: float = Field(default=0.5, gt=0)
    stop: float = Field(default=0.22, gt=0, lt=1)

    def link(self, gallery: Gallery) -> Linked:
        graph, shared = shared_neighbours(gallery.neighbours, self.width, self.stop)
        return keep_apart(Linked(_infomap(graph, shared, directed=True)), gallery)


class LeidenLinkage(Frozen):
    """Leiden with the constant Potts model: in a cluster, edges are at least as dense as `resolution`."""

    method: Literal["leiden"] = "leiden"
    resolution: float = Field(default=0.3, gt=0, lt=1)

    def link(self, gallery: Gallery) -> Linked:
        leiden = _package("graspologic_native").leiden
        graph = edges(gallery.neighbours, gallery.least)
        names = [str(row) for row in range(len(gallery))]
        links = [
            (names[a], names[b], weight)
            for a, b, weight in zip(
                graph.first.tolist(), graph.second.tolist(), graph.cosine.astype(float).tolist(), strict=True
            )
        ]
        found = _alone(len(gallery))
        if links:
            _, parts = leiden(links, resolution=self.resolution, iterations=2, use_modularity=False, seed=SEED)
            found[np.fromiter(map(int, parts), np.int64, len(parts))] = np.fromiter(
                parts.values(), np.int64, len(parts)
            )
        return keep_apart(Linked(numbered(found)), gallery)


def shared_neighbours(
    neighbours: Neighbours, width: float, stop: float, rows_at_once: int = 2048
) -> tuple[Edges, NDArray[np.float32]]:
    """Directed edges of FC-ES, from `first` to `second`, and how much of their neighbourhoods both ends share, (E,).

    With P the similarity to the neighbours, exp(-(2 - 2 cos) / width), rows adding up to one, two faces share half the
    sum of P over their common neighbours. Each face's neighbours are walked from the nearest on until the first that
    shares less than `stop`.
    """
    from scipy.sparse import csr_array

    count, k = neighbours.index.shape
    there = neighbours.index >= 0
    weight = np.where(there, np.exp((2 * neighbours.cosine - 2) / width), 0).astype(np.float32)
    weight /= np.maximum(weight.sum(1, keepdims=True), 1e-12)
    starts = np.concatenate([[0], np.cumsum(there.sum(1))])
    column = neighbours.index[there].astype(np.int64)
    mine = csr_array((weight[there], column, starts), shape=(count, count))
    theirs = csr_array((np.ones(len(column), np.float32), column, starts), shape=(count, count)).T.tocsc()
    mine_turned, theirs_turned = mine.T.tocsc(), theirs.T.tocsr()
    first, second, shared = [], [], []
    for start in range(0, count, rows_at_once):
        rows = slice(start, min(start + rows_at_once, count))
        own = np.repeat(np.arange(rows.stop - rows.start), k).reshape(-1, k)
        wanted = there[rows]
        both = (mine[rows] @ theirs + theirs_turned[rows] @ mine_turned).tocsr()
        value = np.zeros(wanted.shape, np.float32)
        value[wanted] = np.asarray(both[own[wanted], neighbours.index[rows][wanted]]).ravel() / 2
        walked = np.logical_and.accumulate(wanted & (value >= stop), axis=1)
        first.append(own[walked] + start)
        second.append(neighbours.index[rows][walked].astype(np.int64))
        shared.append(value[walked])
    strength = np.concatenate(shared) if shared else np.empty(0, np.float32)
    nothing = np.empty(0, np.int64)
    return Edges(
        count, np.concatenate(first) if first else nothing, np.concatenate(second) if second else nothing, strength
    ), strength


def _infomap(graph: Edges, weight: NDArray[np.float32], *, directed: bool) -> NDArray[np.int64]:
    found = _alone(graph.rows)
    if len(graph):
        package = _package("infomap")
        network = package.Network()
        network.add_links(np.stack([graph.first, graph.second, weight.astype(np.float64)], axis=1))
        run = package.run(network, two_level=True, seed=SEED, num_trials=1, num_threads=1, directed=directed)
        pairs = np.array(list(dict(run.modules()).items()), np.int64)
        found[pairs[:, 0]] = pairs[:, 1]
    return numbered(found)


def _alone(rows: int) -> NDArray[np.int64]:
    """Every row in a cluster of its own, numbered so that no module of a package has its number."""
    return rows + 1 + np.arange(rows, dtype=np.int64)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"This way of linking needs the package {name.replace('_', '-')}: install it, or link by `average`."
        ) from error
