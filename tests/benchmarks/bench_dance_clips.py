"""Frames a second of planning clips, against decoding alone and against looking for people in every frame.

    python -m tests.benchmarks.bench_dance_clips <video> --models <folder of weights>

Rounds alternate, so that whatever else the machine does hits all; CPU seconds are of this process, all threads.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pyarrow as pa

from tasks.dance.clips import ClipsConfig, PlanClips
from tasks.dance.film_pass import film_frames
from tasks.models.device import cpu_threads
from tasks.models.zoo import Zoo
from tasks.schema.films import FILM_SCHEMA
from tasks.video.films import FilmConfig, film_row
from tasks.video.probe import probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--models", type=Path, required=True, help="folder of weights")
    parser.add_argument("--model", default="yolov8n-pose-dequantised")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    film = probe(options.video)
    row = film_row(film, FilmConfig(name="video", file_name="video", digest="0", licence=""))
    with TemporaryDirectory() as folder:
        zoo = Zoo(Path(folder), options.models)

        def planning(every: int) -> Callable[[], int]:
            stage = PlanClips.of(ClipsConfig(pose_model=options.model, look_every=every), options.video, zoo, "cpu")

            def run() -> int:
                outputs = list(stage.process(iter([pa.RecordBatch.from_pylist([row], FILM_SCHEMA)])))
                return int(str(outputs[-1].facts["decoded"]))

            return run

        def decoding() -> int:
            return sum(1 for _ in film_frames(film, options.video, threads=cpu_threads()))

        ways = {"decode alone": decoding, "plan clips": planning(6), "look at every frame": planning(1)}
        for way in ways.values():
            way()
        wall: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        frames = 0
        for _ in range(options.rounds):
            for name, way in ways.items():
                begun, used = time.perf_counter(), time.process_time()
                frames = way()
                wall[name].append(time.perf_counter() - begun)
                cpu[name].append(time.process_time() - used)
    print(f"{options.video.name}: {film.width}x{film.height}, {frames} frames, {cpu_threads()} threads")
    least = median(cpu["decode alone"])
    for name in ways:
        seconds, used = median(wall[name]), median(cpu[name])
        print(f"  {name:20} {frames / seconds:7.1f} frames/s   {used:6.2f} CPU-s   {used / least:5.2f}x decode")


if __name__ == "__main__":
    main()
