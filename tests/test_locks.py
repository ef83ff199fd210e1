"""Locks held by living processes: starts at once, kill -9, moved clocks, folders without locks."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bracket import locks
from bracket.environment import child_env
from bracket.errors import SessionBusy, StorageError
from bracket.session.control import Lock, Progress, running_process, write_progress

RACER = """
import sys, time
from pathlib import Path
from bracket.errors import SessionBusy, StorageError
from bracket.session.control import Lock
folder = Path(sys.argv[1])
while sys.stdin.readline():  # each line is a start for everybody
    try:
        with Lock(folder):
            print("held", flush=True)
            sys.stdin.readline()
    except SessionBusy:
        print("busy", flush=True)
"""
HOLDER = """
import sys, time
from pathlib import Path
from bracket.session.control import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def _program(code: str, folder: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(argv, env=child_env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(program: subprocess.Popen[str], line: str) -> None:
    assert program.stdin is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = _program(HOLDER, tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "rounds"), [(2, 40), (8, 20)])
def test_of_many_starts_at_once_one_holds_it(tmp_path: Path, racers: int, rounds: int) -> None:
    programs = [_program(RACER, tmp_path) for _ in range(racers)]
    try:
        for _ in range(rounds):
            for one in programs:
                _tell(one, "go")
            said = [one.stdout.readline().strip() for one in programs if one.stdout]
            assert sorted(said) == ["busy"] * (racers - 1) + ["held"]
            _tell(programs[said.index("held")], "let go")
            while running_process(tmp_path) is not None:
                time.sleep(0.01)
    finally:
        for one in programs:
            one.kill()
            one.wait()


def test_a_kill_frees_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert running_process(tmp_path) == holder.pid
    with pytest.raises(SessionBusy, match=f"already running \\(process {holder.pid}\\)"), Lock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert running_process(tmp_path) is None
    with Lock(tmp_path):
        assert running_process(tmp_path) == os.getpid()
    assert running_process(tmp_path) is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", [-3600.0, -1.5, 1.5, 3600.0])
def test_a_clock_that_is_put_back_or_forward_changes_nothing(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    now, began = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: now() + step)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began(self) + step)
    assert running_process(tmp_path) == holder.pid
    with pytest.raises(SessionBusy), Lock(tmp_path):
        pass


@pytest.mark.parametrize(
    "left",
    [
        '{"pid": OURS, "started": 1.0}',  # an earlier bracket's, its number in use again
        '{"pid": 4194305, "started": 1.0}',
        '{"pid": OURS}',
        "half a li",
        "",
        "[1]",
    ],
)
def test_what_a_dead_process_left_blocks_nobody(tmp_path: Path, left: str) -> None:
    (tmp_path / "lock").write_text(left.replace("OURS", str(os.getpid())))
    assert running_process(tmp_path) is None
    with Lock(tmp_path):
        assert running_process(tmp_path) == os.getpid()


def test_a_pipe_or_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        folder = tmp_path / make.__name__
        folder.mkdir()
        make(folder / "lock")
        assert running_process(folder) is None
        with pytest.raises(StorageError), Lock(folder):
            pass


def test_looking_never_keeps_anybody_from_starting(tmp_path: Path) -> None:
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            running_process(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for one in lookers:
        one.start()
    try:
        for _ in range(50):
            with Lock(tmp_path):
                pass
    finally:
        done.set()
        for one in lookers:
            one.join()


def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    assert running_process(tmp_path) is None and running_process(tmp_path / "nowhere") is None
    assert not list(tmp_path.iterdir())


def test_a_folder_without_locks_is_locked_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, remote = locks._lock, tmp_path / "remote"

    def none_there(file: int, shared: bool) -> None:
        if Path(os.readlink(f"/proc/self/fd/{file}")).is_relative_to(remote):
            raise OSError(errno.ENOTSUP, "no locks here")
        real(file, shared)

    if sys.platform != "linux":
        pytest.skip("names the open file by /proc")
    monkeypatch.setattr(locks, "_lock", none_there)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remote.mkdir()
    with Lock(remote):
        assert running_process(remote) == os.getpid()
        with pytest.raises(SessionBusy), Lock(remote):
            pass
    assert running_process(remote) is None


@pytest.mark.slow
def test_files_that_several_add_to_lose_nothing(tmp_path: Path) -> None:
    code = """
import sys
from bracket.session.timing import Measure, remember
for i in range(5):
    remember("p", "cpu", [Measure(int(sys.argv[1]) * 10 + i + 1, 1.0, 1.0)])
"""
    env = {**child_env(), "BRACKET_CACHE": str(tmp_path)}
    programs = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=env) for n in range(6)]
    assert [one.wait() for one in programs] == [0] * 6
    found = json.loads((tmp_path / "timings.json").read_text())["p|cpu"]
    assert sorted(m["steps"] for m in found) == sorted(n * 10 + i + 1 for n in range(6) for i in range(5))


def test_a_last_word_counts_only_from_the_process_that_runs(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    from bracket.session import view

    write_progress(tmp_path, Progress("done", "done"))  # by this process, not by the holder
    assert view._state(tmp_path, Progress("done", "done", by=os.getpid()), None) == "running"
    assert view._state(tmp_path, Progress("done", "done", by=holder.pid), None) == "done"
