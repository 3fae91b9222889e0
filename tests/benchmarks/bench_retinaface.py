"""RetinaFace (resnet50, seeded weights in the package's file form) against the package's own `predict_jsons`.

Both see the same pictures at the same size, and find equal boxes. With weights that know no faces nearly nothing is
suppressed or decoded by either, so what is compared is the network, its input and the priors.

    python tests/benchmarks/bench_retinaface.py FOLDER_OF_PHOTOS --side 640
"""

import argparse
import hashlib
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from tasks.face.retinaface import RetinaFace, faces_of
from tasks.face.retinaface_priors import priors
from tasks.images.decode import decode_rgb
from tasks.models.face_cards import RETINAFACE_RESNET50
from tasks.models.zoo import Zoo


def package_model(side: int):
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from retinaface.predict_single import Model

        torch.manual_seed(0)
        model = Model(max_size=side)
    # A bias against faces: seeded heads would else see one at every second place.
    for head in model.model.ClassHead:
        head.conv1x1.bias.data.copy_(torch.tensor([6.0, -6.0, 6.0, -6.0]))
    model.eval()
    return model


def same_weights(model, folder: Path) -> Path:
    import torch

    torch.save(model.model.state_dict(), folder / "weights.pth")
    path = folder / RETINAFACE_RESNET50.file_name
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "weights.pth", "retinaface_resnet50_2020-07-20.pth")
    return path


def timed(run: Callable[[], object], each: int) -> tuple[float, float]:
    """Wall and CPU milliseconds for each of so many."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - wall) * 1000 / each, (time.process_time() - cpu) * 1000 / each


def parts_of_package(model, picture: np.ndarray) -> dict[str, float]:
    import torch
    from retinaface.prior_box import priorbox
    from retinaface.utils import tensor_from_rgb_image

    start = time.perf_counter()
    tensor = tensor_from_rgb_image(model.transform(image=picture)["image"])[None]
    seen = time.perf_counter()
    priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], False, picture.shape[:2])
    built = time.perf_counter()
    with torch.no_grad():
        model.model(tensor)
    return {"input": seen - start, "priors": built - seen, "network": time.perf_counter() - built}


def parts_of_ours(network, picture: np.ndarray) -> dict[str, float]:
    start = time.perf_counter()
    heads = network.heads(picture[None])
    run = time.perf_counter()
    priors(*picture.shape[:2])
    built = time.perf_counter()
    faces_of([head[0] for head in heads], *picture.shape[:2], RETINAFACE_RESNET50.thresholds)
    return {"network, input": run - start, "priors": built - run, "decoding": time.perf_counter() - built}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of JPEGs, searched through")
    parser.add_argument("--side", type=int, default=640, help="longer side of the pictures")
    parser.add_argument("--limit", type=int, default=8, help="pictures a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", choices=["openvino", "onnxruntime", "torch"], help="of ours; the fastest")
    options = parser.parse_args()

    pictures = []
    for path in sorted(options.photos.rglob("*.jpg"))[: options.limit]:
        photo = decode_rgb(path.read_bytes())
        scale = options.side / max(photo.shape[:2])
        size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
        pictures.append(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))

    with tempfile.TemporaryDirectory() as folder:
        package = package_model(options.side)
        path = same_weights(package, Path(folder))
        card = RETINAFACE_RESNET50.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        ours = RetinaFace(card, Zoo(Path(folder) / "zoo", Path(folder)), "cpu", options.runtime)
        runs = {
            "predict_jsons": lambda: [package.predict_jsons(picture) for picture in pictures],
            "ours": lambda: ours.detect(pictures),
        }
        for run in runs.values():
            run()
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                measured[name].append(timed(run, len(pictures)))
        for name, values in measured.items():
            wall, cpu = (median(v[i] for v in values) for i in (0, 1))
            fastest = min(v[0] for v in values)
            print(f"{name:>14}: {wall:7.1f} ms a picture (fastest round {fastest:.1f}), {cpu:.1f} ms CPU")
        for i, what in enumerate(("wall time", "CPU time")):
            ratios = [a[i] / b[i] for a, b in zip(measured["predict_jsons"], measured["ours"], strict=True)]
            best = min(v[i] for v in measured["predict_jsons"]) / min(v[i] for v in measured["ours"])
            spread = f"of {min(ratios):.2f} to {max(ratios):.2f}; fastest rounds {best:.2f}"
            print(f"predict_jsons / ours, {what}: {median(ratios):.2f} ({spread})")
        for name, parts in (
            ("predict_jsons", [parts_of_package(package, picture) for picture in pictures]),
            ("ours, one thread", [parts_of_ours(ours._loaded(), picture) for picture in pictures]),
        ):
            told = ", ".join(f"{part} {median(p[part] for p in parts) * 1000:.2f} ms" for part in parts[0])
            print(f"{name}: {told}")


if __name__ == "__main__":
    main()
