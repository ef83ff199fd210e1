"""What every executor must do, and what the local one's warm workers add."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bracket.domain import Launch
from bracket.errors import TrainerError
from bracket.runner.devices import Device
from bracket.runner.executor import Executor, Handle, LocalExecutor, for_device
from bracket.runner.processes.launched import Exit, exit_files, read_exit
from tests.runner.help import until, with_bracket

CPU = Device("cpu", "cpu", "a processor", 8 << 30)
WORKER = (sys.executable, "-S", str(Path(__file__).with_name("worker.py")))
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and a subreaper")

Make = Callable[..., Launch]

TRAINER = """
import os, signal, sys, time
for name, value in (pair.split("=") for pair in sys.argv[1:]):
    if name == "ignore":
        signal.signal(getattr(signal, value), signal.SIG_IGN)
    elif name == "family":
        if os.fork() == 0:
            os.setsid()
            open(value, "w").write(str(os.getpid()))
            time.sleep(100)
        while not (os.path.exists(value) and os.path.getsize(value)):
            time.sleep(0.01)
    elif name == "show":
        print(os.environ.get(value))
    elif name == "touch":
        open(value, "w").write(str(os.getpid()))
    elif name == "sleep":
        try:
            time.sleep(float(value))
        except KeyboardInterrupt:
            print("saved", flush=True)
            sys.exit(130)
    elif name == "signal":
        os.kill(os.getpid(), int(value))
    elif name == "exit":
        sys.exit(int(value))
