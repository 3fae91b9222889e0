"""What runs an exported network (ONNX): OpenVINO or ONNX Runtime, told apart without importing either."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from tasks.models.device import Provider, cpu_threads
from tasks.schema.errors import ModelError

Runtime = Literal["openvino", "onnxruntime", "torch"]
Arrays = Sequence[NDArray[np.float32]]
Run = Callable[[NDArray[Any]], Arrays]
"""A network with one input: the array of its input to those of its outputs, in order; safe in `cpu_threads` threads."""

EXPORTED: Final[tuple[Runtime, ...]] = ("openvino", "onnxruntime")
"""Fastest first, as measured on x86-64 (see `tests/benchmarks/bench_bodies.py`)."""

_importing = Lock()
_one_at_a_time = Lock()
_called = Event()


@cache
def version_of(package: str) -> str | None:
    """The version of an installed package, or of its build for GPUs; None: not installed."""
    for name in (package, f"{package}-gpu"):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def fastest_runtime() -> Runtime:
    """The fastest of those that are installed; torch always is."""
    return next((runtime for runtime in EXPORTED if version_of(runtime)), "torch")


def import_onnxruntime() -> Any:
    """ONNX Runtime, told before its first import not to send anything to its maker (its builds do since 1.29)."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def load_cuda(onnxruntime: Any) -> None:
    """Load the CUDA libraries that torch's packages brought, which ONNX Runtime for GPUs does not look for itself."""
    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if preload is not None:
        preload()


def import_openvino() -> Any:
    """OpenVINO without `openvino_telemetry`, which else tells its maker of every import."""
    with _importing:
        telemetry = sys.modules.get("openvino_telemetry")
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules["openvino_telemetry"]
            if telemetry is not None:
                sys.modules["openvino_telemetry"] = telemetry
    return openvino


def open_network(runtime: Runtime, onnx: bytes) -> Run:
    """Load a network for the CPU: every call takes one thread, so that results do not depend on how many there are.

    Raises:
        ModelError: the runtime is not installed, or does not take the file.
    """
    if version_of(runtime) is None:
        raise ModelError(f"{runtime} is not installed: install it, or choose another runtime.")
    return _open_openvino(onnx) if runtime == "openvino" else run_of(onnx_session(onnx, "cpu"))


def onnx_session(onnx: bytes, where: Provider) -> Any:
    """An ONNX Runtime session, one thread a call on the CPU.

    Raises:
        ModelError: it is no network, or ONNX Runtime cannot use the GPU.
    """
    onnxruntime = import_onnxruntime()
    if where == "cuda":
        load_cuda(onnxruntime)
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    if providers[where] not in onnxruntime.get_available_providers():
        raise ModelError(
            "The model is to run on a GPU, but this ONNX Runtime cannot use one: install `onnxruntime-gpu` in place of "
            "`onnxruntime`, or set the device to `cpu`."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=[providers[where]])
    except Exception as error:  # ONNX Runtime has no common base of its errors
        raise ModelError(f"ONNX Runtime does not load the network: {error}") from error


def run_of(session: Any) -> Run:
    """An ONNX Runtime session with one input, as `Run`."""
    name = session.get_inputs()[0].name
    return lambda array: cast(Arrays, session.run(None, {name: array}))


def _open_openvino(onnx: bytes) -> Run:
    """One stream and one request for each thread; float32 also where the processor prefers bfloat16.

    Threads are free to move: several workers on a machine would else sit on the same cores.
    """
    openvino = import_openvino()
    threads = cpu_threads()
    settings: Mapping[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        with _one_at_a_time:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(onnx), "CPU", settings)
    except Exception as error:  # OpenVINO raises RuntimeError and its kin
        raise ModelError(f"OpenVINO does not load the network: {error}") from error
    free: SimpleQueue[Any] = SimpleQueue()
    for _ in range(threads):
        free.put(compiled.create_infer_request())

    def run(array: NDArray[Any]) -> Arrays:
        request = free.get()
        try:
            outputs = _infer(request, array)
            return [outputs[i].copy() for i in range(len(outputs))]
        finally:
            free.put(request)

    return run


def _infer(request: Any, array: NDArray[Any]) -> Any:
    """One call of a network; OpenVINO deadlocks where two threads make the very first ones of a process together."""
    if _called.is_set():
        return request.infer([array])
    with _one_at_a_time:
        outputs = request.infer([array])
        _called.set()
    return outputs
