"""YOLO-pose as an ONNX file of our own: made once from the verified weights, and found again by its digest."""

import warnings
from hashlib import sha256
from io import BytesIO
from threading import Lock
from typing import Any, Final

from tasks.body.yolo import read_yolo
from tasks.models.card import ModelCard
from tasks.models.runtimes import version_of
from tasks.models.zoo import Zoo, digest_of
from tasks.schema.errors import ModelError
from tasks.shards.files import LocalFiles, disk_errors_explained, temporary

STRIDES: Final = (8, 16, 32)
"""Pixels between the anchors of each level: YOLOv8 and YOLO11."""

BINS: Final = 16
"""Each side of a box is a distribution over so many distances: `reg_max` of YOLOv8 and YOLO11."""

_VERSION: Final = 1
_OPSET: Final = 17

_files = LocalFiles()
_exporting = Lock()


def exporter() -> dict[str, str]:
    """What decides the bytes of an export besides the weights."""
    torch, ultralytics = version_of("torch") or "", version_of("ultralytics") or ""
    return {"export": str(_VERSION), "torch": torch.partition("+")[0], "ultralytics": ultralytics}


def exported_yolo(card: ModelCard, zoo: Zoo) -> bytes:
    """The ONNX file of a card, from the zoo's folder, or exported now and put there; nothing is fetched but weights.

    Input: RGB uint8, (1, H, W, 3), sides multiples of 32. Outputs, for all anchors A of the levels in order, rows
    before columns: `boxes` (1, 4 x `BINS`, A), `scores` (1, 1, A) and `joints` (1, 51, A), all before any activation.

    The record `<name>.sha256` is written last and names a file by its digest: a file that is not what the record says
    is made again.

    Raises:
        ModelError: the weights are missing, damaged, or of another kind.
        StoreError: the folder of models cannot be written.
    """
    with _exporting:
        found = _recorded(card, zoo)
        return found if found is not None else _made(card, zoo)


def _name(card: ModelCard, zoo: Zoo) -> str:
    """Of the export: the weights' name, and a digest of the weights and of all that exports them."""
    decides = "\n".join((digest_of(card, zoo), *(f"{key}={value}" for key, value in exporter().items())))
    return f"{card.name}-{sha256(decides.encode()).hexdigest()[:16]}"


def _recorded(card: ModelCard, zoo: Zoo) -> bytes | None:
    """The bytes that the record promises; None where there are none or others."""
    try:
        digest, file_name = (zoo.folder / f"{_name(card, zoo)}.sha256").read_text().split()
        content = (zoo.folder / file_name).read_bytes()
    except (FileNotFoundError, ValueError):
        return None
    return content if sha256(content).hexdigest() == digest else None


def _made(card: ModelCard, zoo: Zoo) -> bytes:
    content = _export(read_yolo(card, zoo), card)
    digest = sha256(content).hexdigest()
    name = _name(card, zoo)
    file_name = f"{name}-{digest[:16]}.onnx"
    with disk_errors_explained(zoo.folder):
        for target, payload in ((file_name, content), (f"{name}.sha256", f"{digest}  {file_name}\n".encode())):
            part = temporary(zoo.folder)
            try:
                with _files.create(part) as stream:
                    stream.write(payload)
                    _files.sync(stream)
                _files.replace(part, zoo.folder / target)
            finally:
                _files.remove(part)
        _files.sync_folder(zoo.folder)
    return content


def _export(yolo: Any, card: ModelCard) -> bytes:
    import torch

    head = yolo.model[-1]
    strides = tuple(int(stride) for stride in head.stride)
    if (strides, head.reg_max, head.nc, head.end2end) != (STRIDES, BINS, 1, False):
        raise ModelError(f"We export YOLOv8 and YOLO11 only, and {card.name} is neither: choose the runtime `torch`.")

    class Heads(torch.nn.Module):
        """What the heads say, for pictures as they are decoded."""

        def __init__(self) -> None:
            super().__init__()
            self.yolo = yolo

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            said = self.yolo(pixels.permute(0, 3, 1, 2).float() / 255)[1]
            return said["boxes"], said["scores"], said["kpts"]

    names = ("boxes", "scores", "joints")
    stream = BytesIO()
    with warnings.catch_warnings():
        # The exporter that does without further packages calls itself deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Heads().eval(),
            (torch.zeros(1, 64, 96, 3, dtype=torch.uint8),),
            stream,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=_OPSET,
            input_names=["pixels"],
            output_names=list(names),
            dynamic_axes={"pixels": {1: "height", 2: "width"}, **{name: {2: "anchors"} for name in names}},
        )
    return stream.getvalue()
