"""Photos a second through the people stage, against a plain `YOLO.predict` loop over the same bytes.

    MANNEQUIN_MODELS=<folder of weights> python -m tests.benchmarks.bench_bodies <folder of photos>

The photos are first made what the download leaves: longer side 640, white border to a square, JPEG. The loop decodes,
detects and keeps boxes and joints, one file at a time; the stage does that and all else that its rows hold. Rounds
alternate, so that whatever else the machine does hits both.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.body.people import FindPeople, PeopleConfig, opened
from tasks.images.decode import decode_rgb
from tasks.models.runtimes import EXPORTED
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.webbody import WEB_PHOTO_SCHEMA

SIDE = 640
PART_ROWS = 8


def as_downloaded(path: Path) -> tuple[bytes, list[float]]:
    """The photo in a white square of 640 px as a JPEG of quality 85, and where it lies in there."""
    photo = decode_rgb(path.read_bytes())
    ratio = SIDE / max(photo.shape[:2])
    height, width = (max(round(n * ratio), 1) for n in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square = np.full((SIDE, SIDE, 3), 255, np.uint8)
    square[top : top + height, left : left + width] = small
    done, encoded = cv2.imencode(".jpg", square[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return encoded.tobytes(), [left, top, left + width, top + height]


def rows_of(paths: list[Path], batch_rows: int, *, square: bool) -> list[pa.RecordBatch]:
    """Rows as the download leaves them; `square`: as if all of the square were photo."""
    rows = []
    for path in paths:
        data, content = as_downloaded(path)
        rows.append(
            {
                **dict.fromkeys(("idx", "label", "url", "sha256", "final_url", "source_uri", "licence"), path.name),
                **dict.fromkeys(("attempt", "http_status", "fetched_at"), 0),
                "sample_id": str(path),
                "headers": "{}",
                "image": {"bytes": data, "path": path.name},
                "content_xyxy": [0, 0, SIDE, SIDE] if square else content,
                **dict.fromkeys(("width", "height", "original_width", "original_height"), SIDE),
            }
        )
    return pa.Table.from_pylist(rows, schema=WEB_PHOTO_SCHEMA).combine_chunks().to_batches(max_chunksize=batch_rows)


def parts(stage: FindPeople, work: list[pa.RecordBatch]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What a photo costs on its way, one thread."""
    rows = work[0].to_pylist()[:PART_ROWS]
    photos = [opened(row) for row in rows]
    insides = [photo.inside for photo in photos if hasattr(photo, "inside")]
    yield "decode and hash", lambda: [opened(row) for row in rows]
    yield "model, with letterbox and suppression", lambda: [stage.model.detect([inside]) for inside in insides]


def plain_loop(weights: Path, work: list[pa.RecordBatch]) -> Callable[[], int]:
    """Ultralytics' predict, one file at a time, as a script would do it."""
    from ultralytics import YOLO

    raw = YOLO(weights)

    def loop() -> int:
        results: list[NDArray[np.float32]] = []
        for batch in work:
            for image in batch["image"].to_pylist():
                pixels = cv2.imdecode(np.frombuffer(image["bytes"], np.uint8), cv2.IMREAD_COLOR)
                found = raw.predict(pixels, verbose=False)[0]
                results += [found.boxes.data.cpu().numpy(), found.keypoints.data.cpu().numpy()]
        return len(results) // 2

    return loop


def through(stage: FindPeople, work: list[pa.RecordBatch]) -> Callable[[], int]:
    return lambda: sum(b.num_rows for b in work) * bool([o.kept.num_rows for o in stage.process(iter(work))])


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, searched through")
    parser.add_argument("--model", default="yolov8n-pose")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=64, help="photos a round")
    options = parser.parse_args()

    paths = sorted(options.photos.rglob("*.jpg"))[: options.limit]
    zoo, config = Zoo.from_environment(), PeopleConfig(pose_model=options.model)
    stages = {runtime: FindPeople.of(config, zoo, "cpu", runtime) for runtime in ("torch", *EXPORTED)}
    fastest = stages[EXPORTED[0]]
    for stage in stages.values():
        stage.model.detect([np.zeros((SIDE, SIDE, 3), np.uint8)])
    work, all_square = (rows_of(paths, FindPeople.batch_rows, square=square) for square in (False, True))

    loop = "YOLO.predict loop"
    runs = {loop: plain_loop(verified_file(fastest.model.card, zoo).path, work)}
    runs |= {f"stage, {runtime}": through(stage, work) for runtime, stage in stages.items()}
    runs[f"stage, {EXPORTED[0]}, border seen"] = through(fastest, all_square)
    for run in runs.values():
        run()
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            took[name].append(seconds(run))
    for name, values in took.items():
        rate = [len(paths) / t for t in values]
        ratio = median(a / b for a, b in zip(took[loop], values, strict=True))
        spread = f"({min(rate):.1f} to {max(rate):.1f})"
        print(f"{name:>40}: {median(rate):6.1f} photos/s {spread}, {ratio:.2f} x the loop")
    for name, part in parts(fastest, work):
        each = median(seconds(part) for _ in range(options.rounds)) / PART_ROWS * 1000
        print(f"{name:>40}: {each:6.1f} ms a photo, one at a time")


if __name__ == "__main__":
    main()
