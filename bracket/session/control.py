"""How a running session is spoken to, and how it says what it does: small files in its folder.

`lock` names the process that runs it, `control/stop` asks it to stop, `state.json` says where it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from bracket.errors import SessionBusy, StorageError
from bracket.files import read_json, write_json, write_text

_STALE = 1.0
"""Seconds two clocks may differ when a process's start time is compared."""


@dataclass(frozen=True)
class Progress:
    """What `state.json` holds. `eta` and times in seconds (unix time for `updated`).

    `doing` is what each running trial is at, by its id, in the runner's words ("loading the model", "sampling").
    """

    state: str
    phase: str
    done: int = 0
    planned: int = 0
    eta: float | None = None
    message: str = ""
    updated: float = 0.0
    doing: Mapping[str, str] = field(default_factory=dict)


def write_progress(folder: Path, progress: Progress) -> None:
    write_json(folder / "state.json", {**asdict(progress), "updated": time.time()})


def read_progress(folder: Path) -> Progress | None:
    """What the session last said, or None when it has never run or the file is damaged."""
    try:
        return Progress(**read_json(folder / "state.json"))
    except (StorageError, TypeError):
        return None


def running_process(folder: Path) -> psutil.Process | None:
    """The process that runs this session now, if it lives."""
    try:
        lock = read_json(folder / "lock")
        process = psutil.Process(int(lock["pid"]))
        same = abs(process.create_time() - float(lock["started"])) < _STALE
    except (StorageError, psutil.Error, KeyError, TypeError, ValueError):
        return None
    alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return process if same and alive else None


class Lock:
    """Held by the one process that runs a session.

    Raises:
        SessionBusy: another living process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._folder = folder

    def __enter__(self) -> Lock:
        other = running_process(self._folder)
        if other is not None and other.pid != os.getpid():
            raise SessionBusy(
                f"this session is already running (process {other.pid})",
                path=self._folder,
                remedy="Watch it in Monitor, or stop it first.",
            )
        me = psutil.Process()
        write_json(self._path, {"pid": me.pid, "started": me.create_time()})
        return self

    def __exit__(self, *exc: object) -> None:
        self._path.unlink(missing_ok=True)


def ask_to_stop(folder: Path) -> None:
    write_text(folder / "control" / "stop", "")


def stop_asked(folder: Path) -> bool:
    return (folder / "control" / "stop").exists()


def clear_stop(folder: Path) -> None:
    (folder / "control" / "stop").unlink(missing_ok=True)
