"""Models that turn a whole photo into an embedding: which there are, how they are named, and how they run."""

import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tasks.face.recogniser_torch import TorchNetwork, torch_execution
from tasks.models.card import Family, ModelCard
from tasks.models.cards import card_named, cards_of
from tasks.models.device import Device, Provider, cpu_threads, demand_provider, provider
from tasks.models.image_spec import ImageSpec
from tasks.models.loaded import load_once
from tasks.models.runtimes import Run, Runtime, fastest_runtime, open_network, version_of
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.rejections import Reason, RefusedError

Pictures = Sequence[NDArray[np.uint8]]
Embeddings = NDArray[np.float32]

_PACKAGES: Final[dict[Family, str]] = {"timm-image": "timm", "open-clip-image": "open_clip_torch"}
_MAX_RESIZED: Final = 1 << 26
"""Pixels of a resized picture: a strip of a few pixels would else be enlarged to gigabytes."""

_OPSET: Final = 17
_exporting = Lock()


def embedder_card(model: str, weights: str = "") -> ModelCard:
    """The card of an embedder: one that we know, or one made from the name of an architecture.

    Args:
        model: a card's name, `timm:<architecture>` or `open_clip:<architecture>`; the architecture as its library
            names it, with or without a tag ("resnet50.a1_in1k", "ViT-B-32.laion2b_s34b_b79k").
        weights: the file of an architecture, by its name in a folder of models; empty: `<card's name>.safetensors`.
    Raises:
        ModelError: nothing has that name, or the card has a file of its own.
    """
    library, colon, architecture = model.partition(":")
    if library == "timm" and colon:
        from tasks.fashion.embedder_timm import timm_card

        return timm_card(architecture, weights)
    if library == "open_clip" and colon:
        from tasks.fashion.embedder_open_clip import open_clip_card

        return open_clip_card(architecture, weights)
    known = [card.name for family in _PACKAGES for card in cards_of(family)]
    if model not in known:
        raise ModelError(
            f"There is no embedder {model!r}. Choose one of: {', '.join(known)}; or timm:<architecture> or "
            "open_clip:<architecture>, with a file of weights."
        )
    card = card_named(model)
    if weights not in ("", card.file_name):
        raise ModelError(
            f"The model {model} is the file {card.file_name}. To use {weights}, name an architecture, such as "
            "timm:resnet50."
        )
    return card


@dataclass(frozen=True)
class Embedder(CardModel):
    """A model of whole pictures. Constructed cheaply; loads once a process, when it is first used.

    On the CPU pictures go through one by one, one thread each and as many at once as there are cores, in the network
    that `runtime` runs: the result depends neither on the neighbours nor on the number of cores. On a GPU they share
    batches of one size, in half precision.
    """

    device: Device
    runtime: Runtime

    @property
    def spec(self) -> ImageSpec:
        return spec_of(self.card)

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        package = _PACKAGES[self.card.family]
        libraries = {package: version_of(package) or "", "timm": version_of("timm") or ""}
        told = {**torch_execution(provider(self.device)), **libraries}
        return told if self.runtime == "torch" else {**told, "runtime": f"{self.runtime} {version_of(self.runtime)}"}

    def embed(self, pictures: Pictures) -> Embeddings:
        """The raw embedding of each picture, float32, (N, width); one that is not finite comes as it is.

        Args:
            pictures: what `picture_for` gives, RGB uint8, (height, width, 3) of the spec's side.
        Raises:
            ModelError: the weights are missing, damaged, or not those of the architecture.
            ShapeError: a picture is not RGB uint8 of the spec's side.
        """
        for picture in pictures:
            if picture.shape != (*self.spec.side, 3) or picture.dtype != np.uint8:
                raise ShapeError(f"pictures are RGB uint8, {(*self.spec.side, 3)}, not {picture.dtype} {picture.shape}")
        if not len(pictures):
            return np.empty((0, self.spec.width), np.float32)
        embeddings = self._loaded().run(pictures)
        if embeddings.shape != (len(pictures), self.spec.width):
            raise ModelError(
                f"{self.name} gives {embeddings.shape} for {len(pictures)} pictures, its card says a width of "
                f"{self.spec.width}: correct the card, or choose another model."
            )
        return embeddings

    def _loaded(self) -> "_Network":
        where = provider(self.device)
        key = (
            self.card.family,
            self.spec.architecture,
            self.card.file_name,
            self.sha256,
            self.zoo,
            where,
            self.runtime,
        )
        return load_once(key, lambda: _load(self.card, self.zoo, where, self.runtime))


def open_embedder(card: ModelCard, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None) -> Embedder:
    """The model of a card, not loaded yet.

    Args:
        runtime: what runs the network; None: the fastest. On a GPU it is torch.
    Raises:
        ModelError: the card is no embedder's, or the runtime does not run on that device.
    """
    if card.family not in _PACKAGES or card.image is None:
        raise ModelError(f"The model {card.name} is of the family {card.family}: it makes no embeddings of photos.")
    where = provider(device)
    chosen = runtime or ("torch" if where == "cuda" else fastest_runtime())
    if where == "cuda" and chosen != "torch":
        raise ModelError(f"{chosen} runs embedders on the CPU only: choose the runtime `torch`, or the device `cpu`.")
    return Embedder(card, zoo, device, chosen)


