"""Linkage of made faces: agreement with the truth, seconds and memory, beside other ways and beside HDBSCAN.

    python -m tests.benchmarks.bench_linkage --faces 10000 30000 100000
    python -m tests.benchmarks.bench_linkage --faces 16000 --linkers average infomap leiden components --hdbscan
    python -m tests.benchmarks.bench_linkage --faces 100000 --thresholds 0.2 0.3 0.4

Neighbours are computed once for all linkers. Thresholds are those that the faces themselves ask for, unless given.
"""

import argparse
import resource
import time

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from tasks.identity.calibrate import calibrate
from tasks.identity.calibration import linkage_rate
from tasks.identity.collapsed import closeness, cluster_sums
from tasks.identity.gallery import Gallery, pair_cosines, same_photo, unit
from tasks.identity.link import LinkerConfig
from tasks.identity.metrics import bcubed, pairwise
from tasks.identity.neighbours import nearest
from tests.identity.synthetic_faces import SPACES, Faces, make_faces

SIDE_PX = 100.0


def clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def report(what: str, made: Faces, cluster: np.ndarray, taken: np.ndarray) -> None:
    pair, cubed = pairwise(made.identity, cluster), bcubed(made.identity, cluster)
    shares = f"(precision {pair.precision:.3f}, recall {pair.recall:.3f})"
    largest = np.bincount(cluster[cluster >= 0]).max()
    print(f"{what:>30}: {taken[0]:7.1f} s, {taken[1]:7.1f} s of CPU", end="; ")
    print(f"pair F {pair.f:.3f} {shares}, BCubed {cubed.f:.3f}; largest {largest}", flush=True)


def measure(name: str, faces: int, options: argparse.Namespace) -> None:
    made = make_faces(SPACES[name], faces)
    start = clocks()
    neighbours = nearest(made.vectors)
    shared = clocks() - start
    photos = pa.array([f"{each:07}" for each in made.photo])
    ids = pa.array([f"{each:07}" for each in range(faces)])
    start = clocks()
    sides = np.full(faces, SIDE_PX, np.float32)
    found = calibrate(unit(made.vectors), photos, sides, ids, model="made", default_cosine=0.3)
    pairs = same_photo(made.photo)
    twice = found.shown_twice(pair_cosines(made.vectors, pairs), np.full(len(pairs), SIDE_PX))
    calibrating = clocks() - start
    print(
        f"{name}, {faces} faces: neighbours {shared[0]:.1f} s, {shared[1]:.1f} of CPU; calibration {calibrating[1]:.1f}"
    )
    report("without junk, at best", made, np.where(made.junk, -1, made.identity), np.zeros(2))
    for cosine in options.thresholds or [found.resolve(linkage_rate(faces), SIDE_PX)]:
        gallery = Gallery(neighbours, made.vectors, np.full(faces, cosine, np.float32), pairs[~twice])
        for method in options.linkers:
            linker = TypeAdapter(LinkerConfig).validate_python({"method": method})
            start = clocks()
            cluster = linker.link(gallery).cluster
            taken = clocks() - start
            collapsed = closeness(cluster, cluster_sums(cluster, made.vectors)).collapsed
            report(f"{method} from {cosine:.3f}", made, cluster, taken)
            report("and without collapsed", made, np.where(collapsed[cluster], -1, cluster), clocks() - start)
    if options.hdbscan:
        from sklearn.cluster import HDBSCAN

        units = unit(made.vectors)
        start = clocks()
        cluster = HDBSCAN(min_cluster_size=2, copy=True).fit_predict(units)
        report("HDBSCAN of scikit-learn", made, cluster.astype(np.int64), clocks() - start)
    print(f"peak so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--spaces", nargs="+", choices=list(SPACES), default=list(SPACES))
    parser.add_argument("--linkers", nargs="+", default=["average"])
    parser.add_argument("--thresholds", type=float, nargs="*")
    parser.add_argument("--hdbscan", action="store_true", help="takes minutes from 10,000 faces on")
    options = parser.parse_args()
    for faces in options.faces:
        for name in options.spaces:
            measure(name, faces, options)


if __name__ == "__main__":
    main()
