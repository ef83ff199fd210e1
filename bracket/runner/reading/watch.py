"""How far a launch has come, and how long it has been silent, seen from outside: its log and its event files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean

from bracket.domain import Launch
from bracket.runner.reading.bars import TRAINING, LogBars
from bracket.runner.reading.traces import open_trace

_LOSS_TAG = "loss/train"
_BETWEEN_STEPS = frozenset({"sampling", "validating", "saving"})


@dataclass(frozen=True)
class Progress:
    """How far a launch is.

    Attributes:
        step: steps done; of several trials, the one behind.
        total: steps to do, 0 when unknown.
        loss: newest training loss (mean over trials); None when none was written.
        seconds: since the launch.
        speed: steps per second of late; None when unknown.
        phase: "starting", "training", or what the trainer does before and between its steps ("caching latents",
            "loading the model", "sampling", "validating"…).
    """

    step: int
    total: int
    loss: float | None
    seconds: float
    speed: float | None
    phase: str

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the present speed; None when unknown."""
        return max(0, self.total - self.step) / self.speed if self.speed and self.total else None


class Watch:
    """Follows one launch from its start, at the cost of what is new in its curves and its log."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.started = time.time()
        self._began = time.monotonic()
        self.readers = [open_trace(trace) for trace in launch.traces]
        self._log = LogBars(launch.log)
        self._newest: list[tuple[int, float] | None] = [None] * len(self.readers)
        self._size = 0
        self._sign_of_life = time.monotonic()

    def progress(self) -> Progress:
        """The launch's progress now: from its curves, else from the progress bar in its log."""
        self._read_events()
        self._log.read_new()
        seconds = time.monotonic() - self._began
        since = min(self.started, time.time() - seconds)  # where the clock was put back, its trainer's was too
        bar, phase = self._log.bar, self._log.phase
        total = self.launch.expected_steps or (bar.total if bar else 0)
        newest = [point for point in self._newest if point]
        if not newest:
            step, loss, speed = (bar.step, bar.loss, bar.speed) if bar else (0, None, None)
            return Progress(step, bar.total if bar else total, loss, seconds, speed, phase or "starting")
        step = min(step for step, _ in newest) if len(newest) == len(self.readers) else 0
        speeds = [speed for reader in self.readers if (speed := reader.speed(_LOSS_TAG, since))]
        mean = fmean(loss for _, loss in newest)
        doing = phase if phase in _BETWEEN_STEPS else TRAINING
        return Progress(step, total, mean, seconds, min(speeds, default=None), doing)

    def silent_seconds(self) -> float:
        """Seconds since the log or an event file was last seen to grow, or since the start; call it every few seconds.

        Growth, not the files' times: a file server's clock may differ.
        """
        self._read_events()
        log = self.launch.log
        size = (log.stat().st_size if log.exists() else 0) + sum(reader.size for reader in self.readers)
        if size != self._size:
            self._size, self._sign_of_life = size, time.monotonic()
        return time.monotonic() - self._sign_of_life

    def _read_events(self) -> None:
        for number, reader in enumerate(self.readers):
            curve = reader.read_new().get(_LOSS_TAG)
            if curve:
                self._newest[number] = int(curve[0][-1]), float(curve[1][-1])
