"""Faces a second of the stage `recognise`, beside a plain loop: one face at a time through ONNX Runtime as it comes.

    MANNEQUIN_MODELS=<folder of weights> python -m tests.benchmarks.bench_recognition <folder of face photos>

The photos stand in for aligned faces: their middle square is cut and stored as an aligned face is. Both decode, embed
and keep the unit embeddings; rounds alternate, so that whatever else the machine does hits both.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pyarrow as pa

from tasks.face.align import ARCFACE_112
from tasks.face.recognise import Recognise, RecogniseConfig
from tasks.images.decode import decode_rgb
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.webbody import FACE_SCHEMA


def batches(paths: list[Path], copies: int, rows: int) -> list[pa.RecordBatch]:
    faces = []
    for path in paths:
        photo = decode_rgb(path.read_bytes())
        side = min(photo.shape[:2])
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        square = cv2.resize(photo[top : top + side, left : left + side], (320, 320), interpolation=cv2.INTER_AREA)
        faces.append(cv2.imencode(".jpg", square[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    points = ARCFACE_112.ravel().tolist()
    listed = [
        {
            "sample_id": f"{i}",
            "parent_id": None,
            "source_uri": "",
            "licence": "",
            "idx": "",
            "label": "",
            "photo_id": f"{i}",
            "face_score": 1.0,
            "face_side_px": 160.0,
            "face_xyxy": [0.0] * 4,
            "landmarks_xy": points,
            "crop_face_xyxy": [0.0] * 4,
            "crop_landmarks_xy": points,
            "sharpness": 1.0,
            "frontality": 1.0,
            "aligned": {"bytes": face, "path": None},
            "aligned_side_px": 320,
        }
        for i, face in enumerate(faces * copies)
    ]
    return pa.Table.from_pylist(listed, schema=FACE_SCHEMA).combine_chunks().to_batches(max_chunksize=rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, searched through")
    parser.add_argument("--model", default="auraface-v1", help="an ONNX model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=100, help="different faces")
    parser.add_argument("--copies", type=int, default=4, help="of each, a round")
    options = parser.parse_args()

    import onnxruntime

    stage = Recognise(RecogniseConfig(model=options.model), Zoo.from_environment(), "cpu")
    spec = stage.recogniser.spec
    work = batches(sorted(options.photos.rglob("*.jpg"))[: options.limit], options.copies, stage.batch_rows)
    path = verified_file(stage.recogniser.card, stage.zoo).path
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name

    def plain_loop() -> int:
        units = []
        for batch in work:
            for image in batch["aligned"].to_pylist():
                face = cv2.imdecode(np.frombuffer(image["bytes"], np.uint8), cv2.IMREAD_COLOR)[48:272, 48:272, ::-1]
                seen = cv2.resize(face, (spec.side, spec.side), interpolation=cv2.INTER_AREA).astype(np.float32)
                values = ((seen - spec.mean) / spec.scale).transpose(2, 0, 1)[None]
                embedding = session.run(None, {given: values})[0][0]
                units.append((embedding / np.linalg.norm(embedding)).astype(np.float16))
        return len(units)

    def through_stage() -> int:
        return sum(output.kept.num_rows + len(output.rejected) for output in stage.process(iter(work)))

    rates: dict[str, list[float]] = {"plain loop": [], "stage": []}
    plain_loop(), through_stage()
    for _ in range(options.rounds):
        for name, run in (("plain loop", plain_loop), ("stage", through_stage)):
            start = time.perf_counter()
            done = run()
            rates[name].append(done / (time.perf_counter() - start))
    for name, values in rates.items():
        print(f"{name:>10}: {median(values):6.1f} faces/s (of {min(values):.1f} to {max(values):.1f})")
    ratios = [a / b for a, b in zip(rates["stage"], rates["plain loop"], strict=True)]
    print(f"stage / plain loop: {median(ratios):.2f} (of {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
