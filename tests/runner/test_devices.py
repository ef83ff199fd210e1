"""Devices without torch: a stand-in nvidia-smi, and the limits of this machine and of containers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bracket.runner import devices as module
from bracket.runner.devices import Device, cores, devices, memory_limit, usage, workers
from tests.runner.help import with_bracket

# Answers as nvidia-smi does: the asked fields of each GPU, separated by commas.
NVIDIA_SMI = """\
import sys
gpus = [
    {"index": "0", "uuid": "GPU-aaaa", "name": "NVIDIA H200", "memory.total": "143771", "memory.used": "1024",
      "utilization.gpu": "50"},
    {"index": "1", "uuid": "GPU-bbbb", "name": "NVIDIA GB10", "memory.total": "[N/A]", "memory.used": "[N/A]",
      "utilization.gpu": "[N/A]"},
]
fields = sys.argv[1].removeprefix("--query-gpu=").split(",")
for gpu in gpus:
    print(", ".join(gpu[field] for field in fields))
"""


def _python_program(path: Path, code: str) -> None:
    """An executable that runs Python code, also where the interpreter's path holds a space (a #! line could not)."""
    script = path.with_suffix(".py")
    script.write_text(code)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(str(script))} "$@"\n')
    path.chmod(0o755)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for nvidia-smi, which may be overwritten."""
    path = tmp_path / "nvidia-smi"
    _python_program(path, NVIDIA_SMI)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return path


@pytest.mark.usefixtures("smi")
def test_gpus_are_found_with_their_memory() -> None:
    assert devices() == [
        Device("cuda:0", "cuda", "NVIDIA H200", 143771 << 20, "GPU-aaaa"),
        Device("cuda:1", "cuda", "NVIDIA GB10", 0, "GPU-bbbb"),
    ]
    assert workers() == 2
    first, second = usage().gpus
    assert (first.used, first.total, first.load) == (1 << 30, 143771 << 20, 0.5)
    assert second.load is None


@pytest.mark.usefixtures("smi")
@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ["GB10"]),
        ("1,0", ["GB10", "H200"]),
        ("GPU-aa", ["H200"]),
        ("0,7,1", ["H200"]),
        ("MIG-ab", ["MIG slice"]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_visible_gpus_are_found(visible: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [d.name.removeprefix("NVIDIA ") for d in devices() if d.kind == "cuda"] == names


@pytest.mark.parametrize("answer", ["#!/bin/sh\nexit 9\n", "#!/bin/sh\necho No devices were found\n"])
def test_a_broken_driver_is_no_gpu(smi: Path, answer: str) -> None:
    smi.write_text(answer)
    assert devices()[0].kind != "cuda"


def test_a_driver_that_hangs_is_no_gpu(smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _python_program(smi, "import time; time.sleep(60)")
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    began = time.monotonic()
    assert devices()[0].kind != "cuda"
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="affinity and cgroups")
class TestLimits:
    def test_affinity_counts(self) -> None:
        code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        code += "from bracket.runner.devices import cores; print(cores())"
        answer = subprocess.run([sys.executable, "-c", code], env=with_bracket(), capture_output=True, check=True)
        assert answer.stdout == b"1\n"

    @pytest.mark.parametrize(
        ("quota", "expected"), [("max 100000", 4), ("150000 100000", 1), ("300000 100000", 3), ("5000 100000", 1)]
    )
    def test_a_containers_quota_counts(
        self, quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cpu.max").write_text(quota + "\n")
        (tmp_path / "memory.max").write_text("2147483648\n")
        monkeypatch.setattr(module, "_CGROUPS", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
        assert cores() == expected
        assert memory_limit() == 2 << 30
        assert workers([Device("cpu", "cpu", "", 0)]) == min(expected, 2)

    def test_a_quota_of_the_first_version_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_own_cgroups", lambda: [tmp_path])
        (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
        (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
        assert module._cpu_quota() is None
        (tmp_path / "cpu.cfs_quota_us").write_text("250000\n")
        assert module._cpu_quota() == 2.5


def test_usage_of_this_machine() -> None:
    now = usage()
    assert 0 <= now.cpu <= 1
    assert 0 < now.used < now.total == psutil.virtual_memory().total


def test_torch_is_not_needed() -> None:
    code = "import sys, bracket.runner.executor; print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], env=with_bracket(), capture_output=True, check=True)
    assert answer.stdout == b"[]\n"
