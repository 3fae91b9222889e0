"""Reading OpenPose drawings: accuracy under compression and resizing, and time.

The alternative in the same run is the middle of all pixels near each joint's colour, which knows one person only.

Usage: python -m tests.benchmarks.bench_drawing [--pictures 48] [--seed 3]
"""

import argparse
from collections.abc import Callable
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing import PALETTE
from tasks.body.read_drawing import read_openpose_drawing
from tasks.ingest.mannequins import render_mannequin
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tests.body.reading import Tally, jpeg, resized

Read = Callable[[NDArray[np.uint8]], Keypoints]


def middle_of_colours(drawing: NDArray[np.uint8]) -> Keypoints:
    """One person: the mean place of the pixels within 40 levels of each joint's colour."""
    xy = np.full((1, len(OPENPOSE_18), 2), np.nan, np.float32)
    for joint, colour in enumerate(PALETTE):
        near = cv2.inRange(drawing, np.array(colour) - 40.0, np.array(colour) + 40.0)
        rows, columns = np.nonzero(near)
        if len(rows):
            xy[0, joint] = columns.mean(), rows.mean()
    return Keypoints.from_arrays(OPENPOSE_18, xy, np.ones(xy.shape[:2]))


def measure(
    read: Read, people: list[Keypoints], drawings: list[NDArray[np.uint8]], scale: float
) -> tuple[Tally, float]:
    """What was read, and milliseconds a drawing (the best of two runs each)."""
    tally, seconds = Tally(), 0.0
    for truth, drawing in zip(people, drawings, strict=True):
        times = []
        for _ in range(2):
            start = perf_counter()
            found = read(drawing)
            times.append(perf_counter() - start)
        tally.add(truth, found, scale)
        seconds += min(times)
    return tally, 1000 * seconds / len(drawings)


def main() -> None:
    """Print one line a condition and reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    start = perf_counter()
    mannequins = [render_mannequin(arguments.seed, index) for index in range(arguments.pictures)]
    print(f"rendered {len(mannequins) / (perf_counter() - start):.1f} mannequins/s at 512 x 512")
    people = [m.keypoints for m in mannequins]
    print("scale quality reader             recall  invented  median px  p95 px  right person  ms   ratio")
    for scale, quality in [(s, q) for s in (1.0, 2.0, 0.75, 0.5) for q in (None, 95, 75, 50)]:
        drawings = [resized(m.drawing, scale) for m in mannequins]
        if quality is not None:
            drawings = [jpeg(drawing, quality) for drawing in drawings]
        slow = None
        for name, read in (("read_openpose_drawing", read_openpose_drawing), ("middle_of_colours", middle_of_colours)):
            tally, ms = measure(read, people, drawings, scale)
            slow = slow or ms
            print(
                f"{scale:5.2f} {quality or 'none':>7} {name:21} {tally.recall:8.4f}"
                f" {len(tally.invented):5}/{tally.drawn}"
                f" {np.median(tally.errors):9.2f} {np.quantile(tally.errors, 0.95):8.2f} {tally.person_share:12.4f}"
                f" {ms:6.1f} {ms / slow:6.2f}"
            )


if __name__ == "__main__":
    main()
