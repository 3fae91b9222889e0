"""A torch module that embeds faces: the same results whatever shares a batch, on the CPU and on a GPU."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.models.device import Provider, cpu_threads

GPU_BATCH: Final = 64
"""Faces that share a call on a GPU; the last call is filled up, so that every call has the same kernels."""

Floats = NDArray[np.float32]


def torch_execution(where: Provider) -> dict[str, str]:
    """What decides the bytes of embeddings besides the weights and the module's code."""
    return {
        "provider": where,
        "precision": "fp16" if where == "cuda" else "fp32",
        "torch": metadata.version("torch").partition("+")[0],
    }


class TorchNetwork:
    """A loaded module, safe to be called from several threads.

    On the CPU faces go through one by one, one thread each and as many at once as there are cores; on a GPU in batches,
    in half precision.

    Args:
        module: in float32, in eval mode.
        call: what the module makes of a batch (N, 3, side, side) and, where they were given, landmarks (N, 5, 2).
    """

    def __init__(self, module: Any, where: Provider, call: Callable[[Any, Any, Any], Any]) -> None:
        self._where = where
        self._call = call
        workers = cpu_threads() if where == "cpu" else 1
        module = module.to(where)
        if where == "cuda":
            module = module.half()
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(workers):  # copies share the weights, but have their own buffers
            self._free.put(copy.deepcopy(module, {id(p): p for p in module.parameters()}))
        self._pool = ThreadPoolExecutor(workers, "recognition", initializer=_single_thread if where == "cpu" else None)
        self._batch = 1 if where == "cpu" else GPU_BATCH

    def run(self, pixels: Floats, landmarks: Floats | None = None) -> Floats:
        """(N, 3, side, side), N at least 1, and landmarks (N, 5, 2), to (N, width)."""
        starts = range(0, len(pixels), self._batch)
        return np.concatenate(list(self._pool.map(lambda start: self._some(pixels, landmarks, start), starts)))

    def _some(self, pixels: Floats, landmarks: Floats | None, start: int) -> Floats:
        import torch

        count = min(self._batch, len(pixels) - start)
        module = self._free.get()
        try:
            with torch.inference_mode():
                given = [
                    None if array is None else self._to_device(array[start : start + count], torch)
                    for array in (pixels, landmarks)
                ]
                out = self._call(module, *given)
                return np.asarray(out.float().cpu().numpy().reshape(self._batch, -1)[:count])
        finally:
            self._free.put(module)

    def _to_device(self, some: Floats, torch: Any) -> Any:
        missing = self._batch - len(some)
        full = np.concatenate([some, np.zeros((missing, *some.shape[1:]), np.float32)]) if missing else some
        tensor = torch.from_numpy(np.ascontiguousarray(full)).to(self._where)
        return tensor.half() if self._where == "cuda" else tensor


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)
