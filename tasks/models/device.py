"""Where models run, told without importing torch, so that a stage knows its key at once."""

import ctypes
import os
from functools import cache
from typing import Literal

from tasks.schema.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]
Provider = Literal["cpu", "cuda"]


def provider(device: Device) -> Provider:
    """Where a model will run; `auto`: on a GPU where the driver shows one to this process."""
    if device != "auto":
        return device
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "NoDevFiles"):
        return "cpu"
    return "cuda" if _gpus() else "cpu"


@cache
def _gpus() -> int:
    """GPUs that the NVIDIA driver knows; asked through NVML, which leaves the process free to fork."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() != 0:
        return 0
    try:
        return 0 if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) else count.value
    finally:
        nvml.nvmlShutdown()


def demand_provider(wanted: Provider) -> None:
    """Check that torch can run where we said a model runs.

    Raises:
        ModelError: there is a GPU, but torch cannot use it.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "The model is to run on a GPU, but torch cannot use one: update the NVIDIA driver, or set the device to "
            "`cpu` (or CUDA_VISIBLE_DEVICES to nothing)."
        )


def cpu_threads() -> int:
    """Threads that models may use together: the cores that this process may run on, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores
