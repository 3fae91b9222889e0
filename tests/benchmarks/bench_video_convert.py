"""Crops of a UHD 10-bit PQ frame: CPU milliseconds and likeness to ffmpeg's conversion of the whole frame.

In the same run, ffmpeg with the pinned chain converts a frame as large as the part that a crop needs: CPU time
of all its threads, without that of its start, which is measured on a frame of 64 pixels.

Usage: python -m tests.benchmarks.bench_video_convert [--repeats 15]
"""

import argparse
import os
import resource
from collections.abc import Callable
from statistics import median
from time import thread_time

import numpy as np

from tasks.schema.films import Transfer
from tasks.video.convert import Converter
from tests.video.reference_chain import EXACT, TO_709, film_of, noise_frame, psnr, reference, tags

UHD = (3840, 2160)
FULL_HD = (1920, 1080)
CASES = {
    "540x540 of 1920x1080": (FULL_HD, (600, 200, 1140, 740)),
    "1440x810 of 1920x1080": (FULL_HD, (240, 100, 1680, 910)),
    "540x540 of 1936x1089": ((1936, 1089), (600, 200, 1140, 740)),
    "1112x1112 native": (UHD, (601, 301, 1713, 1413)),
}


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of this thread."""
    times = []
    for _ in range(repeats):
        start = thread_time()
        work()
        times.append(thread_time() - start)
    return 1000 * median(times)


def child_milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU milliseconds of child processes."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        work()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return 1000 * median(times)


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    frame = noise_frame("yuv420p10le", *UHD)
    film = film_of(frame, Transfer.PQ, primaries="bt2020", matrix="bt2020nc")
    converter = Converter(film)
    small = noise_frame("yuv420p10le", 64, 64)
    start = child_milliseconds(lambda: reference(small, tags(film), TO_709), 5)
    wholes = {UHD: reference(frame, tags(film), TO_709)}
    for name, (scaled, box) in CASES.items():
        scale = [] if scaled == UHD else [f"scale={scaled[0]}:{scaled[1]}:flags={EXACT}"]
        if scaled not in wholes:
            wholes[scaled] = reference(frame, tags(film), TO_709, *scale)
        left, top, right, bottom = box
        crop = converter.crop(frame, scaled, box)
        ours = milliseconds(lambda: converter.crop(frame, scaled, box), arguments.repeats)  # noqa: B023
        part = _part(scaled, box)
        patch = noise_frame("yuv420p10le", *part)
        resize = [] if scaled == UHD else [f"scale={right - left}:{bottom - top}:flags={EXACT}"]
        theirs = child_milliseconds(lambda: reference(patch, tags(film), TO_709, *resize), 5) - start  # noqa: B023
        pixels = part[0] * part[1] / 1e6
        print(
            f"{name}: {ours:.1f} ms ({ours / pixels:.1f} ms a source megapixel), ffmpeg on the crop {theirs:.0f} ms, "
            f"{theirs / ours:.1f}x; {psnr(crop, wholes[scaled][top:bottom, left:right]):.1f} dB"
        )
    print(f"thumbnail: {milliseconds(lambda: converter.thumbnail(frame), arguments.repeats):.2f} ms")


def _part(scaled: tuple[int, int], box: tuple[int, int, int, int]) -> tuple[int, int]:
    """Even size of the part of the frame that the patch is made of."""
    factor = UHD[0] / scaled[0]
    margin = 12 if factor > 1 else 0
    width, height = ((int(np.ceil((box[k + 2] - box[k]) * factor)) + margin) // 2 * 2 for k in (0, 1))
    return width, height


if __name__ == "__main__":
    main()
