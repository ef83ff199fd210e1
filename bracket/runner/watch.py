"""How far a launch has come, and how long it has been silent, seen from outside: its log and its event files."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from statistics import fmean

from bracket.domain import Launch
from bracket.runner.tail import last_lines
from bracket.runner.traces import open_trace

_LOSS_TAGS = ("loss/train", "loss/current", "loss", "train_loss", "loss/average")
# tqdm: `steps:  71%|███████  | 10/14 [00:10<00:04,  1.01s/it, avr_loss=1.07]`
_BAR = re.compile(r"(?:([\w .\-]+): +)?\d+%\|[^|]*\| *(\d+)/(\d+) \[[^\]]*?(?:loss=([-\w.+]+))?\]")


@dataclass(frozen=True)
class Progress:
    """How far a launch is.

    Attributes:
        step: steps done; of several trials, the one behind.
        total: steps to do, 0 when unknown.
        loss: newest training loss (mean over trials); None when none was written.
        seconds: since the launch.
        speed: steps per second of late; None when unknown.
        phase: "starting", "training", or what the trainer's progress bar calls it.
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
    """Follows one launch from its start, at the cost of its new event bytes and one look at its log."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.started = time.time()
        self.readers = [open_trace(trace) for trace in launch.traces]
        self._newest: list[tuple[str, int, float] | None] = [None] * len(self.readers)
        self._size = 0
        self._sign_of_life = time.monotonic()

    def progress(self) -> Progress:
        """The launch's progress now, from its event files, else from a progress bar in its log."""
        self._read_events()
        seconds = time.time() - self.started
        newest = [point for point in self._newest if point]
        if newest:
            step = min(step for _, step, _ in newest) if len(newest) == len(self.readers) else 0
            speeds = [
                speed
                for reader, point in zip(self.readers, self._newest, strict=True)
                if point and (speed := reader.speed(point[0], self.started))
            ]
            loss = fmean(loss for _, _, loss in newest)
            return Progress(step, self.launch.expected_steps, loss, seconds, min(speeds, default=None), "training")
        return self._from_log(seconds)

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
            curves = reader.read_new()
            tag = next((tag for tag in _LOSS_TAGS if tag in curves), None)
            if tag is not None:
                steps, losses = curves[tag]
                self._newest[number] = tag, int(steps[-1]), float(losses[-1])

    def _from_log(self, seconds: float) -> Progress:
        bars = _BAR.findall(last_lines(self.launch.log, 3, limit=8192))
        if not bars:
            return Progress(0, self.launch.expected_steps, None, seconds, None, "starting")
        label, step, total, loss = bars[-1]
        speed = int(step) / seconds if int(step) and seconds else None
        return Progress(int(step), int(total), _number(loss), seconds, speed, label.strip() or "training")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
