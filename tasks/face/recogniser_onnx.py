"""ArcFace-style models in ONNX files, through ONNX Runtime."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.face.recogniser import CardRecogniser, Faces, demand_width, model_input, spec_of
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, cpu_threads, provider
from tasks.models.loaded import load_once
from tasks.models.runtimes import import_onnxruntime, load_cuda, version_of
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.errors import ModelError

GPU_BATCH: Final = 64
"""Faces that share a call on a GPU; the last call is filled up, so that every call has the same kernels."""


@dataclass(frozen=True)
class OnnxRecogniser(CardRecogniser):
    """A file with one picture input and one embedding output, as `Recogniser` says.

    On the CPU faces go through one by one, one thread each and as many at once as there are cores: the result depends
    neither on the neighbours nor on the number of cores. On a GPU they share batches, in half precision.
    """

    device: Device = "auto"

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {
            "provider": self._where,
            "precision": "fp16" if self._where == "cuda" else "fp32",
            "onnxruntime": _version(),
        }

    def embed(self, faces: Faces, landmarks: NDArray[np.float32] | None = None) -> NDArray[np.float32]:  # noqa: ARG002
        """The raw embeddings, as `Recogniser` says; landmarks are not looked at.

        Raises:
            ModelError: the weights are missing, damaged, or not what the card says.
            ShapeError: a face is not RGB uint8 of the card's side.
        """
        pixels = model_input(faces, self.spec)
        if not len(pixels):
            return np.empty((0, self.spec.width), np.float32)
        return demand_width(self._loaded().run(pixels), self.card, len(pixels))

    @property
    def _where(self) -> Provider:
        """On a GPU where nothing was said only if ONNX Runtime can use it."""
        where = provider(self.device)
        return where if self.device != "auto" or version_of("onnxruntime-gpu") else "cpu"

    def _loaded(self) -> "_Session":
        where = self._where
        # The digest of the card stands for the file: a card without one has a record that the file is checked against.
        key = ("onnx-recognition", self.card.name, self.card.sha256, self.zoo, where)
        return load_once(key, lambda: _load(self.card, self.zoo, where))


def _version() -> str:
    for package in ("onnxruntime-gpu", "onnxruntime"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise ModelError("ONNX Runtime is not installed: install onnxruntime, or onnxruntime-gpu where there is a GPU.")


def _load(card: ModelCard, zoo: Zoo, where: Provider) -> "_Session":
    onnxruntime = import_onnxruntime()
    verified = verified_file(card, zoo)
    if where == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ModelError(
            "The model is to run on a GPU, but this ONNX Runtime cannot use one: install onnxruntime-gpu in place of "
            "onnxruntime, or set the device to `cpu`."
        )
    if where == "cuda":
        load_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    providers = ["CUDAExecutionProvider"] if where == "cuda" else ["CPUExecutionProvider"]
    model: str | bytes = _in_half_precision(verified.path) if where == "cuda" else str(verified.path)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own errors share no base
        raise ModelError(f"{verified.path} does not load as an ONNX model: {error}") from error
    if session.get_providers()[0] != providers[0]:
        raise ModelError(f"ONNX Runtime could not start {providers[0]}: check the CUDA and cuDNN that it wants.")
    return _Session(session, card, verified.path, where)


def _in_half_precision(path: Path) -> bytes:
    """The same network with fp16 weights and arithmetic; it still takes and gives float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return bytes(convert_float_to_float16(onnx.load(path), keep_io_types=True).SerializeToString())


class _Session:
    """A loaded session, safe to be called from several threads."""

    def __init__(self, session: Any, card: ModelCard, path: Path, where: Provider) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        side = spec_of(card).side
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or any(
            isinstance(n, int) and n != m for n, m in zip(shape[1:], (3, side, side), strict=True)
        ):
            raise ModelError(f"{path} takes {[(i.name, i.shape) for i in inputs]}, not one (N, 3, {side}, {side}).")
        fixed = shape[0] if isinstance(shape[0], int) else None
        self._session = session
        self._input, self._output = inputs[0].name, outputs[0].name
        self._batch = fixed or (GPU_BATCH if where == "cuda" else 1)
        self._pool = ThreadPoolExecutor(cpu_threads() if where == "cpu" else 1, "onnx-recognition")

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, side, side) to (N, width), in calls of one size."""
        starts = range(0, len(pixels), self._batch)
        return np.concatenate(
            list(self._pool.map(lambda start: self._call(pixels[start : start + self._batch]), starts))
        )

    def _call(self, some: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = self._batch - len(some)
        full = np.concatenate([some, np.zeros((missing, *some.shape[1:]), np.float32)]) if missing else some
        out = np.asarray(self._session.run([self._output], {self._input: full})[0])
        return out.reshape(self._batch, -1)[: len(some)]
