from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from bracket.errors import DatasetError, StorageError
from bracket.training.process.program import Exit, is_out_of_memory, limit_threads, run


def ends(error: BaseException) -> int:
    def body() -> NoReturn:
        raise error

    return run(body)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DatasetError("A picture can't be read", path="a.png"), 2, "A picture can't be read (a.png)."),
        (StorageError("The disk is full", path="out"), 1, "The disk is full (out)."),
        (OSError(errno.ENOSPC, "No space left on device", "cache/x"), 1, "The disk is full (cache/x)"),
        (KeyboardInterrupt(), 130, "Stopped"),
        (MemoryError(), 4, "Out of memory: MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), 4, "Out of memory: CUDA out of memory. Tried"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), 4, "Out of memory"),
    ],
)
def test_each_end_has_its_code_and_one_sentence(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(error) == code
    told = capsys.readouterr().err.strip()
    assert told.startswith(said) and "\n" not in told


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        ends(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_a_body_that_ends_well() -> None:
    assert run(lambda: Exit.OK) == 0


def test_threads_are_limited_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    limit_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("1", "ACTIVE")


def test_a_bad_config_is_told_without_importing_torch(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("nonsense: 1")
    code = (
        "import sys; from bracket.training.__main__ import main; "
        f"code = main([{str(path)!r}]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    root = str(Path(__file__).parents[3])
    env = {**os.environ, "PYTHONPATH": root}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("Unknown key nonsense")
