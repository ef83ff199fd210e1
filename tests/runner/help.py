"""Ways to see what is left of a launch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bracket.domain import Launch
from bracket.runner.processes.launched import MARK

Program = Callable[..., Launch]
"""Makes a launch of Python source: `program(source, *arguments, **fields of Launch)`."""


def marked(log: Path) -> list[int]:
    """Ids of the living processes that belong to the launch with this log."""
    return [*having(MARK, str(log))]


def having(name: str, value: str) -> dict[int, str]:
    """The living processes that began with this in their environment: ids, and what they run."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())
        except psutil.Error:
            continue
    return found


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits for a condition and fails the test when it doesn't come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true after {seconds} s"
        time.sleep(0.01)


def with_bracket() -> dict[str, str]:
    """An environment in which a script can import bracket."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