"""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A launch of the small trainer above, which an executor may run cold or warm."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)

    def launch(*arguments: str, name: str = "launch", **fields: object) -> Launch:
        argv = (sys.executable, "-S", str(script), *arguments)
        log = tmp_path / f"{name}.log"
        return Launch((), argv, tmp_path, log, warm_task=(str(script), *arguments), **fields)  # type: ignore[arg-type]

    return launch


@pytest.fixture(params=["cold", pytest.param("warm", marks=linux)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    executor = LocalExecutor(2, worker=WORKER, warm=request.param == "warm")
    yield executor
    executor.close()


def end_of(handle: Handle, seconds: float = 30.0) -> Exit:
    until(lambda: handle.poll() is not None, seconds)
    end = handle.poll()
    assert end is not None
    return end


def test_an_exit_code_is_told_and_recorded(executor: Executor, make: Make) -> None:
    handle = executor.submit(make("exit=3"), CPU)
    end = end_of(handle)
    assert (end.code, end.signal) == (3, None)
    assert handle.poll() == end
    assert read_exit(exit_files(handle.launch)[0]) is not None
    assert json.loads(exit_files(handle.launch)[0].read_bytes())["code"] == 3


def test_a_signal_is_told(executor: Executor, make: Make) -> None:
    end = end_of(executor.submit(make("signal=11"), CPU))
    assert (end.code, end.signal) == (None, 11)


def test_it_sees_its_device_and_the_launchs_environment(executor: Executor, make: Make) -> None:
    launch = make("show=OMP_NUM_THREADS", "show=CUDA_VISIBLE_DEVICES", "show=A", env={"A": "b c"})
    end_of(executor.submit(launch, CPU))
    assert launch.log.read_text() == "1\n\nb c\n"


def test_several_run_at_once(executor: Executor, make: Make, tmp_path: Path) -> None:
    handles = [executor.submit(make(f"touch={name}", "sleep=100", name=name), CPU) for name in ("a", "b", "c")]
    until(lambda: all((tmp_path / name).exists() for name in "abc"))
    assert [handle.poll() for handle in handles] == [None] * 3


def test_one_after_the_other_goes_into_one_log(executor: Executor, make: Make) -> None:
    for value in ("1", "2"):
        assert end_of(executor.submit(make("show=A", env={"A": value}), CPU)).code == 0
    assert make().log.read_text() == "1\n2\n"


def test_a_stop_lets_it_save(executor: Executor, make: Make, tmp_path: Path) -> None:
    handle = executor.submit(make("touch=ready", "sleep=100"), CPU)
    until((tmp_path / "ready").exists)
    handle.stop(10)
    handle.stop(10)
    assert end_of(handle).code == 130
    assert handle.launch.log.read_text() == "saved\n"
    handle.stop()


def test_a_stop_ends_who_ignores_it(executor: Executor, make: Make, tmp_path: Path) -> None:
    handle = executor.submit(make("ignore=SIGINT", "ignore=SIGTERM", "touch=ready", "sleep=100"), CPU)
    until((tmp_path / "ready").exists)
    handle.stop(60)
    time.sleep(0.1)
    assert handle.poll() is None
    handle.stop(0.2)
    assert end_of(handle).signal == signal.SIGKILL


def test_a_stop_before_anything_ran_is_a_stop(executor: Executor, make: Make) -> None:
    handle = executor.submit(make("sleep=100"), CPU)
    handle.stop(0)
    end_of(handle)
    handle = executor.submit(make("exit=0"), CPU)
    assert end_of(handle).code == 0, "later launches are not affected"


@linux
def test_its_end_is_the_end_of_all_it_started(executor: Executor, make: Make, tmp_path: Path) -> None:
    end_of(executor.submit(make("family=pid"), CPU))
    until(lambda: not runs(int((tmp_path / "pid").read_text())))


@linux
def test_close_ends_everything(executor: Executor, make: Make, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for name in names:
        executor.submit(make("ignore=SIGINT", f"family={name}-child", f"touch={name}", "sleep=100", name=name), CPU)
    until(lambda: all((tmp_path / name).exists() for name in names))
    executor.close(0.2)
    for name in (*names, *(f"{name}-child" for name in names)):
        assert not runs(int((tmp_path / name).read_text()))


def test_progress_and_silence_come_from_its_files(executor: Executor, make: Make) -> None:
    handle = executor.submit(make("sleep=100", expected_steps=14), CPU)
    progress = handle.progress()
    assert (progress.step, progress.total, progress.phase) == (0, 14, "starting")
    time.sleep(0.1)
    assert handle.silent_seconds() >= 0.1
    with open(handle.launch.log, "a") as log:
        log.write("steps:  50%|#####     | 7/14 [00:05<00:05,  1.40it/s, avr_loss=1.07]\r")
    progress = handle.progress()
    assert (progress.step, progress.total, progress.loss) == (7, 14, 1.07)
    assert handle.silent_seconds() < 0.1


def test_a_missing_program_is_told_at_once(executor: Executor, make: Make) -> None:
    with pytest.raises(TrainerError, match="no/such/python"):
        executor.submit(replace(make(), argv=("no/such/python",)), CPU)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True])
def test_nothing_survives_a_killed_bracket(warm: bool, make: Make, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    launch = make("ignore=SIGINT", "family=child", "touch=ready", "sleep=100")
    script.write_text(
        textwrap.dedent(f"""
        import time
        from pathlib import Path, PosixPath
        from bracket.domain import Launch
        from bracket.runner.devices import Device
        from bracket.runner.executor import LocalExecutor
        executor = LocalExecutor(2, worker={WORKER!r}, warm={warm})
        handle = executor.submit({launch!r}, {CPU!r})
        time.sleep(100)
        """)
    )
    bracket = subprocess.Popen([sys.executable, str(script)], env=with_bracket())
    until((tmp_path / "ready").exists)
    family = psutil.Process(bracket.pid).children(recursive=True)
    assert len(family) == (4 if warm else 3), "guard, (worker,) trainer, its child"
    bracket.kill()
    bracket.wait()
    until(lambda: not any(runs(process.pid) for process in family))


def test_a_launch_for_a_gpu_sees_no_other(make: Make) -> None:
    gpu = Device("cuda:1", "cuda", "a GPU", 24 << 30, uuid="GPU-abc")
    assert for_device(make(), gpu).env == {"CUDA_VISIBLE_DEVICES": "GPU-abc"}
    assert for_device(make(env={"OMP_NUM_THREADS": "4"}), CPU).env["OMP_NUM_THREADS"] == "4"


@linux
class TestWarmWorkers:
    @pytest.fixture
    def executor(self) -> Iterator[LocalExecutor]:
        with LocalExecutor(1, worker=WORKER) as executor:
            yield executor

    def test_one_worker_serves_one_launch_after_the_other(self, executor: LocalExecutor, make: Make) -> None:
        workers = set()
        for _ in range(3):
            end_of(executor.submit(make(), CPU))
            workers.add(tuple(worker.process.pid for _, worker in executor._warm_workers))
        assert len(workers) == 1
        assert len(next(iter(workers))) == 1

    def test_a_launch_without_a_warm_task_runs_cold(self, executor: LocalExecutor, make: Make) -> None:
        assert end_of(executor.submit(replace(make("exit=4"), warm_task=None), CPU)).code == 4
        assert executor._warm_workers == []

    def test_a_refused_task_runs_cold(self, executor: LocalExecutor, make: Make) -> None:
        handle = executor.submit(replace(make("exit=4"), warm_task=("unknown",)), CPU)
        assert end_of(handle).code == 4
        assert end_of(executor.submit(make("exit=5"), CPU)).code == 5
        record = read_exit(exit_files(handle.launch)[0])
        assert record is not None
        assert record.code == 5

    def test_a_launch_whose_worker_dies_starts_over_cold(self, executor: LocalExecutor, make: Make) -> None:
        launch = make("show=A", "exit=4", env={"A": "cold"})
        assert launch.warm_task is not None
        launch = replace(launch, warm_task=(launch.warm_task[0], "kill the worker"))
        assert end_of(executor.submit(launch, CPU)).code == 4
        assert "cold" in launch.log.read_text()
        assert end_of(executor.submit(make("exit=5", name="next"), CPU)).code == 5

    def test_workers_that_never_start_are_given_up(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        with LocalExecutor(1, worker=(*WORKER, "broken")) as executor:
            for _ in range(5):
                assert end_of(executor.submit(make("exit=4"), CPU)).code == 4
        deaths = [record.message for record in caplog.records if "a warm worker died" in record.message]
        assert len(deaths) == 3
        assert "ImportError: no module named torch" in deaths[0]

    def test_a_stop_does_not_wait_for_a_worker_that_still_starts(self, make: Make) -> None:
        with LocalExecutor(1, worker=(*WORKER, "slow")) as executor:
            handle = executor.submit(make("exit=0"), CPU)
            handle.stop(20)
            assert end_of(handle).signal == signal.SIGINT


@linux
@pytest.mark.slow
def test_the_real_worker_speaks_the_protocol(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    argv = (sys.executable, "-m", "bracket.training", missing)
    launch = Launch((), argv, Path.cwd(), tmp_path / "launch.log", warm_task=("train", missing))
    with LocalExecutor(1) as executor:
        for _ in range(2):
            assert end_of(executor.submit(launch, CPU), 90).code == 2
        assert [worker.dismissed for _, worker in executor._warm_workers] == [False]
    first, second = launch.log.read_text().splitlines()
    assert first == second
    assert missing in first


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.Error):
        return False
