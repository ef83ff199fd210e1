"""Starts a launch under a guard, so that it can be stopped and never outlives bracket."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from bracket.domain import Launch
from bracket.environment import for_trainers
from bracket.errors import StorageError, TrainerError
from bracket.runner.processes import guard

_log = logging.getLogger(__name__)

MARK = "BRACKET_LAUNCH"
"""Environment variable that names a launch by its log file in all its processes."""

ENVIRONMENT: Mapping[str, str] = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
    "COLUMNS": "200",  # rich breaks error messages at 80 columns otherwise
}
"""What every launch gets; its own `env` wins."""

if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NO_WINDOW
else:
    _FLAGS = 0


@dataclass(frozen=True)
class Exit:
    """How a command ended: with a code, by a signal, or (both None) without leaving word, as after a power cut."""

    code: int | None
    signal: int | None
    ended: float


def exit_files(launch: Launch) -> list[Path]:
    """Where a launch's end is recorded: `exit.json` of each of its trials, or one beside the log when it has none."""
    return [trial.folder / "exit.json" for trial in launch.trials] or [launch.log.with_suffix(".exit.json")]


def read_exit(path: Path) -> Exit | None:
    """The recorded end, or None when there is none that can be read."""
    try:
        record = json.loads(path.read_bytes())
        return Exit(record["code"], record["signal"], float(record["ended"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_exits(files: Sequence[Path], exit: Exit) -> None:
    """Records an end that no guard saw (a warm worker's task)."""
    code = exit.code if exit.code is not None else -(exit.signal or 0)
    guard.write_exit([str(path) for path in files], code)


class Process:
    """A running launch. Losing the object stops the launch: the guard takes the closed pipe for bracket's end."""

    def __init__(self, popen: subprocess.Popen[bytes], files: Sequence[Path], mark: str) -> None:
        self._popen, self._files, self._mark = popen, files, mark
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """The guard's id; the command and all it starts descend from it."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether anything of the launch may still run."""
        return self.poll() is None

    @property
    def output(self) -> IO[bytes]:
        """Standard output of a launch that was started with `pipe_output`."""
        assert self._popen.stdout is not None
        return self._popen.stdout

    def poll(self) -> Exit | None:
        """How the launch ended, once nothing of it is left, else None."""
        if self._exit is None and self._popen.poll() is not None:
            self._exit = self._read_exit()
            self._close_pipe()
        return self._exit

    def wait(self, timeout: float | None = None) -> Exit | None:
        """Like `poll`, but waits up to `timeout` seconds (None: for ever)."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)
        return self.poll()

    def stop(self, grace: float = 20.0) -> None:
        """Asks for a stop and returns at once: SIGINT to the group, after `grace` seconds SIGTERM, then SIGKILL.

        A second call can only shorten the grace of the first.
        """
        assert self._popen.stdin is not None
        with suppress(OSError, ValueError):  # it ended meanwhile
            self._popen.stdin.write(f"stop {grace:.3f}\n".encode())
            self._popen.stdin.flush()

    def _close_pipe(self) -> None:
        assert self._popen.stdin is not None
        with suppress(OSError):
            self._popen.stdin.close()

    def _read_exit(self) -> Exit:
        exit = read_exit(self._files[0])
        if exit is None:  # the guard itself was killed, or the disk is full
            sweep(self._mark)
            code = self._popen.returncode
            exit = Exit(code if code >= 0 else None, None, time.time())
        return exit


def start(
    launch: Launch, *, exit_file: Path | None = None, stdin: int | None = None, pipe_output: bool = False
) -> Process:
    """Starts a launch under a guard, with its output appended to `launch.log`, of which the guard keeps the size down.

    Whatever an earlier run of the same launch left running (bracket and guard both killed) is killed first, so that
    no two processes write into one folder.

    Args:
        exit_file: where the end is recorded; by default where `exit_files` says.
        stdin: descriptor the command reads from (not under Windows); without it the command has no input.
        pipe_output: hands standard output to `Process.output` instead of the log.

    Raises:
        TrainerError: the program or the working folder is missing.
        StorageError: log or exit file can't be written.
    """
    check(launch)
    mark = str(launch.log.absolute())
    files = [exit_file] if exit_file else exit_files(launch)
    sweep(mark)
    arguments = [] if stdin is None else ["--stdin", str(stdin)]
    arguments += [] if pipe_output else ["--log", mark]
    for path in files:
        arguments += ["--exit", str(path.absolute())]
    command = [sys.executable, "-I", "-S", guard.__file__, *arguments, "--", *launch.argv]
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        launch.log.parent.mkdir(parents=True, exist_ok=True)
        with open(launch.log, "ab") as log:
            popen = subprocess.Popen(
                command,
                cwd=launch.cwd,
                env={**for_trainers(os.environ, launch.argv), **ENVIRONMENT, **launch.env, MARK: mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if pipe_output else log,
                stderr=log,
                pass_fds=() if stdin is None else (stdin,),
                start_new_session=True,  # Ctrl-C in bracket's terminal is bracket's to pass on
                creationflags=_FLAGS,
            )
    except OSError as error:
        raise StorageError(
            f"the launch can't be started: {error.strerror or error}",
            path=launch.log,
            remedy="Free disk space or memory and resume.",
        ) from error
    return Process(popen, files, mark)


def check(launch: Launch) -> None:
    """Tells a missing working folder from a missing program, which the system's own error does not.

    Raises:
        TrainerError: one of them is missing.
    """
    if not launch.cwd.is_dir():
        raise TrainerError(
            "the working folder is missing", path=launch.cwd, remedy="Check the trainer's folder in the settings."
        )
    program = launch.argv[0]
    here = launch.cwd / program if os.path.dirname(program) else None
    if not shutil.which(str(here or program), path=launch.env.get("PATH")):
        raise TrainerError(
            "the program is missing or can't be run", path=here or program, remedy="Check the trainer's installation."
        )


def sweep(mark: str) -> int:
    """Kills every process of this user that carries a launch's mark; returns how many there were.

    The guard makes this needless but for one case: guard and bracket were both killed -9.
    """
    return _kill_those(lambda environment: environment.get(MARK) == mark, f"an earlier run of {mark}")


def sweep_orphans() -> int:
    """Kills every process of this user whose guard is gone, whichever bracket began it; returns how many there were."""
    return _kill_those(
        lambda environment: guard.NAME in environment and not _guards(environment[guard.NAME]), "an earlier bracket"
    )


def _guards(pid: str) -> bool:
    """Whether this process is a guard."""
    try:
        return Path(guard.__file__).name in " ".join(psutil.Process(int(pid)).cmdline())
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.Error:  # another user's: not ours to judge
        return True


def _kill_those(chosen: Callable[[Mapping[str, str]], bool], whose: str) -> int:
    """Kills the processes of this user with such an environment, and waits for their end."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and chosen(process.environ()):
                process.kill()
                left.append(process)
    end = time.monotonic() + guard.GIVE_UP
    while any(map(_lives, left)) and time.monotonic() < end:
        time.sleep(0.01)
    if left:
        _log.warning("killed %d processes that %s had left", len(left), whose)
    return len(left)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def write_command_sh(path: Path, launch: Launch) -> Path:
    """Writes a script that runs the same launch by hand; returns its path (`.bat` under Windows).

    Raises:
        StorageError: the file can't be written.
    """
    environment = {**ENVIRONMENT, **launch.env}
    if sys.platform == "win32":
        path, text = path.with_suffix(".bat"), _batch(launch, environment)
    else:
        settings = " ".join(shlex.quote(f"{key}={value}") for key, value in environment.items())
        command = shlex.join(launch.argv)
        text = f"#!/bin/sh\ncd {shlex.quote(str(launch.cwd))} || exit\nexec env {settings} \\\n  {command}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o755)
        os.replace(part, path)
    except OSError as error:
        raise StorageError(
            f"the command can't be written: {error.strerror}", path=path, remedy="Free disk space."
        ) from error
    return path


def _batch(launch: Launch, environment: Mapping[str, str]) -> str:
    """The same as a batch file, in which a per cent sign is written twice."""
    lines = ["@echo off", "chcp 65001 > nul", f'cd /d "{launch.cwd}" || exit /b']
    lines += [f'set "{key}={value}"' for key, value in environment.items()]
    lines.append(subprocess.list2cmdline(launch.argv))
    return "\r\n".join(line.replace("%", "%%") for line in lines) + "\r\n"
