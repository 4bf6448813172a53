"""Memory and cores as the system tells them: of a process, of the machine or the container it lives in, of a GPU.

Reads what Linux has under /proc and /sys; elsewhere the few things that Python knows. Never starts torch: a GPU is
looked at where torch already works on it.
"""

import gc
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds, in bytes: resident now and at its peak; on its GPU at the peak, and what is left there.

    The three of the GPU are 0 where the process uses none.
    """

    resident_bytes: int = 0
    peak_bytes: int = 0
    device_peak_bytes: int = 0
    device_free_bytes: int = 0
    device_total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """Memory of the machine in bytes: all there is, and what is available now without swapping."""

    total_bytes: int
    available_bytes: int


def usage() -> Usage:
    """What this process holds, peaks since `forget_peak`."""
    resident, peak = _resident()
    cuda = _cuda()
    if cuda is None:
        return Usage(resident, peak)
    free, total = cuda.mem_get_info()
    return Usage(resident, peak, int(cuda.max_memory_reserved()), int(free), int(total))


def forget_peak() -> None:
    """Peaks are counted from now on; what a GPU's allocator keeps without need is given back."""
    with suppress(OSError):  # not a Linux, or not allowed: the peak is then of the process's whole life
        Path("/proc/self/clear_refs").write_text("5")
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()


def free_memory() -> None:
    """Gives back what this process holds without need: of ended work, and of a GPU's allocator."""
    gc.collect()
    forget_peak()


def first_to_die() -> None:
    """When the machine runs out of memory, the kernel ends this process rather than those that started it."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def room() -> Room | None:
    """The machine's memory, or the container's if that has less; None where the system does not tell."""
    try:
        fields = _kib_fields(Path("/proc/meminfo"))
        total, available = fields["MemTotal"], fields["MemAvailable"]
    except (OSError, KeyError):
        return None
    limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
    if limit is not None and used is not None and limit < total:
        total, available = limit, min(available, max(0, limit - used + _reclaimable()))
    return Room(total, available)


def n_cores() -> int:
    """Cores that this process may use: by its affinity, and by its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup, or "max"
        return cores


def gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without NVIDIA's driver."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(one.strip() for one in named.split(",") if one.strip() not in {"", "-1"})
    nodes = [path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
    return tuple(map(str, range(len(nodes))))


def _resident() -> tuple[int, int]:
    try:
        fields = _kib_fields(_STATUS)
        return fields["VmRSS"], fields["VmHWM"]
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else _KIB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return peak, peak


def _kib_fields(path: Path) -> dict[str, int]:
    """Lines such as `VmRSS:   1234 kB`, in bytes."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if line.endswith(" kB"))
    return {name: int(value.removesuffix(" kB")) * _KIB for name, value in pairs}


def _cgroup_bytes(name: str) -> int | None:
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return None


def _reclaimable() -> int:
    """Cached file pages that the container counts as its own and can do without."""
    try:
        fields = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return int(fields["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0


def _cuda() -> Any:
    """torch.cuda where this process works on a GPU; None where it does not."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # None too while torch is being imported
    return cuda if cuda is not None and cuda.is_initialized() else None
