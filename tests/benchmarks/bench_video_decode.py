"""CPU seconds to read windows of a film, as ratios to decoding all of it and to a seek for each window, in one run.

Usage: python -m tests.benchmarks.bench_video_decode [--film <file>] [--windows 25 58 180] [--repeat 3]

Without a film, a small one is made (640x360, 60 s, x265 with B pictures and open GOPs of 36 to 250 frames).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from tasks.schema.films import WINDOW_FRAMES, Film
from tasks.video.frames import WindowError, WindowReader
from tasks.video.probe import probe
from tests.video.make_film import Scene, make_film


def cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def small_film(folder: Path) -> Path:
    shots = [Scene(frames=24 * seconds, seed=n) for n, seconds in enumerate((5, 12, 3, 8, 14, 4, 7, 7))]
    options = {"preset": "faster", "codec_options": "bframes=4"}
    return make_film(folder / "film.mkv", width=640, height=360, codec="hevc", scenes=shots, grain=1, **options)


def whole(film: Film) -> None:
    """Every frame, one thread."""
    with av.open(film.path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def seek_for_each(film: Film, times: list[float]) -> None:
    """As it is usually done: seek to the key frame before, decode on until the window is full."""
    with av.open(film.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for time_s in times:
            pts = film.start_pts + round(time_s / film.time_base)
            container.seek(pts, stream=stream)
            seen = 0
            for frame in container.decode(stream):
                seen += frame.pts is not None and frame.pts >= pts
                if seen == WINDOW_FRAMES:
                    break


def read(film: Film, times: list[float]) -> int:
    with WindowReader(film, Path(film.path)) as reader:
        for time_s in times:
            try:
                reader.window(time_s)
            except WindowError as error:
                print(error)
        return reader.decoded


def report(film: Film, windows_a_minute: int, repeat: int) -> None:
    number = max(1, round(windows_a_minute * film.duration_s / 60))
    rng = np.random.default_rng(0)
    times = [float(t) for t in np.sort(rng.uniform(0, film.duration_s - 1, number))]
    found = [
        (cpu_s(lambda: read(film, times)), cpu_s(lambda: seek_for_each(film, times)), cpu_s(lambda: whole(film)))
        for _ in range(repeat)
    ]
    ours, seeks, all_of_it = (statistics.median(column) for column in zip(*found, strict=True))
    frames = read(film, times) / number
    print(
        f"{windows_a_minute:>4} a minute: {ours / number:7.4f} CPU s and {frames:5.1f} frames a window; "
        f"ours / a seek for each {ours / seeks:5.2f}, ours / the whole film {ours / all_of_it:5.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--windows", type=int, nargs="+", default=[25, 58, 180], help="a minute of film")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = probe(given.film or small_film(Path(folder)))
        print(f"{film.width}x{film.height} {film.codec}, {film.duration_s:.1f} s")
        for windows in given.windows:
            report(film, windows, given.repeat)


if __name__ == "__main__":
    main()
