from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bracket.training.worker import Task

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a warm worker needs fork")
Config = dict[str, Any]


class Warm:
    """A worker as its user sees it: lines of JSON in and out."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bracket.training.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            text=True,
            bufsize=1,
        )
        assert self.process.stdin and self.process.stdout
        self._in, self._out = self.process.stdin, self.process.stdout
        assert self.hear() == {"ready": True}

    def ask(self, **task: object) -> None:
        self._in.write(json.dumps(task) + "\n")

    def say(self, line: str) -> None:
        self._in.write(line)

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._out.readline())
        return heard

    def close(self) -> None:
        self._in.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    worker = Warm()
    yield worker
    worker.close()
    assert worker.process.wait(20) == 0


@pytest.fixture
def written(config: Config, tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**config, **changes}))
        return path

    return write


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_tasks_run_in_turn_and_equal_a_process_of_their_own(
    warm: Warm, written: Callable[..., Path], train: Callable[..., int], config: Config, tmp_path: Path
) -> None:
    path = written()
    for number in (1, 2):
        arguments = [path.name, "--set", f"output_dir={tmp_path / str(number)}"]
        warm.ask(
            id=number, module="train", args=arguments, log=str(tmp_path / "logs" / f"{number}.log"), cwd=str(tmp_path)
        )
    for number in (1, 2):
        started, ended = warm.hear(), warm.hear()
        assert started == {"id": number, "pid": ended["pid"]}
        assert ended == {"id": number, "pid": started["pid"], "exit": 0, "signal": None}
    assert "training" in (tmp_path / "logs" / "1.log").read_text()
    assert train(config) == 0
    weights = "checkpoints/final/pytorch_lora_weights.safetensors"
    expected = (Path(config["output_dir"]) / weights).read_bytes()
    assert [(tmp_path / n / weights).read_bytes() for n in "12"] == [expected] * 2


def test_a_task_that_fails_tells_its_code_and_its_log_why(warm: Warm, tmp_path: Path) -> None:
    log = tmp_path / "l.log"
    warm.ask(id="x", module="train", args=[str(tmp_path / "none.yaml")], log=str(log))
    warm.hear()
    assert warm.hear()["exit"] == 2
    assert "none.yaml" in log.read_text()
    warm.ask(id="y", module="prepare", args=["--nonsense"], log=str(log))
    warm.hear()
    assert warm.hear()["exit"] == 2


def test_what_it_cannot_understand_is_told(warm: Warm) -> None:
    warm.ask(id=7, module="format", log="x")
    assert warm.hear() == {"id": 7, "error": "unknown module 'format'; known: train, sample, prepare"}
    warm.say("nonsense\n")
    assert warm.hear()["id"] is None
    with pytest.raises(ValueError, match="needs id"):
        Task.parse(b"{}")


def long_task(warm: Warm, path: Path, log: Path) -> int:
    """Start a trial of many steps; returns its pid once it trains."""
    arguments = [str(path), "--set", "train.steps=100000"]
    warm.ask(id="long", module="train", args=arguments, log=str(log))
    pid: int = warm.hear()["pid"]
    assert os.getpgid(pid) == pid
    assert wait_for(lambda: "training" in log.read_text())
    return pid


@pytest.mark.slow
def test_a_signal_to_the_group_stops_a_trial_with_a_checkpoint(
    warm: Warm, written: Callable[..., Path], config: Config, tmp_path: Path
) -> None:
    pid = long_task(warm, written(), tmp_path / "l.log")
    time.sleep(0.3)
    os.killpg(pid, signal.SIGINT)
    assert warm.hear() == {"id": "long", "pid": pid, "exit": 130, "signal": None}
    assert list((Path(config["output_dir"]) / "checkpoints").glob("step-*/complete"))
    pid = long_task(warm, written(output_dir=str(tmp_path / "other")), tmp_path / "m.log")
    os.killpg(pid, signal.SIGKILL)
    assert warm.hear() == {"id": "long", "pid": pid, "exit": None, "signal": 9}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stdin closes", "killed"])
def test_nothing_survives_the_worker(how: str, written: Callable[..., Path], tmp_path: Path) -> None:
    worker = Warm()
    pid = long_task(worker, written(), tmp_path / "l.log")
    if how == "killed":
        worker.process.kill()
    else:
        worker.close()
    assert worker.process.wait(20) == (-signal.SIGKILL if how == "killed" else 0)
    assert wait_for(lambda: not alive(pid), 10)
