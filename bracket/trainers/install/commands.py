"""Runs the commands of one install, one at a time, and reports what they say as they say it."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bracket import locks
from bracket.domain import Launch
from bracket.errors import TrainerError
from bracket.files import is_foreign, storage_errors
from bracket.runner.processes.launched import Process, start
from bracket.runner.reading.tail import LogTail, last_lines

_POLL = 0.1
_HEARTBEAT = 1.0
_GRACE = 3.0
"""Seconds git or pip have to end by themselves once told to."""
_REASON = re.compile(r"^[^\S\n]*(?:ERROR:|fatal:|error:|Error:)\s*(?P<reason>.+)", re.MULTILINE)
_FULL = ("No space left on device", "Disk quota exceeded", "not enough space on the disk")

ALONE: Mapping[str, str] = {"PYTHONPATH": "", "PYTHONHOME": "", "PYTHONNOUSERSITE": "1", "GIT_TERMINAL_PROMPT": "0"}
"""Keeps bracket's own packages and the user's out of the trainer's venv, and git from asking for a password."""


class Commands:
    """The commands of one install into `folder`, which nobody else may install into meanwhile.

    Log, lock and what is half-made lie in a hidden folder beside it, so that `folder` itself is never half a checkout.

    Args:
        stop: set by another thread to stop whatever runs.

    Raises:
        TrainerError: another process installs there.
        StorageError: the folder beside can't be written.
    """

    def __init__(self, folder: Path, stop: threading.Event | None = None) -> None:
        self.work = folder.with_name(f".{folder.name}-install")
        self.log = self.work / "install.log"
        self._folder, self._stop = folder, stop or threading.Event()
        self._lock = self.work / "lock"
        self._held: locks.Held | None = None

    def __enter__(self) -> Commands:
        if is_foreign(self.work, self.log.name):
            remedy = "Move it away, or install into another folder."
            raise TrainerError("this folder is needed, and bracket did not make it", path=self.work, remedy=remedy)
        with storage_errors(self.log):
            self.work.mkdir(parents=True, exist_ok=True)
            self.log.touch()
        with storage_errors(self._lock):
            self._held = locks.take(self._lock)
        if self._held is None:
            other = (locks.holder(self._lock) or {}).get("pid", "unknown")
            raise TrainerError(
                f"process {other} is already installing this", path=self._folder, remedy="Wait for it, or stop it."
            )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._held is not None:
            self._held.release()

    def run(
        self, argv: Sequence[str], cwd: Path, what: str, *, env: Mapping[str, str] | None = None, silence: float = 0.0
    ) -> Iterator[str]:
        """Runs one command to its end; gives each line it says, and the latest again every second.

        A reader that goes away, and an exception in it, stop the command.

        Args:
            what: what the command was for, in words for an error.
            silence: seconds without a word after which the command counts as stuck; 0 for no limit.

        Raises:
            TrainerError: it failed, was stopped, or is stuck.
        """
        # A log of its own for each command, so that its cause is not sought in another's words.
        part = self.work / "command.log"
        part.unlink(missing_ok=True)
        tail = LogTail(part)
        launch = Launch((), tuple(argv), cwd, part, {**ALONE, **(env or {})})
        process = start(launch, exit_file=self.work / "exit.json")
        try:
            yield from self._follow(process, tail, what, silence)
            ended = process.wait()
        finally:
            if process.alive:
                process.stop(_GRACE)
                process.wait(_GRACE * 3)
            text = last_lines(part, 60)
            self._keep(argv, part)
        if ended is None or ended.code != 0:
            raise self._failed(what, text)

    def _follow(self, process: Process, tail: LogTail, what: str, silence: float) -> Iterator[str]:
        line, told, heard = "", 0.0, time.monotonic()
        while process.alive:
            process.wait(_POLL)
            if self._stop.is_set():
                raise stopped(self._folder)
            now = time.monotonic()
            latest = next(filter(None, [tail.read_new().strip().rpartition("\n")[2], tail.current]), line)
            if latest != line:
                line, heard, told = latest, now, now
                yield line
            elif now - told > _HEARTBEAT:
                told = now
                yield line
            if silence and now - heard > silence:
                raise TrainerError(f"{what} got stuck: not a word for {silence:.0f} s", remedy=self._look_at_log())

    def _keep(self, argv: Sequence[str], part: Path) -> None:
        """Adds a command and what it said to the log people look at."""
        with storage_errors(self.log), open(self.log, "ab") as log:
            log.write(f"\n$ {' '.join(argv)}\n".encode())
            if part.is_file():
                with open(part, "rb") as said:
                    shutil.copyfileobj(said, log)
                part.unlink()

    def _failed(self, what: str, text: str) -> TrainerError:
        if any(words in text for words in _FULL):
            return TrainerError(f"{what} failed: the disk is full", path=self._folder, remedy=_free(self._folder))
        reasons = [match["reason"].strip() for match in _REASON.finditer(text)]
        reason = reasons[0] if reasons else text.strip().rpartition("\n")[2] or "it said nothing"
        return TrainerError(f"{what} failed: {reason.rstrip('.')}", remedy=self._look_at_log())

    def _look_at_log(self) -> str:
        return f"See {self.log}, then run the same again: what is done stays."


def stopped(folder: Path) -> TrainerError:
    return TrainerError("the install was stopped", path=folder, remedy="Run it again: it goes on where it was.")


def check_room(folder: Path, needed: int) -> None:
    """Raises TrainerError when the disk of a folder (which need not exist) has fewer free bytes than needed."""
    place = next(p for p in [folder, *folder.parents] if p.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        message = f"this takes up to {needed / 1e9:.0f} GB, and the disk has {free / 1e9:.1f} GB left"
        raise TrainerError(message, path=place, remedy=_free(folder))


def git() -> str:
    """Raises TrainerError when git is not installed."""
    found = shutil.which("git")
    if not found:
        raise TrainerError("git is not installed", remedy="Install it (git-scm.com), then run the same again.")
    return found


def _free(folder: Path) -> str:
    return f"Free some space, or choose a folder on another disk instead of {folder.parent}."
