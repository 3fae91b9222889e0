"""Pictures a second of writing bundles, against a plain loop over the same rows.

The loop is what one writes first: for each person, decode the photo with Pillow, crop, resize, pad, encode, pack with
`struct`, append. Both write and sync `train.rec`, `train.idx`, `train.tsv`; ours also writes faces, keypoints, sizes,
lists and the table of rows, looks members up in their shards, verifies page checksums, and leaves pieces to go on from.

    python tests/benchmarks/bench_recordio.py --photos 800 --repeat 3
"""

import argparse
import io
import os
import statistics
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tasks.exports.webbody_bundle import export_bundles
from tasks.exports.webbody_facts import BundleConfig
from tasks.exports.webbody_join import WebBodyShards
from tasks.shards.store import Store
from tests.exports.webbody_shards import CARD, Build, face_row, member_row, person_row, photo_row

SIDE = 640


def photo(seed: int) -> bytes:
    """640 x 480 px with the detail of a photo (blurred noise over a gradient), in a white border, JPEG q85."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8)).resize(
        (SIDE, 480), Image.Resampling.BICUBIC
    )
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    noise = random.normal(0, 6, (480, SIDE, 3))
    pixels[80:560] = np.clip(np.asarray(coarse, float) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def shards(folder: Path, photos: int, people: int) -> WebBodyShards:
    """Photos with some people each, all of them members."""
    build = Build(photos=0)
    pictures = [photo(seed) for seed in range(32)]
    for i in range(photos):
        image = {"bytes": pictures[i % len(pictures)], "path": "x"}
        build.photos.append(photo_row(i, image=image, width=SIDE, height=SIDE))
        for number in range(people):
            left = 20.0 + 180 * number
            crop = [left, 90.0, left + 220, 540.0]
            person = person_row(build.photos[-1], number, crop_xyxy=crop)
            build.people.append(person)
            build.faces.append(face_row(person))
            build.members.append(member_row(build.faces[-1], f"id-{i % 50}"))
    return build.write(folder, per_shard=256)


def plain_loop(given: WebBodyShards, folder: Path) -> int:
    photos = {row["sample_id"]: row for path in given.photos for row in pq.read_table(path).to_pylist()}
    people = [row for path in given.people for row in pq.read_table(path).to_pylist()]
    offset = 0
    with (
        (folder / "train.rec").open("wb") as rec,
        (folder / "train.idx").open("w") as idx,
        (folder / "train.tsv").open("w") as tsv,
    ):
        for i, person in enumerate(people):
            image = Image.open(io.BytesIO(photos[person["parent_id"]]["image"]["bytes"])).convert("RGB")
            body = image.crop(tuple(int(v) for v in person["crop_xyxy"]))
            ratio = 384 / max(body.size)
            body = body.resize((round(body.width * ratio), round(body.height * ratio)), Image.Resampling.LANCZOS)
            square = Image.new("RGB", (384, 384), (255, 255, 255))
            square.paste(body, ((384 - body.width) // 2, (384 - body.height) // 2))
            stream = io.BytesIO()
            square.save(stream, "JPEG", quality=95)
            data = struct.pack("<IfQQ", 0, float(i % 50), i, 0) + stream.getvalue()
            record = struct.pack("<II", 0xCED7230A, len(data)) + data + b"\0" * (-len(data) % 4)
            rec.write(record)
            idx.write(f"{i}\t{offset}\n")
            tsv.write(f"{i}\t{person['label']}/{person['idx']}_0.jpg\t{i % 50}\n")
            offset += len(record)
        rec.flush()
        os.fsync(rec.fileno())
    return len(people)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--photos", type=int, default=800)
    asked.add_argument("--people", type=int, default=1, help="in each photo, at most 3")
    asked.add_argument("--repeat", type=int, default=3)
    asked.add_argument("--threads", type=int, default=os.cpu_count())
    given = asked.parse_args()
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = shards(folder / "in", given.photos, given.people)
        config = BundleConfig(subsets=())
        small = Build(photos=3).write(folder / "small")
        export_bundles(Store(folder / "store"), small, folder / "first", config, card=CARD)
        for run in range(given.repeat):
            (folder / f"loop{run}").mkdir()
            start = time.perf_counter()
            count = plain_loop(inputs, folder / f"loop{run}")
            theirs.append(count / (time.perf_counter() - start))
            start = time.perf_counter()
            export_bundles(
                Store(folder / f"store{run}"), inputs, folder / f"ours{run}", config, card=CARD, threads=given.threads
            )
            ours.append(count / (time.perf_counter() - start))
            print(f"run {run}: bundle {ours[-1]:.0f}, plain loop {theirs[-1]:.0f} pictures/s")
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"median {statistics.median(ours):.0f} against {statistics.median(theirs):.0f} pictures/s: {ratio:.2f} x")


if __name__ == "__main__":
    main()
