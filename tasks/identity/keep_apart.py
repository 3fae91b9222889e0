"""Takes clusters apart that hold faces which are never one person, as two faces of one photo are not."""

import numpy as np

from tasks.identity.gallery import Gallery, Linked
from tasks.identity.graph_components import edges, numbered
from tasks.identity.link_average import link_average


def keep_apart(linked: Linked, gallery: Gallery) -> Linked:
    """The same clusters; where faces of one are never one person, it is linked anew by average linkage that minds them.

    What that does not join again stays apart. `kept_apart` counts the pairs of faces that were together.
    """
    cluster = linked.cluster
    together = cluster[gallery.apart[:, 0]] == cluster[gallery.apart[:, 1]]
    if not together.any():
        return linked
    wrong = np.zeros(int(cluster.max(initial=-1)) + 1, np.bool_)
    wrong[cluster[gallery.apart[together, 0]]] = True
    rows = np.flatnonzero(wrong[cluster])
    place = np.full(len(gallery), -1, np.int64)
    place[rows] = np.arange(len(rows))
    graph = edges(gallery.neighbours, gallery.least)
    graph = graph.of(wrong[cluster[graph.first]] & (cluster[graph.first] == cluster[graph.second]))
    graph = type(graph)(len(rows), place[graph.first], place[graph.second], graph.cosine)
    again = link_average(graph, gallery.vectors[rows], gallery.least[rows], place[gallery.apart[together]])
    parts = cluster.copy()
    parts[rows] = len(cluster) + again.cluster
    return Linked(numbered(parts), linked.kept_apart + int(together.sum()), linked.left_out)
