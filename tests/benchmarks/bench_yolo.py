"""Photos a second through the keypoints stage, against a plain `YOLO.predict` loop over the same bytes.

    MANNEQUIN_MODELS=<folder of weights> python -m tests.benchmarks.bench_yolo <folder of photos>

Both decode, detect and keep the joints; rounds alternate, so that whatever else the machine does hits both.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pyarrow as pa

from tasks.body.keypoints import FindKeypoints, KeypointsConfig
from tasks.images.decode import decode
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.templates import INSPECTED_SCHEMA, PHOTO_SCHEMA

COLUMNS = pa.schema([*INSPECTED_SCHEMA, PHOTO_SCHEMA.field("image"), PHOTO_SCHEMA.field("conditioning")])


def batches(paths: list[Path], rows: int) -> list[pa.RecordBatch]:
    inspected = []
    for path in paths:
        facts = decode(path.read_bytes())[1]
        inspected.append(
            {
                "sample_id": path.stem,
                "source_uri": path.as_uri(),
                "licence": "unknown",
                "width": facts.width,
                "height": facts.height,
                "format": facts.format,
                "exif_orientation": facts.exif_orientation,
                "encoded_bytes": facts.encoded_bytes,
                "sha256": facts.sha256,
                "phash": 0,
                "conditioning_ok": False,
                "image": {"bytes": path.read_bytes(), "path": path.name},
            }
        )
    table = pa.Table.from_pylist(inspected, schema=COLUMNS).combine_chunks()
    return table.to_batches(max_chunksize=rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, searched through")
    parser.add_argument("--model", default="yolov8n-pose")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=64, help="photos a round")
    options = parser.parse_args()

    paths = sorted(options.photos.rglob("*.jpg"))[: options.limit]
    config = KeypointsConfig(pose_model=options.model, drawings="never")
    stage = FindKeypoints(config, Zoo.from_environment())
    work = batches(paths, stage.batch_rows)
    assert stage.model is not None
    stage.model.detect([np.zeros((640, 640, 3), np.uint8)])

    from ultralytics import YOLO

    raw = YOLO(verified_file(stage.model.card, stage.zoo).path)

    def through_stage() -> int:
        return sum(output.kept.num_rows + len(output.rejected) for output in stage.process(iter(work)))

    def plain_loop() -> int:
        results = []
        for batch in work:
            for image in batch["image"].to_pylist():
                pixels = cv2.imdecode(np.frombuffer(image["bytes"], np.uint8), cv2.IMREAD_COLOR)
                results.append(raw.predict(pixels, verbose=False)[0].keypoints.data.cpu().numpy())
        return len(results)

    plain_loop()
    rates: dict[str, list[float]] = {"plain loop": [], "stage": []}
    work_ms: dict[str, list[float]] = {"plain loop": [], "stage": []}
    for _ in range(options.rounds):
        for name, run in (("plain loop", plain_loop), ("stage", through_stage)):
            start, cpu_start = time.perf_counter(), time.process_time()
            done = run()
            rates[name].append(done / (time.perf_counter() - start))
            work_ms[name].append((time.process_time() - cpu_start) / done * 1000)
    for name, values in rates.items():
        spread = f"(of {min(values):.1f} to {max(values):.1f})"
        print(f"{name:>10}: {median(values):6.1f} photos/s {spread}, {median(work_ms[name]):.0f} ms CPU a photo")
    for what, numbers in (("photos/s", rates), ("CPU time", work_ms)):
        ratios = [a / b for a, b in zip(numbers["stage"], numbers["plain loop"], strict=True)]
        print(f"stage / plain loop, {what}: {median(ratios):.2f} (of {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
