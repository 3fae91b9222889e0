"""CPU seconds for each window of a UHD HDR film: one ffmpeg a timestamp, the floor, and the stage `patches`.

Usage: python -m tests.benchmarks.bench_video_patches [--cache <folder>] [--film <file>] [--windows 25 58] [--repeat 3]
       [--sampled 8] [--compared 4]

The film is made once (UHD, 10-bit PQ, x265, at least 40 Mb/s, GOP 36 to 250, grain; 20 s of pictures, copied to 60 s)
and kept in the cache. `--sampled` windows, spread over the film, stand for all in the first way, whose windows know
nothing of each other. The ways take turns; times are of this process and its children. At the end: how like the patches
are to those cut from the full frame of the reference chain.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.cut import Patches, PatchesConfig
from tasks.patches.formats import PatchCategory
from tasks.patches.geometry import patch_box
from tasks.patches.png import PngRules, encode_png
from tasks.patches.stacks import stacks
from tasks.patches.windows import Windows, WindowsConfig, pieces_of
from tasks.schema.films import WINDOW_FRAMES, Film
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video.convert import Converter
from tasks.video.ffmpeg import ffmpeg_exe
from tasks.video.films import FilmConfig, ProbeFilm, film_digest, film_of_row
from tasks.video.frames import WindowError, WindowReader
from tests.video.make_film import Scene, make_film

if TYPE_CHECKING:
    from av import VideoFrame

WIDTH, HEIGHT = 3840, 2160
SCALED = (1920, 1080)
PATCH = (540, 540)
LENGTHS_S = (5, 9, 2, 4)
COPIES = 3
Row = dict[str, Any]

SEED_CHAIN = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=mobius,zscale=t=bt709:m=bt709,"
    "format=yuv420p,scale=1920:1080:flags=lanczos"
)
REFERENCE_CHAIN = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=10,"
    "zscale=t=bt709:m=gbr,format=gbrp,scale=1920:1080:flags=lanczos,format=rgb24"
)


def cpu_s(work: Callable[[], object]) -> float:
    """User and system seconds of this process and the children that it waited for."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def benchmark_film(cache: Path) -> Path:
    path = cache / "uhd_pq_x265_60s.mkv"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    short, whole = cache / "short.mp4", cache / "whole.mkv"
    print("making the film ...", flush=True)
    make_film(
        short,
        width=WIDTH,
        height=HEIGHT,
        transfer="pq",
        grain=2,
        bitrate="45M",
        scenes=[Scene(frames=24 * s, seed=n, speed=4 + 2 * n) for n, s in enumerate(LENGTHS_S)],
        gop=(36, 250),
        codec_options="bframes=4:ref=3",
    )
    copy = ["-stream_loop", str(COPIES - 1), "-i", str(short), "-c", "copy", str(whole)]
    subprocess.run([str(ffmpeg_exe()), "-loglevel", "error", "-y", *copy], check=True)
    short.unlink()
    return whole.rename(path)


