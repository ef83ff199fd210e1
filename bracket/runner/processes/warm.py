"""Runs tasks in a worker that has imported everything already and forks a child for each.

The worker (`python -m bracket.training.worker`) reads one JSON line a task, {"id", "module", "args", "log", "env",
"cwd"}, and writes {"ready": true}, then for each task {"id", "pid"} and at last {"id", "pid", "exit", "signal"}, or
{"id", "error"} when it can't run it. The child leads its own process group. The worker runs under a guard like any
launch; its input is a pipe of its own, which the guard only hands on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from bracket.domain import Launch
from bracket.runner.processes.guard import TERMINATE
from bracket.runner.processes.launched import ENVIRONMENT, MARK, Exit, exit_files, start, write_exits

_log = logging.getLogger(__name__)
_INTERRUPTED, _KILLED = 2, 9  # signal numbers


class WarmTask:
    """A launch that runs, or waits to run, in a warm worker."""

    def __init__(self, worker: WarmWorker, launch: Launch) -> None:
        self.worker, self.launch = worker, launch
        self.pid: int | None = None
        self.stopped = False
        self._refused = False
        self._grace = 0.0
        self._exit: Exit | None = None
        self._ended = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the worker will never run it to an end: it refused it, or is gone with all it ran."""
        return self._refused or (self.worker.gone and not self._ended.is_set())

    @property
    def over(self) -> bool:
        """Whether the worker is done with it."""
        return self._refused or self._ended.is_set()

    def poll(self) -> Exit | None:
        """How the task ended, else None; that of a lost task is a SIGKILL."""
        if self.lost:
            self.finish(Exit(None, _INTERRUPTED if self.stopped else _KILLED, time.time()))
        return self._exit

    def stop(self, grace: float = 20.0) -> None:
        """As `Process.stop`, for the task's group alone. A task that still waits for its worker takes it along."""
        if self.stopped:
            self._grace = min(self._grace, grace)
            return
        self.stopped, self._grace = True, grace
        if self.pid is None:
            self.worker.close(0.0)
        else:
            threading.Thread(target=self._climb, args=(self.pid,), daemon=True).start()

    def begin(self, pid: int) -> None:
        """The worker says that the task runs as this process."""
        self.pid = pid

    def refuse(self) -> None:
        """The worker says that it can't run the task."""
        self._refused = True

    def finish(self, exit: Exit) -> None:
        """The task is over: records its end, then lets `poll` tell."""
        write_exits(exit_files(self.launch), exit)
        self._exit = exit
        self._ended.set()

    def _climb(self, pid: int) -> None:
        if sys.platform == "win32":
            return  # there are no warm workers
        for number, part in ((signal.SIGINT, 1.0), (signal.SIGTERM, TERMINATE), (signal.SIGKILL, 0.0)):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            began = time.monotonic()
            while time.monotonic() < began + self._grace * part:
                if self._ended.wait(0.02):
                    return


class WarmWorker:
    """One worker, which runs one task at a time.

    Args:
        launch: the worker's own command and log.

    Raises:
        TrainerError, StorageError: it can't be started.
    """

    def __init__(self, launch: Launch) -> None:
        self.log = launch.log
        self.dismissed = False
        self._task: WarmTask | None = None
        read_end, write_end = os.pipe()
        self._input = os.fdopen(write_end, "wb", buffering=0)
        try:
            self.process = start(launch, stdin=read_end, pipe_output=True)
        except BaseException:
            self._input.close()
            raise
        finally:
            os.close(read_end)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def gone(self) -> bool:
        """Whether nothing of the worker is left, and all it said was heard."""
        return not self.process.alive and not self._listener.is_alive()

    @property
    def idle(self) -> bool:
        """Whether it can take a task."""
        return self.process.alive and not self.dismissed and (self._task is None or self._task.over)

    def run(self, launch: Launch) -> WarmTask:
        """Hands it a launch with a `warm_task`; returns at once, also while the worker still starts."""
        assert launch.warm_task is not None
        module, *arguments = launch.warm_task
        for path in (launch.log, *exit_files(launch)):
            path.parent.mkdir(parents=True, exist_ok=True)
        for path in exit_files(launch):
            path.unlink(missing_ok=True)
        self._task = task = WarmTask(self, launch)
        log = str(launch.log.absolute())
        order = {
            "id": str(id(task)),
            "module": module,
            "args": arguments,
            "log": log,
            "env": {**ENVIRONMENT, **launch.env, MARK: log},
            "cwd": str(launch.cwd),
        }
        with suppress(BrokenPipeError):  # it just died: the task is then lost, which its handle sees
            self._input.write(json.dumps(order).encode() + b"\n")
        return task

    def close(self, grace: float = 2.0) -> None:
        """Lets it end, and stops it when it doesn't; returns at once."""
        self.dismissed = True
        self._input.close()
        self.process.stop(grace)

    def _listen(self) -> None:
        for line in self.process.output:
            try:
                message = json.loads(line)
            except ValueError:
                _log.warning("a warm worker wrote %r instead of a message", line[:200])
                continue
            self._take(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        task = self._task
        if task is not None and message.get("id") == str(id(task)):
            if "error" in message:
                _log.warning("a warm worker refused %s: %s", task.launch.log, message["error"])
                task.refuse()
            elif "exit" in message:
                self._kill_orphans()
                task.finish(Exit(message["exit"], message["signal"], time.time()))
            else:
                task.begin(message["pid"])

    def _kill_orphans(self) -> None:
        """Kills what an ended task left: the guard adopted it, beside the worker, which is its first child."""
        with suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children()
            for orphan in sorted(children, key=lambda child: child.create_time())[1:]:
                for process in [*orphan.children(recursive=True), orphan]:
                    with suppress(psutil.Error):
                        process.kill()
