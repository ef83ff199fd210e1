"""A warm worker: `python -m bracket.training.worker` imports everything once, then forks a child for each task.

Each line of JSON on stdin is a task: {"id", "module": "train", "sample" or "prepare", "args": [...], "log": path,
"env": {...}, "cwd": path}. Tasks run one at a time, in their order. On stdout, one line of JSON each: {"ready": true}
once; for a task {"id", "pid"} when its child runs and {"id", "pid", "exit", "signal"} when it ended (one of the two is
null); {"id", "error"} for a task that can't be understood. A child leads a session and process group of its own, so a
signal to -pid reaches all of it. When stdin closes, the running child's group is killed and the worker ends; when the
worker is killed, the child's group dies too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from bracket.training.process.program import Exit, limit_threads

PROGRAMS = {
    "train": "bracket.training.__main__",
    "sample": "bracket.training.sample",
    "prepare": "bracket.training.prepare",
}
_HEAVY = (
    "bracket.training.launch",
    "diffusers.optimization",
    "peft",
    "PIL.PngImagePlugin",
    "tensorboard.compat.proto.event_pb2",
    "tensorboard.summary.writer.record_writer",
    "transformers.models.qwen2.tokenization_qwen2",
    "transformers.models.qwen3.modeling_qwen3",
)


def main() -> int:
    """Serve tasks until stdin closes; returns the exit code."""
    if not hasattr(os, "fork"):
        print("This system can't fork, so there is no warm worker. Start the programs themselves.", file=sys.stderr)
        return int(Exit.BAD_INPUT)
    limit_threads()
    # Asking for devices the usual way would start CUDA here, and a forked child could then not use it.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    # What a library prints must not come between the messages.
    messages = os.dup(1)
    os.dup2(2, 1)
    _import_everything()
    worker = Worker(lambda message: _write(messages, message))
    try:
        worker.serve()
    except KeyboardInterrupt:
        return int(Exit.STOPPED)
    finally:
        worker.kill()
    return int(Exit.OK)


def _import_everything() -> None:
    """Import what the programs need, but run no torch operation: its threads would not survive a fork."""
    for name in (*PROGRAMS.values(), *_HEAVY):
        import_module(name)
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel  # noqa: F401


def _write(descriptor: int, message: Mapping[str, Any]) -> None:
    os.write(descriptor, (json.dumps(message) + "\n").encode())


@dataclass(frozen=True)
class Task:
    """One line of stdin."""

    id: str | int
    module: str
    args: Sequence[str]
    log: Path
    env: Mapping[str, str]
    cwd: str | None

    @staticmethod
    def parse(line: bytes) -> Task:
        """Raises ValueError with what is wrong with the line."""
        given = json.loads(line)
        if not isinstance(given, dict) or not {"id", "module", "log"} <= given.keys():
            raise ValueError("a task needs id, module and log")
        if given["module"] not in PROGRAMS:
            raise ValueError(f"unknown module {given['module']!r}; known: {', '.join(PROGRAMS)}")
        arguments = [str(a) for a in given.get("args", [])]
        log = Path(given["log"])
        return Task(given["id"], given["module"], arguments, log, given.get("env") or {}, given.get("cwd"))


class Worker:
    """Reads tasks, forks, reaps. It waits without polling: stdin and ended children both wake it."""

    def __init__(self, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._tasks: deque[Task] = deque()
        self._running: tuple[Task, int] | None = None
        # A child holds the reading end; when the worker is gone, killed or not, that end says so.
        self._life_read, self._life_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Run tasks until stdin closes."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._say({"ready": True})
        unfinished = b""
        while True:
            if self._running is None and self._tasks:
                self._start(self._tasks.popleft())
            ready, _, _ = select.select([0, self._wake_read], [], [])
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                self._reap()
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    return
                *lines, unfinished = (unfinished + data).split(b"\n")
                for line in filter(bytes.strip, lines):
                    self._take(line)

    def kill(self) -> None:
        """End the running child with all it started."""
        if self._running:
            _, pid = self._running
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._running = None

    def _take(self, line: bytes) -> None:
        try:
            self._tasks.append(Task.parse(line))
        except ValueError as error:
            with contextlib.suppress(ValueError, AttributeError):
                self._say({"id": json.loads(line).get("id"), "error": str(error)})
                return
            self._say({"id": None, "error": str(error)})

    def _start(self, task: Task) -> None:
        started_read, started_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(started_read)
            os.close(self._life_write)
            _run_child(task, started_write, self._life_read)
        os.close(started_write)
        # Whoever is told the pid may signal its group at once, so the group must exist by then.
        os.read(started_read, 1)
        os.close(started_read)
        self._running = task, pid
        self._say({"id": task.id, "pid": pid})

    def _reap(self) -> None:
        if self._running is None:
            return
        task, pid = self._running
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            self._running = None
            code = os.waitstatus_to_exitcode(status)
            by_signal = code < 0
            self._say(
                {
                    "id": task.id,
                    "pid": pid,
                    "exit": None if by_signal else code,
                    "signal": -code if by_signal else None,
                }
            )


def _run_child(task: Task, started: int, life: int) -> NoReturn:
    """Run a program in the forked child and leave; the worker's own stack is never returned to."""
    code = int(Exit.FAILED)
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        _redirect(task.log)
        os.close(started)
        threading.Thread(target=_die_with_worker, args=(life,), daemon=True).start()
        os.environ.update({k: str(v) for k, v in task.env.items()})
        if task.cwd:
            os.chdir(task.cwd)
        code = import_module(PROGRAMS[task.module]).main(task.args)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(Exit.FAILED)
    except KeyboardInterrupt:
        code = int(Exit.STOPPED)
    except BaseException:  # noqa: BLE001 (a process's edge: what went wrong goes to its log)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _die_with_worker(life: int) -> None:
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
