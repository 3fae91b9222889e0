"""Every linker on easy faces; what keeps faces apart; collapsed faces; the parity mode."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter
from sklearn.cluster import DBSCAN

from tasks.identity.collapsed import closeness, cluster_sums, own_similarity
from tasks.identity.gallery import Gallery, pair_cosines, same_photo, unit
from tasks.identity.graph_components import edges
from tasks.identity.link import LinkerConfig
from tasks.identity.link_average import AverageLinkage
from tasks.identity.link_graph import FcEsLinkage, shared_neighbours
from tasks.identity.link_labels import PerLabel
from tasks.identity.metrics import pairwise
from tasks.identity.neighbours import nearest
from tasks.schema.errors import ConfigError
from tests.identity.synthetic_faces import SPACES, make_faces

NEEDED_PACKAGE = {"infomap": "infomap", "fc-es": "infomap", "leiden": "graspologic_native"}
LINKERS = ("average", "components", *NEEDED_PACKAGE)


def linker(method: str):
    """The linker of this name; the test is skipped where the optional package that it needs is missing."""
    if method in NEEDED_PACKAGE:
        pytest.importorskip(NEEDED_PACKAGE[method])
    return TypeAdapter(LinkerConfig).validate_python({"method": method})


def people(count: int, faces: int, spread: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), faces)
    centres = unit(rng.normal(size=(count, 128)))
    return who, (centres[who] + spread * unit(rng.normal(size=(len(who), 128)))).astype(np.float16)


def gallery(vectors: np.ndarray, least: float = 0.4, apart: np.ndarray | None = None, k: int = 20) -> Gallery:
    pairs = np.empty((0, 2), np.int64) if apart is None else apart
    return Gallery(nearest(vectors, k), vectors, np.full(len(vectors), least, np.float32), pairs)


@pytest.mark.parametrize("method", LINKERS)
def test_people_far_apart_are_found(method: str) -> None:
    who, vectors = people(30, 12)
    order = np.random.default_rng(1).permutation(len(who))
    found = linker(method).link(gallery(vectors[order]))
    assert pairwise(who[order], found.cluster).f > (0.85 if method == "fc-es" else 0.999)
    assert found.kept_apart == 0
    assert found.cluster[0] == 0
    assert np.array_equal(linker(method).link(gallery(vectors[order])).cluster, found.cluster)


@pytest.mark.parametrize("method", LINKERS)
def test_faces_of_one_photo_never_come_together(method: str) -> None:
    who, vectors = people(12, 10)
    apart = np.array([[0, 1], [0, 2], [10, 15], [30, 90]])
    found = linker(method).link(gallery(vectors, apart=apart))
    assert not (found.cluster[apart[:, 0]] == found.cluster[apart[:, 1]]).any()
    assert found.kept_apart >= 3
    assert pairwise(who, found.cluster).precision == 1
    assert pairwise(who, found.cluster).recall > 0.8


@pytest.mark.parametrize("method", [*LINKERS, "per-label"])
def test_few_or_no_faces_are_no_trouble(method: str) -> None:
    for count in (0, 1, 2):
        vectors = np.eye(8, dtype=np.float16)[:count]
        given = Gallery(
            nearest(vectors, 5), vectors, np.full(count, 0.4, np.float32), label=pa.array(["a"] * count, pa.string())
        )
        assert linker(method).link(given).cluster.tolist() == list(range(count))


def test_average_linkage_is_what_joining_one_pair_after_the_other_gives() -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    _, vectors = people(8, 6, spread=1.1)
    found = AverageLinkage(mean_share=1).link(gallery(vectors, least=0.3, k=47))
    tree = linkage(unit(vectors).astype(np.float64), "average", metric="cosine")
    expected = fcluster(tree, 0.7, "distance")
    every_pair = Gallery(nearest(vectors, 47), vectors, np.full(48, 0.3, np.float32))
    assert len(edges(every_pair.neighbours, every_pair.least)) > 48
    assert pairwise(expected, found.cluster).f == pytest.approx(1)


def test_edges_hold_every_pair_once() -> None:
    _, vectors = people(8, 9, spread=0.9)
    vectors[20:40] = vectors[20]
    neighbours = nearest(vectors, 6)
    least = np.random.default_rng(0).uniform(0.2, 0.6, len(vectors)).astype(np.float32)
    expected = {}
    for row in range(len(vectors)):
        for other, cosine in zip(neighbours.index[row].tolist(), neighbours.cosine[row].tolist(), strict=True):
            if cosine >= max(least[row], least[other]):
                expected[min(row, other), max(row, other)] = cosine
    graph = edges(neighbours, least)
    pairs = list(zip(graph.first.tolist(), graph.second.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert dict(zip(pairs, graph.cosine.tolist(), strict=True)) == expected


def test_a_bridge_joins_components_and_not_average_linkage() -> None:
    who, vectors = people(2, 10, spread=0.3)
    bridge = (vectors[0].astype(np.float32) + vectors[10]).astype(np.float16)
    vectors = np.concatenate([vectors, bridge[None]])
    assert linker("components").link(gallery(vectors)).cluster.max() == 0
    assert pairwise(who, linker("average").link(gallery(vectors)).cluster[:-1]).f == 1


def test_shared_neighbours_are_as_defined() -> None:
    _, vectors = people(6, 8, spread=1.0)
    neighbours = nearest(vectors, 5)
    graph, shared = shared_neighbours(neighbours, 0.5, 0.22, rows_at_once=7)
    p = np.zeros((48, 48))
    for row in range(48):
        p[row, neighbours.index[row]] = np.exp((2 * neighbours.cosine[row] - 2) / 0.5)
    p /= p.sum(1, keepdims=True)
    expected = {}
    for row in range(48):
        for other in neighbours.index[row].tolist():
            common = np.intersect1d(neighbours.index[row], neighbours.index[other])
            strength = (p[row, common] + p[other, common]).sum() / 2
            if strength < 0.22:
                break
            expected[row, other] = strength
    found = dict(zip(zip(graph.first.tolist(), graph.second.tolist(), strict=True), shared.tolist(), strict=True))
    assert found == pytest.approx(expected)
    assert FcEsLinkage().stop == 0.22


def test_per_label_is_the_largest_cluster_of_dbscan() -> None:
    _, vectors = people(9, 7, spread=1.2)
    label = np.random.default_rng(0).integers(0, 4, len(vectors))
    given = Gallery(nearest(vectors, 5), vectors, np.ones(len(vectors), np.float32), label=pa.array(label.astype(str)))
    found = PerLabel().link(given)
    assert found.left_out is not None
    counts = np.bincount(found.cluster)
    kept = ~found.left_out & (counts[found.cluster] > 1)
    for each in range(4):
        rows = np.flatnonzero(label == each)
        expected = DBSCAN(eps=0.7, min_samples=2, metric="cosine").fit_predict(unit(vectors[rows]))
        sizes = np.bincount(expected[expected >= 0])
        assert np.array_equal(kept[rows], expected == sizes.argmax())
    with pytest.raises(ConfigError, match="labels"):
        PerLabel().link(gallery(vectors))


def test_a_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    _, vectors = people(2, 3)
    for name in ("infomap", "graspologic_native", "cuml.cluster"):
        monkeypatch.setitem(sys.modules, name, None)
    for method in ("infomap", "leiden", "hdbscan"):
        chosen = TypeAdapter(LinkerConfig).validate_python({"method": method})
        with pytest.raises(ConfigError, match="average"):
            chosen.link(gallery(vectors))


@pytest.mark.gpu
def test_hdbscan_on_a_gpu_finds_people() -> None:
    pytest.importorskip("cuml")
    who, vectors = people(30, 12)
    assert pairwise(who, linker("hdbscan").link(gallery(vectors)).cluster).f > 0.95


def test_pairs_of_one_photo() -> None:
    pairs = same_photo(np.array([3, 1, 3, 2, 3, 1]))
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (0, 4), (1, 5), (2, 4)]
    assert same_photo(np.empty(0, np.int64)).shape == (0, 2)
    vectors = np.array([[3, 0], [0, 2], [1, 1]], np.float16)
    assert pair_cosines(vectors, np.array([[0, 1], [0, 2]])).tolist() == pytest.approx([0, 0.5**0.5], abs=1e-6)


def test_collapsed_faces_are_told_from_people_by_their_closeness() -> None:
    for space in SPACES.values():
        made = make_faces(space, 3000)
        cluster = np.where(made.junk, made.identity.max() + 1 + made.junk_direction, made.identity)
        _, cluster = np.unique(cluster, return_inverse=True)
        sums = cluster_sums(cluster, made.vectors)
        found = closeness(cluster, sums)
        large = found.faces[cluster] >= 30
        assert large.any()
        assert not (found.collapsed[cluster] & ~made.junk).any()
    few = closeness(cluster[:50], sums)
    assert few.limit is None or not few.collapsed.all()


def test_similarity_is_to_the_others() -> None:
    vectors = np.array([[2, 0], [0, 5], [3, 3], [1, 0]], np.float16)
    cluster = np.array([0, 0, 0, 1])
    found = own_similarity(cluster, vectors, cluster_sums(cluster, vectors))
    centre = unit(np.array([[0, 1]]) + unit(np.array([[1, 1]])))[0]
    assert found.tolist() == pytest.approx([centre[0], centre[0], 1, 0], abs=1e-3)