class Bench:
    """One film, its windows a minute, and the three ways."""

    def __init__(self, path: Path, folder: Path, windows_a_minute: int) -> None:
        self.path, self.folder = path, folder
        folder.mkdir()
        self.store = Store(folder / "store")
        config = FilmConfig(name="film", file_name=path.name, digest=film_digest(path), licence="own")
        self.probed = Derivation(ProbeFilm(config, path))
        record = realise(self.probed, self.store).record
        if record.rejected:
            sys.exit(f"{path} is no film to cut: {record.rejected}")
        row = pq.read_table(self.store.data_path(record)).to_pylist()[0]
        self.film: Film = film_of_row(row, path)
        self.category = PatchCategory(name="general", folder="Universal/Learn", formats={"small_540": 1.0})
        windows = round(windows_a_minute * self.film.duration_s / 60)
        form = VideoPatchesForm.model_validate(
            {
                "films": [FilmSource(name="film", path=str(path), categories={"general": 1.0})],
                "windows_per_film": windows,
                "categories": [self.category],
            }
        )
        wanted = form.wanted(form.films[0])
        self.planned = [
            Derivation(Windows(WindowsConfig(piece=piece, wanted=wanted)), (self.probed,))
            for piece in range(pieces_of(row, wanted))
        ]
        self.rows: list[Row] = []
        for planned in self.planned:
            self.rows += pq.read_table(self.store.data_path(realise(planned, self.store).record)).to_pylist()
        self.converter = Converter(self.film)
        self.kept = 0
        self.decoded = 0

    def box(self, row: Row) -> tuple[int, int, int, int]:
        size = (self.film.width, self.film.height)
        return patch_box(size, self.film.content, SCALED, PATCH, row["crop_u"][0], row["crop_v"][0])

    def seeds_way(self, rows: Sequence[Row]) -> None:
        """One process a timestamp, 7 PNGs of the whole frame, read back, cropped, stacked and saved."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            for n, row in enumerate(rows):
                command = [
                    *(str(ffmpeg_exe()), "-loglevel", "error", "-y", "-ss", f"{row['tries'][0]:.3f}"),
                    *("-i", str(self.path), "-frames:v", str(WINDOW_FRAMES), "-vf", SEED_CHAIN),
                    str(folder / "frame%d.png"),
                ]
                subprocess.run(command, check=True)
                pictures = [np.asarray(cv2.imread(str(folder / f"frame{k + 1}.png"))) for k in range(WINDOW_FRAMES)]
                if cv2.absdiff(pictures[0], pictures[-1]).mean() >= 45:
                    continue
                left, top, right, bottom = self.box(row)
                crops = [picture[top:bottom, left:right] for picture in pictures]
                small = [cv2.resize(crop, (180, 180), interpolation=cv2.INTER_AREA) for crop in crops]
                cv2.imwrite(str(folder / f"gt{n}.png"), crops[3])
                cv2.imwrite(str(folder / f"five{n}.png"), np.vstack(small[1:6]))
                cv2.imwrite(str(folder / f"seven{n}.png"), np.vstack(small))

    def floor(self) -> None:
        """Decode of what is needed, the crops tonemapped, and saved; nothing is looked at."""
        self.decoded = 0
        with tempfile.TemporaryDirectory(dir=self.folder) as name, WindowReader(self.film, self.path) as reader:
            for n, row in enumerate(self.rows):
                try:
                    window = reader.window(row["tries"][0])
                except WindowError:
                    continue
                made = stacks([self.converter.crop(frame, SCALED, self.box(row)) for frame in window.frames])
                for part, picture in (("gt", made.gt), ("five", made.lr5), ("seven", made.lr7)):
                    (Path(name) / f"{part}{n}.png").write_bytes(encode_png(picture, PngRules()))
            self.decoded = reader.decoded

    def decoding(self) -> None:
        with WindowReader(self.film, self.path) as reader:
            for row in self.rows:
                try:
                    reader.window(row["tries"][0])
                except WindowError:
                    continue

    def stage(self) -> None:
        """The real one, all pieces one after the other, into a new tree and a new store."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            store = Store(shutil.copytree(self.store.root, Path(name) / "store"))
            config = PatchesConfig(categories=(self.category,))
            stage = Patches(config, film_path=self.path, tree=Path(name) / "tree")
            made = [realise(Derivation(stage, (each,), whole=(self.probed,)), store) for each in self.planned]
            self.kept = sum(each.record.rows_kept for each in made)

    def likeness(self, rows: Sequence[Row]) -> list[float]:
        """PSNR of patches against those cut from the full frame of the reference chain, in dB."""
        found = []
        with WindowReader(self.film, self.path) as reader:
            for row in rows:
                window = reader.window(row["tries"][0])
                box = self.box(row)
                ours = self.converter.crop(window.frames[3], SCALED, box)
                found.append(psnr(ours, self.reference(window.times_s[3])[box[1] : box[3], box[0] : box[2]]))
        return found

    def reference(self, time_s: float) -> NDArray[np.uint8]:
        at = max(0.0, time_s - 0.25 / float(self.film.fps))
        command = [str(ffmpeg_exe()), "-loglevel", "error", "-ss", f"{at:.6f}", "-i", str(self.path)]
        output = ["-frames:v", "1", "-vf", REFERENCE_CHAIN, "-f", "rawvideo", "-"]
        raw = subprocess.run([*command, *output], check=True, capture_output=True).stdout
        return np.frombuffer(raw, np.uint8).reshape(SCALED[1], SCALED[0], 3)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def spread(rows: Sequence[Row], number: int) -> list[Row]:
    """So many rows, evenly over all."""
    number = min(number, len(rows))
    return [rows[(2 * n + 1) * len(rows) // (2 * number)] for n in range(number)]


def report(bench: Bench, windows_a_minute: int, repeat: int, sampled: int) -> None:
    some = spread(bench.rows, sampled)
    bench.converter.crop(first_frame(bench), SCALED, bench.box(bench.rows[0]))  # kernels are compiled once
    found: list[tuple[float, float, float, float]] = []
    for _ in range(repeat):
        seeds = cpu_s(lambda: bench.seeds_way(some)) / len(some)
        decoding, floor, stage = (cpu_s(work) / len(bench.rows) for work in (bench.decoding, bench.floor, bench.stage))
        found.append((seeds, decoding, floor, stage))
    print(f"\n{windows_a_minute} windows a minute ({len(bench.rows)}), medians of {repeat}")
    print(f"frames decoded for a window {bench.decoded / len(bench.rows):.1f}, windows kept by the stage {bench.kept}")
    names = ("one ffmpeg a timestamp", "decode alone", "floor: decode, crop, save", "stage patches")
    for n, name in enumerate(names):
        cost = statistics.median(each[n] for each in found)
        gain = statistics.median(each[0] / each[n] for each in found)
        above = statistics.median(each[n] / each[2] for each in found)
        print(f"{name:<28} {cost:7.3f} CPU s a window   {gain:6.2f} x as fast   {above:6.2f} x the floor", flush=True)


def first_frame(bench: Bench) -> "VideoFrame":
    with WindowReader(bench.film, bench.path) as reader:
        return reader.window(0.0).frames[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mannequin-benchmarks")
    parser.add_argument("--film", type=Path, help="another film, UHD and PQ")
    parser.add_argument("--windows", type=int, nargs="+", default=[25, 58], help="a minute of film")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sampled", type=int, default=8)
    parser.add_argument("--compared", type=int, default=4)
    given = parser.parse_args()
    path = given.film or benchmark_film(given.cache)
    with tempfile.TemporaryDirectory() as name:
        for windows in given.windows:
            bench = Bench(path, Path(name) / str(windows), windows)
            if windows == given.windows[0]:
                film = bench.film
                rate = film.size_bytes * 8 / film.duration_s / 1e6
                print(
                    f"{film.width}x{film.height} {film.codec} {film.transfer} {film.duration_s:.1f} s, {rate:.1f} Mb/s"
                )
            report(bench, windows, given.repeat, given.sampled)
        like = bench.likeness(spread(bench.rows, given.compared))
        print("\nPSNR against the full frame of the reference chain:", ", ".join(f"{db:.1f}" for db in like), "dB")


if __name__ == "__main__":
    main()