def spec_of(card: ModelCard) -> ImageSpec:
    """What the model of a card takes and gives.

    Raises:
        ModelError: the card does not say.
    """
    if card.image is None:
        raise ModelError(f"The card of {card.name} has no `image`: say what the model takes and how wide it gives.")
    return card.image


def picture_for(rgb: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """An upright picture as a model wants it, before normalisation; equal to what torchvision, timm and open_clip make.

    Args:
        rgb: uint8, (H, W, 3).
    Returns:
        uint8, (height, width, 3) of the spec's side.
    Raises:
        RefusedError: the picture is a strip that would be enlarged beyond measure.
    """
    height, width = rgb.shape[:2]
    down, across = _resized(height, width, spec)
    if down * across > _MAX_RESIZED:
        detail = f"{width} x {height} pixels: brought to {min(spec.resized)} px a side it is {across} x {down}"
        raise RefusedError(Reason.IMAGE_TOO_SMALL, detail)
    image = Image.fromarray(rgb)
    if (down, across) != (height, width):
        image = image.resize((across, down), Image.Resampling[spec.interpolation.upper()])
    return np.array(_centre(image, spec))


def _resized(height: int, width: int, spec: ImageSpec) -> tuple[int, int]:
    """Height and width before the centre is cut, with the rounding of the libraries that models were trained with."""
    wanted = spec.resized
    if spec.fit == "squash":
        return wanted
    if spec.fit == "cover" and wanted[0] == wanted[1]:
        short, long = min(height, width), max(height, width)
        along = int(wanted[0] * long / short)
        return (wanted[0], along) if height <= width else (along, wanted[0])
    ratios = height / wanted[0], width / wanted[1]
    ratio = min(ratios) if spec.fit == "cover" else max(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _centre(image: Image.Image, spec: ImageSpec) -> Image.Image:
    down, across = spec.side
    left, top = max(0, across - image.width), max(0, down - image.height)
    if left or top:
        border = left // 2, top // 2, (left + 1) // 2, (top + 1) // 2
        image = ImageOps.expand(image, border, spec.paper)
    x, y = round((image.width - across) / 2), round((image.height - down) / 2)
    return image.crop((x, y, x + across, y + down))


class _Network(Protocol):
    def run(self, pictures: Pictures) -> Embeddings: ...


class _Exported:
    """The network in a runtime, safe to be called from several threads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pool = ThreadPoolExecutor(cpu_threads(), "embedder")

    def run(self, pictures: Pictures) -> Embeddings:
        return np.concatenate([out[0] for out in self._pool.map(self._run, (each[None] for each in pictures))])


class _InTorch:
    """The network in torch, safe to be called from several threads."""

    def __init__(self, module: Any, where: Provider) -> None:
        self._network = TorchNetwork(module, where, lambda network, pixels, _: network(pixels))

    def run(self, pictures: Pictures) -> Embeddings:
        return self._network.run(np.stack(pictures).astype(np.float32))


def _load(card: ModelCard, zoo: Zoo, where: Provider, runtime: Runtime) -> _Network:
    from tasks.fashion.embedder_open_clip import open_clip_network
    from tasks.fashion.embedder_timm import timm_network

    spec, path = spec_of(card), verified_file(card, zoo).path
    network = timm_network(spec, path) if card.family == "timm-image" else open_clip_network(spec, path)
    whole = _of_pixels(network, spec)
    if runtime != "torch":
        return _Exported(open_network(runtime, _export(whole, card)))
    demand_provider(where)
    return _InTorch(whole, where)


def _of_pixels(network: Any, spec: ImageSpec) -> Any:
    """The network that takes pictures as they are decoded, (N, height, width, 3), 0 to 255."""
    import torch

    class OfPixels(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            for name in ("mean", "std"):
                self.register_buffer(name, torch.tensor(getattr(spec, name)).reshape(3, 1, 1))

        def forward(self, pixels: torch.Tensor) -> Any:
            values = pixels.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
            embedded = self.network((values - self.mean) / self.std)
            return embedded[0] if isinstance(embedded, tuple) else embedded  # CoCa adds the tokens

    return OfPixels().eval()


def _export(whole: Any, card: ModelCard) -> bytes:
    import torch

    stream = io.BytesIO()
    pixels = torch.zeros(1, *spec_of(card).side, 3, dtype=torch.uint8)
    with _exporting, warnings.catch_warnings():
        # The exporter that does without further packages calls itself deprecated.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                whole,
                (pixels,),
                stream,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=_OPSET,
                input_names=["pixels"],
                output_names=["embedding"],
            )
        except Exception as error:  # the exporter has no common base of its errors
            raise ModelError(f"{card.name} cannot be exported: choose the runtime `torch`. ({error})") from error
    return stream.getvalue()
