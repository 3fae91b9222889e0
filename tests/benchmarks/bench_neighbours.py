"""Seconds for the exact 80 nearest neighbours, against plain torch products of the same size in the same process.

    python -m tests.benchmarks.bench_neighbours --faces 100000

`half` is every pair of blocks of rows multiplied once, `full` all rows by all rows (what a flat index does), both by
the products alone, measured on some blocks before and after and multiplied up. FAISS is asked too where it is
installed. Also: what adding a tenth costs.
"""

import argparse
import resource
import time

import numpy as np
import torch

from tasks.identity.neighbours import NEIGHBOURS, extend, nearest
from tests.identity.synthetic_faces import SPACES, WIDTH, make_faces


def clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def product_s(blocks: int = 24, rows: int = 2048) -> np.ndarray:
    """Wall and CPU seconds of one multiply-add of plain products, the median of some."""
    a, b = torch.randn(rows, WIDTH), torch.randn(rows, WIDTH)
    taken = []
    for _ in range(blocks):
        start = clocks()
        torch.mm(a, b.T)
        taken.append(clocks() - start)
    return np.median(taken, axis=0) / (rows * rows * WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--space", choices=list(SPACES), default="angled")
    parser.add_argument("--k", type=int, default=NEIGHBOURS)
    parser.add_argument("--floor", type=float, default=-1.0, help="cosine below which nobody is a neighbour")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    vectors = make_faces(SPACES[options.space], options.faces).vectors
    old = int(options.faces / 1.1)
    before = product_s()
    start = clocks()
    known = nearest(vectors[:old], options.k, floor=options.floor)
    first = clocks() - start
    start = clocks()
    added = extend(known, vectors, floor=options.floor)
    more = clocks() - start
    between = product_s()
    start = clocks()
    found = nearest(vectors, options.k, floor=options.floor)
    whole = clocks() - start
    after = product_s()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert np.array_equal(added.index, found.index)
    assert np.array_equal(added.cosine, found.cosine)
    half = (between + after) / 2 * options.faces**2 / 2 * WIDTH

    print(f"{options.faces} faces, {WIDTH} wide, k {options.k}, {options.threads} threads; peak {peak:.2f} GiB")
    for name, (wall, cpu) in (("half", half), ("full", half * 2), ("nearest", whole), ("add a tenth", more)):
        print(f"{name:>12}: {wall:8.1f} s, {cpu:8.1f} s of CPU")
    print(f"nearest / half: {whole[0] / half[0]:.2f} wall, {whole[1] / half[1]:.2f} CPU")
    print(f"nearest / full: {whole[0] / half[0] / 2:.2f} wall, {whole[1] / half[1] / 2:.2f} CPU")
    print(f"add a tenth / nearest: {more[0] / whole[0]:.2f} wall, {more[1] / whole[1]:.2f} CPU")
    print(f"half, of {old}, in the same process: {first[0]:.1f} s; speed before {1e-9 / before[0] * 2:.0f} GFLOP/s")

    try:
        import faiss
    except ImportError:
        return
    units = vectors.astype(np.float32)
    faiss.normalize_L2(units)
    faiss.omp_set_num_threads(options.threads)
    start = clocks()
    index = faiss.IndexFlatIP(WIDTH)
    index.add(units)
    index.search(units, options.k + 1)
    flat = clocks() - start
    print(f"FAISS flat: {flat[0]:.1f} s, {flat[1]:.1f} s of CPU; nearest / FAISS: {whole[0] / flat[0]:.2f} wall")


if __name__ == "__main__":
    main()
