"""Clips of a video, crop track given, against one pass of ffmpeg that crops, scales and encodes the same spans.

    python -m tests.benchmarks.bench_dance_cut [--video FILE] [--seconds 20] [--repeats 3] [--threads 2]

Both make clips of 5 s with the same settings of x264 and AAC, in turns, of a square that sways: ffmpeg's on whole
pixels, ours between them; ffmpeg's clips come from its segment muxer. Without a file a film of 1920x1080 in H.264
is generated. Where other programs run beside, only the ratio of CPU seconds says something.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dance.cut import CutClips, CutConfig
from tasks.dance.encode import Encoding
from tasks.dance.videos import DanceRules, DanceVideo
from tasks.schema.clips import CLIP_FPS, CLIP_SCHEMA
from tasks.shards.stage import Whole
from tasks.video.ffmpeg import ffmpeg_exe
from tests.dance.make_dance import click_track, clip_row, write_wav
from tests.video.make_film import Scene, make_film

CLIP_S = 5
SIZE = 512
SWAY = 40


def film(folder: Path, seconds: int) -> Path:
    """A moving picture with grain, and clicks."""
    silent = make_film(
        folder / "silent.mp4", width=1920, height=1080, scenes=[Scene(frames=24 * seconds)], grain=2.0, crf=20
    )
    sound = write_wav(folder / "sound.wav", click_track(np.arange(0.5, seconds - 0.2, 0.5), seconds))
    joined = folder / "film.mp4"
    command = ["-loglevel", "error", "-y", "-i", silent, "-i", sound, "-c:v", "copy", "-c:a", "aac", joined]
    subprocess.run([ffmpeg_exe(), *command], check=True)
    return joined


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and of the processors."""

    wall: float
    cpu: float


def ours(video: Path, dance: Path, rows: pa.Table, encoding: Encoding, threads: int) -> Took:
    begin, used = time.perf_counter(), time.process_time()
    stage = CutClips(CutConfig(size=SIZE, encoding=encoding), video, threads=threads)
    outputs = list(stage.process_with(iter(rows.to_batches()), (Whole(dance),)))
    took = Took(time.perf_counter() - begin, time.process_time() - used)
    kept = sum(output.kept.num_rows for output in outputs)
    if kept != rows.num_rows:
        raise SystemExit(f"{kept} of {rows.num_rows} clips: {[output.rejected for output in outputs]}")
    return took


def theirs(video: Path, folder: Path, seconds: float, side: int, encoding: Encoding, threads: int) -> Took:
    command = [
        *("-loglevel", "error", "-y", "-threads", threads, "-i", video, "-t", seconds),
        *(
            "-vf",
            f"crop={side}:{side}:(in_w-out_w)/2+{SWAY}*sin(2*PI*t/{CLIP_S}),scale={SIZE}:{SIZE}:flags=bicubic",
            "-r",
            CLIP_FPS,
        ),
        *("-c:v", "libx264", "-crf", encoding.crf, "-preset", encoding.preset, "-bf", 0, "-g", encoding.gop),
        *("-threads:v", 1, "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", encoding.sound_bitrate),
        *("-ac", 2, "-ar", encoding.sound_rate, "-f", "segment", "-segment_time", CLIP_S, folder / "clip%03d.mp4"),
    ]
    begin, used = time.perf_counter(), _children_s()
    subprocess.run([str(ffmpeg_exe()), *(str(each) for each in command)], check=True)
    return Took(time.perf_counter() - begin, _children_s() - used)


def _children_s() -> float:
    """CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    encoding = Encoding()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = asked.video or film(folder, asked.seconds)
        (output,) = DanceVideo.of(video, "film", rules=DanceRules(min_fps=1)).process(iter(()))
        if output.rejected:
            raise SystemExit(str(output.rejected[0].detail))
        pq.write_table(output.kept, folder / "dance.parquet")
        (row,) = output.kept.to_pylist()
        clips = max(1, int(min(row["duration_s"], asked.seconds) // CLIP_S))
        frames = CLIP_S * CLIP_FPS if row["duration_s"] >= CLIP_S else int(row["duration_s"] * CLIP_FPS)
        side = round(0.45 * min(row["width"], row["height"])) * 2
        sway = SWAY * np.sin(2 * np.pi * np.arange(frames) / CLIP_FPS / CLIP_S)
        middle = np.stack([row["width"] / 2 + sway, np.full(frames, row["height"] / 2)], axis=1)
        track = {"crop_centre_xy": middle.ravel().tolist(), "crop_side": [float(side)] * frames}
        rows = pa.Table.from_pylist(
            [clip_row(n, n * CLIP_S, frames, (row["width"], row["height"]), **track) for n in range(clips)], CLIP_SCHEMA
        )
        ours(video, folder / "dance.parquet", rows.slice(0, 1), encoding, asked.threads)  # compiles the loops
        seconds = clips * frames / CLIP_FPS
        times = [
            (
                ours(video, folder / "dance.parquet", rows, encoding, asked.threads),
                theirs(video, folder, seconds, side, encoding, asked.threads),
            )
            for _ in range(asked.repeats)
        ]
    for we, they in times:
        print(
            f"ours {we.wall:.2f} s, {we.cpu:.2f} CPU s; ffmpeg {they.wall:.2f} s, {they.cpu:.2f} CPU s: "
            f"{we.wall / they.wall:.2f}x, {we.cpu / they.cpu:.2f}x"
        )
    wall = median(we.wall / they.wall for we, they in times)
    cpu = median(we.cpu / they.cpu for we, they in times)
    print(f"median {wall:.2f}x, {cpu:.2f}x CPU, over {seconds:.0f} s of {row['width']}x{row['height']}")


if __name__ == "__main__":
    main()
