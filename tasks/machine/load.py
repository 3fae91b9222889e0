"""How busy this machine is: CPU, memory, disk and GPUs, and what part of it one run and its children take."""

import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tasks.schema.records import Frozen


class RunLoad(Frozen):
    """A run's processes: CPU in percent of one core, resident bytes (shared pages count in each process)."""

    processes: int
    cpu_percent: float
    memory_bytes: int


class GpuLoad(Frozen):
    """A GPU at a moment: percent of the last moment in which it worked at all, and bytes of its memory."""

    name: str
    busy_percent: float
    memory_used: int
    memory_total: int


class Load(Frozen):
    """A machine at a moment; CPU in percent of all cores since the reading before. `run`: None where none is known."""

    cores: int
    cpu_percent: float
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int
    run: RunLoad | None
    gpus: tuple[GpuLoad, ...] = ()


@dataclass
class LoadMeter:
    """Reads the load of this machine; `folder` says of which disk.

    The first reading knows no CPU yet and gives 0.
    """

    folder: Path
    _known: dict[psutil.Process, psutil.Process] = field(default_factory=dict)

    def read(self, process: psutil.Process | None = None) -> Load:
        """The load now, with that of a process and all of its children."""
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self.folder)
        return Load(
            cores=psutil.cpu_count() or 1,
            cpu_percent=psutil.cpu_percent(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk.free,
            disk_total=disk.total,
            run=None if process is None else self._run(process),
            gpus=read_gpus(),
        )

    def _run(self, process: psutil.Process) -> RunLoad | None:
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            return None
        self._known = {each: self._known.get(each, each) for each in family}
        cpu, memory, count = 0.0, 0, 0
        for each in self._known.values():  # the same objects again: they remember the CPU time before
            try:
                cpu += each.cpu_percent()
                memory += each.memory_info().rss
                count += 1
            except psutil.Error:
                continue
        return RunLoad(processes=count, cpu_percent=cpu, memory_bytes=memory)


@cache
def _driver() -> Any:
    """NVIDIA's management library with its driver loaded; None where there is none."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def read_gpus() -> tuple[GpuLoad, ...]:
    """NVIDIA's GPUs; none where there is no driver, or one that does not answer."""
    nvml = _driver()
    if nvml is None:
        return ()
    try:
        gpus = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        return tuple(_gpu(nvml, gpu) for gpu in gpus)
    except nvml.NVMLError:
        return ()


def _gpu(nvml: Any, gpu: Any) -> GpuLoad:
    memory, name = nvml.nvmlDeviceGetMemoryInfo(gpu), nvml.nvmlDeviceGetName(gpu)
    return GpuLoad(
        name=name if isinstance(name, str) else name.decode(),
        busy_percent=float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
        memory_used=int(memory.used),
        memory_total=int(memory.total),
    )
