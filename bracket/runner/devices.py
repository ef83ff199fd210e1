"""What can train here, and how busy it is; without torch, so that the app and the runner stay light."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

MEMORY_PER_WORKER = 1 << 30
"""RAM a CPU worker of the built-in trainer needs, in bytes; a machine with less than that per core gets fewer."""
_TIMEOUT = 5.0
_SHORTEST = 0.25
"""Seconds over which a load means something."""
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Device:
    """Something a trial can train on.

    Attributes:
        id: "cuda:0", "mps" or "cpu"; CUDA devices are counted as CUDA_VISIBLE_DEVICES leaves them.
        memory: bytes of the device's own memory, of RAM for mps and cpu; 0 when unknown.
        uuid: what CUDA_VISIBLE_DEVICES takes to mean this device alone; "" for others than CUDA.
    """

    id: str
    kind: Literal["cuda", "mps", "cpu"]
    name: str
    memory: int
    uuid: str = ""


@dataclass(frozen=True)
class GpuUsage:
    """One GPU at this moment: its memory in bytes, its load from 0 to 1 (None when the driver doesn't say)."""

    name: str
    used: int
    total: int
    load: float | None


@dataclass(frozen=True)
class Usage:
    """The machine at this moment: CPU load from 0 to 1 over all cores, RAM in bytes, and each GPU."""

    cpu: float
    used: int
    total: int
    gpus: tuple[GpuUsage, ...]


def devices() -> list[Device]:
    """What to train on, best first: every visible NVIDIA GPU, else Apple's GPU, else the CPU. Never empty."""
    found = [
        Device(f"cuda:{number}", "cuda", row["name"], _mebibytes(row["memory.total"]), row["uuid"])
        for number, row in enumerate(_visible(_nvidia_smi("index", "uuid", "name", "memory.total")))
    ]
    if found:
        return found
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return [Device("mps", "mps", "Apple GPU", memory_limit())]
    return [Device("cpu", "cpu", _cpu_name(), memory_limit())]


def workers(found: list[Device] | None = None) -> int:
    """How many launches may run at once: one per GPU; on a CPU a single-threaded one per core, as far as RAM goes."""
    found = devices() if found is None else found
    if found[0].kind != "cpu":
        return len(found)
    return max(1, min(cores(), memory_limit() // MEMORY_PER_WORKER))


def cores() -> int:
    """CPU cores this process may use: its affinity, cut by a container's CPU quota; at least 1."""
    allowed = os.cpu_count() or 1
    if sys.platform == "linux":
        allowed = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    return max(1, min(allowed, int(quota)) if quota else allowed)


def memory_limit() -> int:
    """Bytes of RAM this process may use: the machine's, cut by a container's limit."""
    total: int = psutil.virtual_memory().total
    limits = [_number(folder / name) for folder in _own_cgroups() for name in ("memory.max", "memory.limit_in_bytes")]
    return int(min([total, *(limit for limit in limits if limit)]))


def usage() -> Usage:
    """Load and memory now. The CPU's load is that since a call a moment before, whoever made it."""
    memory = psutil.virtual_memory()
    gpus = tuple(
        GpuUsage(
            row["name"], _mebibytes(row["memory.used"]), _mebibytes(row["memory.total"]), _load(row["utilization.gpu"])
        )
        for row in _visible(_nvidia_smi("index", "uuid", "name", "memory.used", "memory.total", "utilization.gpu"))
    )
    return Usage(_cpu_load(), memory.total - memory.available, memory.total, gpus)


_busy: tuple[float, float, float] | None = None
"""The CPU's seconds at work, all its seconds, and the load, as last measured."""
_busy_lock = threading.Lock()


def _cpu_load() -> float:
    """From 0 to 1. psutil's own measures between two calls of the same thread, and a server has many."""
    global _busy
    with _busy_lock:
        while True:
            times = psutil.cpu_times()
            whole = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
            work = whole - times.idle - getattr(times, "iowait", 0.0)
            if _busy is not None and whole - _busy[1] < _SHORTEST * (os.cpu_count() or 1):
                return _busy[2]
            if _busy is not None:
                _busy = (work, whole, min(1.0, max(0.0, (work - _busy[0]) / (whole - _busy[1]))))
                return _busy[2]
            _busy = (work, whole, 0.0)
            time.sleep(1.2 * _SHORTEST)


def _nvidia_smi(*fields: str) -> list[dict[str, str]]:
    """One row a GPU; nothing when there is no driver or it doesn't answer in time."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = csv.reader(answer.splitlines(), skipinitialspace=True)
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def _visible(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows CUDA would show, in its order: CUDA_VISIBLE_DEVICES lists indices or the start of a uuid.

    A slice of a GPU (MIG) is named there alone; nvidia-smi's query doesn't list it, so its size stays unknown.
    """
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return rows
    chosen = []
    for entry in filter(None, (part.strip() for part in wanted.split(","))):
        row = next((row for row in rows if row["index"] == entry or row["uuid"].startswith(entry)), None)
        if row is None and rows and entry.startswith("MIG-"):
            row = dict.fromkeys(rows[0], "[N/A]") | {"name": "NVIDIA MIG slice", "uuid": entry}
        if row is None:
            break  # CUDA ignores everything from the first unknown one on
        chosen.append(row)
    return chosen


def _mebibytes(text: str) -> int:
    return int(text) << 20 if text.isdigit() else 0


def _load(text: str) -> float | None:
    return int(text) / 100 if text.isdigit() else None


def _cpu_name() -> str:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def _own_cgroups() -> list[Path]:
    """Folders that may hold a limit of ours: our cgroup and those above it, of version 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own = _CGROUPS / controller / path.lstrip("/")
            # In a container the path may be one of the host's: the limits then show at the root.
            folders += [own, *(parent for parent in own.parents if parent.is_relative_to(_CGROUPS))]
    return list(dict.fromkeys(folders))


def _cpu_quota() -> float | None:
    """Cores' worth of CPU time a container grants; None for no limit."""
    quotas = []
    for folder in _own_cgroups():
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            quotas += [int(quota) / int(period)] if quota != "max" else []
        except (OSError, ValueError):
            whole, slice_ = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
            quotas += [whole / slice_] if whole and slice_ else []
    return min(quotas, default=None)


def _number(path: Path) -> int | None:
    """The positive number in a file; None for "max", -1 or no file."""
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return None
    return number if number > 0 else None
