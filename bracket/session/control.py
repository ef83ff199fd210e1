"""How a running session is spoken to, and how it says what it does: small files in its folder.

`lock` is held by the process that runs it, `control/stop` asks it to stop, `state.json` says where it is.
`control/start` names the process that was started to run it, of which nothing may be heard yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from bracket import locks
from bracket.errors import SessionBusy, StorageError
from bracket.files import read_json, storage_errors, write_json, write_text

_LOCK = "lock"
_START = "control/start"


@dataclass(frozen=True)
class Progress:
    """What `state.json` holds. `eta` and times in seconds (unix time for `updated`).

    `doing` is what each running trial is at, by its id, in the runner's words ("loading the model", "sampling"); `by`
    is the process that wrote it.
    """

    state: str
    phase: str
    done: int = 0
    planned: int = 0
    eta: float | None = None
    message: str = ""
    updated: float = 0.0
    doing: Mapping[str, str] = field(default_factory=dict)
    by: int = 0


def write_progress(folder: Path, progress: Progress) -> None:
    write_json(folder / "state.json", {**asdict(progress), "updated": time.time(), "by": os.getpid()})


def read_progress(folder: Path) -> Progress | None:
    """What the session last said, or None when it has never run or the file is damaged."""
    try:
        return TypeAdapter(Progress).validate_python(read_json(folder / "state.json"))
    except (StorageError, ValidationError):
        return None


def running_process(folder: Path) -> int | None:
    """The number of the process that runs this session now; None when none does."""
    try:
        held = locks.holder(folder / _LOCK)
    except OSError:  # whoever may not look may not start it either, and is told why there
        return None
    return _before_locks(folder) if held is None else int(held.get("pid", 0))


def _before_locks(folder: Path) -> int | None:
    """The living process of an earlier bracket, which only wrote down its number and when it started."""
    try:
        said = read_json(folder / _LOCK)
        process = psutil.Process(int(said["pid"]))
        same = abs(process.create_time() - float(said["started"])) < 1.0
        return process.pid if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (StorageError, psutil.Error, KeyError, TypeError, ValueError):
        return None


class Lock:
    """Held by the one process that runs a session, for as long as it lives: see `bracket.locks`.

    Raises:
        SessionBusy: another process, or another part of this one, holds it.
        StorageError: the folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: locks.Held | None = None

    def __enter__(self) -> Lock:
        path = self._folder / _LOCK
        if (other := _before_locks(self._folder)) is None:
            with storage_errors(path):
                self._held = locks.take(path)
        if self._held is None:
            raise SessionBusy(
                f"this session is already running (process {other or running_process(self._folder) or 'unknown'})",
                path=self._folder,
                remedy="Watch it in Monitor, or stop it first.",
            )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._held is not None:
            self._held.release()


@dataclass(frozen=True)
class Start:
    """A start of whose process nothing was heard yet. `log`: the bytes that process.log had before."""

    alive: bool
    log: int


def note_start(folder: Path, pid: int, log: int) -> None:
    write_json(folder / _START, {"pid": pid, "log": log})


def unheard_start(folder: Path) -> Start | None:
    """The last start, until its process has said where it is. Whoever reads what it said reads that afterwards."""
    path, state = folder / _START, folder / "state.json"

    def heard() -> bool:
        return state.exists() and state.stat().st_mtime_ns >= path.stat().st_mtime_ns

    try:
        if heard():
            return None
        said = read_json(path)
        pid, log = int(said["pid"]), int(said["log"])
        try:
            # By what it runs, for numbers are given anew; a process that is dead but not yet fetched runs nothing.
            alive = str(folder) in psutil.Process(pid).cmdline()
        except psutil.Error:
            alive = False
        # One that has ended meanwhile may have spoken meanwhile.
        return None if not alive and heard() else Start(alive, log)
    except (OSError, StorageError, KeyError, TypeError, ValueError):
        return None


def ask_to_stop(folder: Path) -> None:
    write_text(folder / "control" / "stop", "")


def stop_asked(folder: Path) -> bool:
    return (folder / "control" / "stop").exists()


def clear_stop(folder: Path) -> None:
    (folder / "control" / "stop").unlink(missing_ok=True)
