"""Samples a second of `M2PDataset` with no and with two workers, beside a loop that reads each sample plainly.

    python -m tests.benchmarks.bench_m2p_dataset [--data FOLDER] [--resolution 512] [--samples 12] [--repeats 3]

The plain loop decodes the whole clip, parses all of pose_annotations.json, loads all music features and draws every
Gaussian over its whole grid. Without `--data` a tree of clips of 5 s, 512 x 512 with grain, is made. Ways take turns,
so that whatever else the machine does hits all of them.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tasks.dance.crop import Colours
from tasks.dance.encode import ClipEncoder, Encoding
from tasks.exports.m2p import CELL, M2PDataset
from tasks.exports.m2p_heatmaps import SIGMA
from tasks.exports.m2p_tree import export_m2p_tree
from tests.exports.m2p_shards import Video, write_build

SIZE = 512
FRAMES = 120


@cache
def grainy_clip(frames: int, size: int) -> bytes:
    """A moving picture with grain, and noise."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.05, (48_000 * frames // 24, 2)).astype(np.float32)
    encoder = ClipEncoder(size, Colours(1, 1, 1), Encoding(preset="veryfast"), sound)
    grain = rng.normal(128, 6, (2 * size, 2 * size, 3)).astype(np.uint8)
    grain += np.arange(0, 64 * 2 * size, 64, dtype=np.uint16).astype(np.uint8)[:, None, None] // 4
    for n in range(frames):
        y, x = rng.integers(0, 8, 2) + n
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grain[y : y + size, x : x + size]), format="rgb24")
        encoder.add(frame.reformat(format="yuv420p", dst_colorspace="ITU709"))
    return encoder.finish()


def made_tree(folder: Path) -> Path:
    """A video of six clips with the same pictures."""
    video = Video(frames=[FRAMES] * 6, size=SIZE, clip_of=lambda _, frames, size: grainy_clip(frames, size))
    for row in video.rows["music"]:
        row |= {"features": [0.5] * (FRAMES * 300), "layout": [f"column_{n}" for n in range(300)]}
    shards, split = write_build(folder / "in", [video])
    begin = time.perf_counter()
    export_m2p_tree(shards, split, folder / "dataset")
    took = time.perf_counter() - begin
    print(f"export of {len(video.split)} clips of {FRAMES / 24:g} s: {took / len(video.split):.2f} s a clip")
    return folder / "dataset"


def plain(dataset: M2PDataset, resolution: int) -> Iterator[dict[str, Any]]:
    """The same windows, read as one would first write it."""
    count, grid = dataset.sequence_length, resolution // CELL
    cells = np.arange(grid, dtype=np.float32)
    for folder in sorted(path for path in (dataset.root / dataset.split).iterdir() if path.is_dir()):
        music = np.load(folder / "music_features.npy")
        for start in range(0, len(music) - count + 1, count):
            music = np.load(folder / "music_features.npy")
            said = json.loads((folder / "pose_annotations.json").read_text())
            with av.open(str(folder / "video.mp4")) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            side = frames[0].shape[0]
            chosen = [
                Image.fromarray(frame).resize((resolution, resolution)) for frame in frames[start : start + count]
            ]
            heat = np.zeros((count, 134, grid, grid), np.float16)
            for n, pose in enumerate(said["poses"][start : start + count]):
                for k, joint in enumerate(pose["keypoints"]):
                    if joint["confidence"] > 0:
                        x, y = ((joint[axis] + 0.5) * grid / side - 0.5 for axis in "xy")
                        squared = (cells[None] - x) ** 2 + (cells[:, None] - y) ** 2
                        heat[n, k] = np.exp(squared / (-2 * SIGMA**2))
            with Image.open(folder / "reference_image.jpg") as picture:
                reference = np.array(picture.convert("RGB").resize((resolution, resolution)))
            yield {
                "music_features": torch.from_numpy(music[start : start + count]),
                "pose_heatmap": torch.from_numpy(heat),
                "reference_image": torch.from_numpy(reference).permute(2, 0, 1),
                "video_frames": torch.from_numpy(np.stack([np.asarray(each) for each in chosen])).permute(0, 3, 1, 2),
            }


def rate(samples: Iterator[Any], many: int) -> float:
    """Samples a second, the first not counted: it starts workers."""
    next(samples)
    begin = time.perf_counter()
    read = sum(1 for _ in itertools.islice(samples, many))
    return read / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--resolution", type=int, default=SIZE)
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = M2PDataset(asked.data or made_tree(Path(folder)), resolution=asked.resolution)
        ways: dict[str, Callable[[], Iterator[Any]]] = {
            "plain loop": lambda: plain(dataset, asked.resolution),
            "no worker": lambda: iter(DataLoader(dataset, batch_size=None)),
            "two workers": lambda: iter(DataLoader(dataset, batch_size=None, num_workers=2)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.repeats):
            for name, way in ways.items():
                many = max(2, asked.samples // 4) if name == "plain loop" else asked.samples
                rates[name].append(rate(way(), many))
    for name, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(found, rates["plain loop"], strict=True)]
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"{name}: {median(found):.2f} samples/s ({spread}), {median(ratios):.1f} times the plain loop")


if __name__ == "__main__":
    main()
