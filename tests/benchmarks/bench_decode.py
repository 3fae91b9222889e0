"""Decoding, isolation, hashing and near duplicates, each as a ratio against a named alternative in the same run.

Usage: python tests/benchmarks/bench_decode.py <folder of photos> [--repeat 5] [--rows 100000]
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from tasks.images.decode import MAX_PIXELS, decode_rgb
from tasks.images.examine import examine
from tasks.images.hashing import first_of_near_duplicates, phash
from tasks.images.isolate import Isolated

BATCH_ROWS = 64


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(title: str, ours: Callable[[], object], other: Callable[[], object], repeat: int) -> None:
    """The best of `repeat` interleaved runs of each."""
    times = [(seconds(ours), seconds(other)) for _ in range(repeat)]
    a, b = (min(column) for column in zip(*times, strict=True))
    print(f"{title:<68} {a:8.3f} s / {b:8.3f} s = {a / b:5.2f}")


def compare_decoders(files: list[bytes], repeat: int) -> None:
    def isolated() -> None:
        for i in range(0, len(files), BATCH_ROWS):
            child.map(files[i : i + BATCH_ROWS])

    compare(
        "decode_rgb / Pillow open + convert (no checks, no orientation)",
        lambda: [decode_rgb(f) for f in files],
        lambda: [np.array(Image.open(io.BytesIO(f)).convert("RGB")) for f in files],
        repeat,
    )
    with Isolated(examine, {"max_pixels": MAX_PIXELS}) as child:
        child.map(files[:1])
        compare(
            "examine in the child / examine in process",
            isolated,
            lambda: [examine(f, MAX_PIXELS) for f in files],
            repeat,
        )

    def start() -> None:
        with Isolated(examine, {"max_pixels": MAX_PIXELS}) as fresh:
            fresh.map(files[:1])

    compare("start of a child + 1 photo / 1 photo in process", start, lambda: examine(files[0], MAX_PIXELS), repeat)
    photos = [decode_rgb(f) for f in files[:100]]
    compare(
        "phash / imagehash.phash",
        lambda: [phash(p) for p in photos],
        lambda: [imagehash.phash(Image.fromarray(p)) for p in photos],
        repeat,
    )


def compare_near_duplicates(rows: int, max_distance: int) -> None:
    """Against comparing each row with all kept rows, on the last 1 % of the rows, times 50 (half of all pairs)."""
    hashes = np.random.default_rng(0).integers(0, 2**64, rows, dtype=np.uint64)
    some = hashes[-max(1, rows // 100) :]

    def blocked() -> None:
        for start in range(0, len(some), 64):
            (np.bitwise_count(some[start : start + 64, None] ^ hashes[None]) <= max_distance).any(axis=1)

    ours, part = seconds(lambda: first_of_near_duplicates(hashes, max_distance)), seconds(blocked)
    title = f"near duplicates, {rows} rows, {max_distance} bits / blocked popcount of all pairs"
    print(f"{title:<68} {ours:8.3f} s / {part * 50:8.3f} s = {ours / part / 50:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    files = [p.read_bytes() for p in sorted(options.folder.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    print(f"{len(files)} photos, {sum(map(len, files)) / 1e6:.1f} MB")
    compare_decoders(files, options.repeat)
    for max_distance in (4, 6, 10):
        compare_near_duplicates(options.rows, max_distance)


if __name__ == "__main__":
    main()
