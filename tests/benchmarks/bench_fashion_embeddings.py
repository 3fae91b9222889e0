"""Photos a second of the stage `embed`, beside its forward pass alone and beside one image at a time in torchvision.

    python -m tests.benchmarks.bench_fashion_embeddings <folder of photos> ...

A ResNet50 with seeded weights, in a file in torchvision's key layout, serves all three. The forward pass gets the same
batches with their pictures made before; the loop opens, transforms and embeds one photo after the other, as the seed
does. Rounds alternate, so that whatever else the machine does hits all.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from tasks.fashion.embed import Embed, EmbedConfig
from tasks.fashion.embedder import picture_for
from tasks.images.decode import decode_rgb
from tasks.models.runtimes import EXPORTED
from tasks.models.zoo import Zoo
from tests.fashion.made_weights import batch_of, photo_row, write_resnet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of JPEGs, searched through")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=48, help="photos a round; they repeat where there are fewer")
    parser.add_argument("--runtime", choices=[*EXPORTED, "torch"], help="of the stage; otherwise the fastest")
    options = parser.parse_args()

    import torchvision

    found = sorted(path for folder in options.photos for path in folder.rglob("*.jpg"))
    chosen = [found[i * len(found) // options.limit] for i in range(options.limit)]
    encoded = [path.read_bytes() for path in chosen]
    with tempfile.TemporaryDirectory() as folder:
        weights = write_resnet(Path(folder).resolve() / "resnet50.pth")
        zoo = Zoo(weights.parent, trust_unknown_digest=True)
        config = EmbedConfig(model="timm:resnet50.tv_in1k", weights=weights.name)
        stage = Embed(config, zoo, "cpu", options.runtime)
        rows = [photo_row(f"{i}", data) for i, data in enumerate(encoded)]
        batches = [batch_of(rows[i : i + stage.batch_rows]) for i in range(0, len(rows), stage.batch_rows)]
        pictures = [picture_for(decode_rgb(data), stage.embedder.spec) for data in encoded]
        network = torchvision.models.resnet50(weights=None)
        network.load_state_dict(torch.load(weights, weights_only=True))
        network.fc = torch.nn.Identity()
        network.eval()
        transform = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.transforms()

        def forward() -> np.ndarray:
            made = range(0, len(pictures), stage.batch_rows)
            return np.concatenate([stage.embedder.embed(pictures[i : i + stage.batch_rows]) for i in made])

        def through_stage() -> np.ndarray:
            kept = [output.kept["embedding"].to_numpy() for output in stage.process(iter(batches))]
            return np.stack([each for some in kept for each in some])

        def one_by_one() -> np.ndarray:
            with torch.no_grad():
                opened = (Image.open(io.BytesIO(data)).convert("RGB") for data in encoded)
                return np.stack([network(transform(image).unsqueeze(0))[0].numpy() for image in opened])

        runs = {"forward alone": forward, "stage": through_stage, "one by one": one_by_one}
        results = {name: run() for name, run in runs.items()}
        assert np.array_equal(results["stage"], results["forward alone"])
        print(f"largest difference to torchvision: {np.abs(results['stage'] - results['one by one']).max():.1e}")
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    print(f"{stage.embedder.runtime}, {len(encoded)} photos, {sum(map(len, encoded)) // len(encoded)} bytes each")
    for name, values in seconds.items():
        print(f"{name:>14}: {len(encoded) / median(values):6.1f} photos/s")
    for name in ("forward alone", "one by one"):
        ratios = [a / b for a, b in zip(seconds["stage"], seconds[name], strict=True)]
        fastest = min(seconds["stage"]) / min(seconds[name])
        told = f"{median(ratios):.2f} (of {min(ratios):.2f} to {max(ratios):.2f}), of the fastest rounds {fastest:.2f}"
        print(f"time of the stage / {name}: {told}")


if __name__ == "__main__":
    main()
