"""Runs launches: the protocol, and the executor for one machine."""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bracket.domain import Launch
from bracket.errors import BracketError
from bracket.runner import devices
from bracket.runner.devices import Device
from bracket.runner.processes.launched import Exit, Process, check, start
from bracket.runner.processes.warm import WarmTask, WarmWorker
from bracket.runner.reading.cause import cause
from bracket.runner.reading.tail import last_lines
from bracket.runner.reading.watch import Progress, Watch

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[2]
_WORKER = (sys.executable, "-m", "bracket.training.worker")
_CAN_FORK = sys.platform == "linux"  # macOS has fork, but its frameworks crash in the child
_TOO_MANY_DEATHS = 3


class Handle(Protocol):
    """A submitted launch."""

    launch: Launch

    def poll(self) -> Exit | None:
        """How it ended, once nothing of it is left; None before."""

    def stop(self, grace: float = 20.0) -> None:
        """Asks for a stop and returns at once: an interrupt, `grace` seconds later harder signals. May be repeated."""

    def progress(self) -> Progress:
        """How far it is."""

    def silent_seconds(self) -> float:
        """Seconds since it last gave a sign of life (its log or event files grew)."""


class Executor(Protocol):
    """Runs launches somewhere.

    Attributes:
        workers: how many launches it means to run at once; the caller keeps to it.
    """

    workers: int

    def submit(self, launch: Launch, device: Device) -> Handle:
        """Starts a launch that sees this device and no other; returns at once.

        Raises:
            TrainerError: the program or the working folder is missing.
            StorageError: its files can't be written.
        """

    def close(self, grace: float = 5.0) -> None:
        """Stops everything and returns when nothing of it is left."""


class LocalHandle:
    """A launch on this machine, as a process of its own or as a warm worker's task."""

    def __init__(self, launch: Launch, run: Process | WarmTask) -> None:
        self.launch, self._run = launch, run
        self.ended = False
        self._watch = Watch(launch)

    def poll(self) -> Exit | None:
        """See `Handle`. A task whose warm worker died under it is started over, once, as a process of its own."""
        if isinstance(self._run, WarmTask) and self._run.lost and not self._run.stopped:
            _log.warning("the warm worker died; %s starts over without it", self.launch.log)
            self._run = start(self.launch)
        exit = self._run.poll()
        self.ended = exit is not None
        return exit

    def stop(self, grace: float = 20.0) -> None:
        """See `Handle`."""
        self._run.stop(grace)

    def progress(self) -> Progress:
        """See `Handle`."""
        return self._watch.progress()

    def silent_seconds(self) -> float:
        """See `Handle`."""
        return self._watch.silent_seconds()


class LocalExecutor:
    """Runs launches on this machine, each under a guard; those with a `warm_task` in a warm worker where it can.

    A worker starts with the first such launch for its device and serves one launch at a time. Without an idle worker,
    or after several died by themselves, a launch runs as a process of its own.

    Args:
        workers: launches at once; by default one per GPU, or one per core on a CPU.
        worker: command of the warm worker.
        warm: whether to use warm workers at all.
    """

    def __init__(self, workers: int | None = None, *, worker: tuple[str, ...] = _WORKER, warm: bool = True) -> None:
        self.workers = devices.workers() if workers is None else workers
        self._command = worker
        self._warm = warm and _CAN_FORK
        self._folder = tempfile.TemporaryDirectory(prefix="bracket-workers-")
        self._numbers = itertools.count()
        self._warm_workers: list[tuple[str, WarmWorker]] = []
        self._deaths = 0
        self._handles: list[LocalHandle] = []

    def submit(self, launch: Launch, device: Device) -> LocalHandle:
        """See `Executor`."""
        launch = for_device(launch, device)
        check(launch)
        worker = self._idle_worker(device) if launch.warm_task else None
        handle = LocalHandle(launch, worker.run(launch) if worker else start(launch))
        self._handles = [*(other for other in self._handles if not other.ended), handle]
        return handle

    def close(self, grace: float = 5.0) -> None:
        """See `Executor`."""
        for handle in self._handles:
            handle.stop(grace)
        while any(handle.poll() is None for handle in self._handles):
            time.sleep(0.02)
        for _, worker in self._warm_workers:
            worker.close()
        for _, worker in self._warm_workers:
            worker.process.wait()
        self._handles, self._warm_workers = [], []
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _idle_worker(self, device: Device) -> WarmWorker | None:
        self._bury()
        for its_device, worker in self._warm_workers:
            if its_device == device.id and worker.idle:
                return worker
        if not self._warm or len(self._warm_workers) >= self.workers:
            return None
        log = Path(self._folder.name) / f"worker-{next(self._numbers)}.log"
        try:
            worker = WarmWorker(for_device(Launch((), self._command, _ROOT, log), device))
        except BracketError as error:
            _log.warning("no warm worker: %s", error)
            self._warm = False
            return None
        self._warm_workers.append((device.id, worker))
        return worker

    def _bury(self) -> None:
        """Forgets dead workers; after a few that died by themselves, there is no point in more."""
        for _, worker in self._warm_workers:
            if worker.gone and not worker.dismissed:
                self._deaths += 1
                _log.warning("a warm worker died: %s", cause(last_lines(worker.log, 50)) or "it doesn't say why")
        self._warm_workers = [entry for entry in self._warm_workers if not entry[1].gone]
        self._warm = self._warm and self._deaths < _TOO_MANY_DEATHS


def for_device(launch: Launch, device: Device) -> Launch:
    """The launch with an environment in which this device is the only one; there a GPU is always "cuda:0".

    On a CPU one thread: torch's threads spin at barriers, and two launches on one core would slow each other
    a hundredfold.
    """
    settings = {"CUDA_VISIBLE_DEVICES": device.uuid or device.id.partition(":")[2]}
    if device.kind == "cpu":
        settings |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return replace(launch, env={**settings, **launch.env})
