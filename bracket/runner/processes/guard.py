"""Runs one command so that nothing of it outlives its end, a stop, or bracket.

    python -m bracket.runner.processes.guard [--stdin FD] [--exit FILE]... [--log FILE] -- COMMAND [ARGUMENT]...

The guard's standard input is its leash: a pipe held by bracket. A line `stop SECONDS` asks for a stop; the end of the
pipe means that bracket is gone (a `kill -9` closes it too), which is a stop as well. When the command ends, the exit
file gets {"code", "signal", "ended"}, whole or not at all. What the command says goes to the end of the log, which is
the guard's standard error; of a flood the middle is left out. Without `--log` the command writes there itself.

How sure "nothing" is: on Linux the guard is a subreaper, so whatever the command started stays below it, in a session
of its own or not; the command itself also dies with the guard. On Windows all of it shares one job object that the
system closes (that part has never been run). Elsewhere the process group and what descends from the guard are stopped.

Only the standard library, in one file: it starts in a few hundredths of a second, under `-I -S`, for any trainer.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

LEASH_LOST = 2.5
"""Seconds between SIGINT and SIGTERM when bracket is gone."""
TERMINATE = 0.25
"""Time between SIGTERM and SIGKILL, as a part of that between SIGINT and SIGTERM."""
LEFTOVERS = 1.0
"""Seconds that what a finished command left behind has after SIGTERM."""
GIVE_UP = 10.0
"""Seconds of SIGKILL after which a process can only be stuck in the kernel."""
TICK = 0.05
LOG_HEAD, LOG_TAIL = 16 << 20, 24 << 20
"""Bytes kept of the start and of the end of a log that grows beyond its head and twice its tail."""

NAME = "BRACKET_GUARD"
"""Environment variable that names the guard, by its process id, to all that runs under it."""
INTERRUPT, TERM, KILL = "interrupt", "terminate", "kill"


def main(arguments: list[str]) -> int:
    """Guards the command of these arguments until nothing of it is left; returns its exit code (or 128 + signal)."""
    stdin: int | None = None
    exit_files: list[str] = []
    log = ""
    while len(arguments) > 2 and arguments[0] != "--":
        option, value, *arguments = arguments
        if option == "--stdin":
            stdin = int(value)
        elif option == "--exit":
            exit_files.append(value)
        elif option == "--log":
            log = value
    if arguments[:1] != ["--"] or not arguments[1:]:
        print("usage: guard [--stdin FD] [--exit FILE]... [--log FILE] -- COMMAND [ARGUMENT]...", file=sys.stderr)
        return 2
    try:
        return Guard(arguments[1:], stdin, exit_files, log).run()
    except OSError as error:
        print(f"bracket: the command can't be started: {error}", file=sys.stderr)
        write_exit(exit_files, 127)
        return 127


def write_exit(files: list[str], code: int) -> None:
    """Writes how the command ended; negative codes are signals. A full disk is told on standard error, not raised."""
    record = {"code": code if code >= 0 else None, "signal": -code if code < 0 else None, "ended": time.time()}
    for path in files:
        try:
            with open(path + ".part", "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(path + ".part", path)
        except OSError as error:
            print(f"bracket: {path} can't be written: {error}", file=sys.stderr)


def keep_log(source: int, path: str) -> None:
    """Copies what comes to the log, which is standard error, until all who could say more are gone. What a full disk
    has no room for is lost: the command must not wait for it."""
    left_out = 0
    while block := os.read(source, 1 << 16):
        with suppress(OSError):
            size = os.lseek(2, 0, os.SEEK_END)
            while block:
                block = block[os.write(2, block) :]
            if size > LOG_HEAD + 2 * LOG_TAIL:
                left_out = cut_log(path, left_out)


def cut_log(path: str, left_out: int) -> int:
    """Takes the middle out of a log, in place, and says so there; returns how many bytes it lacks by now.

    Args:
        left_out: how many it lacked before.
    """
    note = "\n[bracket left out {:,} bytes of this log here]\n".format
    with open(path, "r+b") as log:
        came_from = log.seek(-LOG_TAIL, os.SEEK_END)
        left_out += came_from - LOG_HEAD - (len(note(left_out)) if left_out else 0)
        log.seek(LOG_HEAD)
        log.write(note(left_out).encode())
        to = log.tell()
        while True:
            log.seek(came_from)
            block = log.read(1 << 20)
            log.seek(to)
            if not block:
                log.truncate()
                return left_out
            log.write(block)
            came_from, to = came_from + len(block), to + len(block)


class Guard:
    """One command, and the ladder of signals that ends it.

    Raises:
        OSError: the command can't be started.
    """

    def __init__(self, argv: list[str], stdin: int | None, exit_files: list[str], log: str = "") -> None:
        self.exit_files = exit_files
        self.events: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self.code: int | None = None
        self.ladder: list[tuple[str, float]] = []
        self.sent = ""
        self.deadline: float | None = None
        self.killed_at: float | None = None
        os.environ[NAME] = str(os.getpid())
        self.log: threading.Thread | None = None
        # Before the start: what bracket ignores (SIGINT under nohup) would be ignored by the command too.
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: self.events.put(("stop", LEASH_LOST)))
        if log:
            said, output = os.pipe()
            self.house = House(argv, stdin, output)
            os.close(output)
            self.log = threading.Thread(target=keep_log, args=(said, log), daemon=True)
            self.log.start()
        else:
            self.house = House(argv, stdin, None)
        threading.Thread(target=self._hold_leash, daemon=True).start()
        threading.Thread(target=self._await_ends, daemon=True).start()

    def run(self) -> int:
        """Returns once the command and all it started are gone, or can't be killed."""
        while self.code is None or self.house.alive():
            if self.code is not None and not self.sent:
                self._climb([(TERM, LEFTOVERS), (KILL, TICK)])
            elif self.code is not None and self.sent == INTERRUPT and not self.house.group_alive():
                self._climb()  # who is still there left the group, so the interrupt never reached them
            if self.killed_at and time.monotonic() > self.killed_at + GIVE_UP:
                print("bracket: a process can't be killed; what it waits for in the kernel hangs", file=sys.stderr)
                break
            self._step()
        if self.log:
            self.log.join(LEFTOVERS)
        code = -signal.SIGTERM if self.code is None else self.code
        self.house.close(code)
        return code if code >= 0 else 128 - code

    def _step(self) -> None:
        """Waits for an event or the end of the rung's grace, and acts on it."""
        waits = [] if self.code is None else [TICK]
        if self.deadline is not None:
            waits.append(max(0.0, self.deadline - time.monotonic()))
        try:
            kind, number = self.events.get(timeout=min(waits, default=None))
        except queue.Empty:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._climb()
            return
        if kind == "ended":
            self.code = int(number)
            write_exit(self.exit_files, self.code)
        elif kind == "stop" and not self.sent:
            self._climb([(INTERRUPT, number), (TERM, number * TERMINATE), (KILL, TICK)])
        elif kind == "stop" and self.deadline is not None:  # a second stop can only make the first one faster
            self.deadline = min(self.deadline, time.monotonic() + number)
            self.ladder = [(name, min(wait, number)) for name, wait in self.ladder]

    def _climb(self, ladder: list[tuple[str, float]] | None = None) -> None:
        """Sends the next signal. The last one is repeated: a dying process may have forked once more."""
        self.ladder = ladder or self.ladder
        self.sent, wait = self.ladder[0]
        if self.sent != KILL:
            self.ladder = self.ladder[1:]
        elif self.killed_at is None:
            self.killed_at = time.monotonic()
        self.house.send(self.sent)
        self.deadline = time.monotonic() + wait

    def _hold_leash(self) -> None:
        pending = b""
        while True:
            try:
                block = os.read(0, 4096)
            except OSError:
                block = b""
            if not block:
                self.events.put(("stop", LEASH_LOST))
                return
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                word, _, seconds = line.partition(b" ")
                if word == b"stop":
                    self.events.put(("stop", float(seconds)))

    def _await_ends(self) -> None:
        for code in self.house.ends():
            self.events.put(("woken", 0.0) if code is None else ("ended", float(code)))


if sys.platform == "win32":
    from ctypes import wintypes

    class _Limits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION; only the flags matter here."""

        _fields_ = (
            ("process_time", ctypes.c_int64),
            ("job_time", ctypes.c_int64),
            ("flags", wintypes.DWORD),
            ("minimum_working_set", ctypes.c_size_t),
            ("maximum_working_set", ctypes.c_size_t),
            ("active_processes", wintypes.DWORD),
            ("affinity", ctypes.c_size_t),
            ("priority_class", wintypes.DWORD),
            ("scheduling_class", wintypes.DWORD),
            ("io_counters", ctypes.c_uint64 * 6),
            ("memory_limits_and_peaks", ctypes.c_size_t * 4),
        )

    class House:
        """A command in the guard's own job object, which the system empties when the guard is gone.

        The guard enters the job before it starts the command, so that no child can slip out in between.
        """

        def __init__(self, argv: list[str], stdin: int | None, output: int | None) -> None:
            if stdin is not None:
                raise OSError("a command's input can't be handed on under Windows")
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            kernel.CreateJobObjectW.restype = kernel.GetCurrentProcess.restype = wintypes.HANDLE
            kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
            kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
            kernel.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
            self.kernel, self.job = kernel, kernel.CreateJobObjectW(None, None)
            limits = _Limits(flags=0x2000)  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
            extended = 9  # JobObjectExtendedLimitInformation
            if not (
                kernel.SetInformationJobObject(self.job, extended, ctypes.byref(limits), ctypes.sizeof(limits))
                and kernel.AssignProcessToJobObject(self.job, kernel.GetCurrentProcess())
            ):
                raise ctypes.WinError(ctypes.get_last_error())
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
            self.command = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, creationflags=flags
            )

        def ends(self) -> Iterator[int | None]:
            """Yields the command's exit code when it has one."""
            yield self.command.wait()

        def alive(self) -> bool:
            """Nothing to wait for once the command ended: `close` ends the job."""
            return False

        group_alive = alive

        def send(self, name: str) -> None:
            """Ctrl-Break is the only signal a process group can be sent here; Python programs can catch it."""
            with suppress(OSError):  # it ended meanwhile
                self.command.send_signal(signal.CTRL_BREAK_EVENT) if name == INTERRUPT else self.command.terminate()

        def close(self, code: int) -> None:
            """Ends the job, this process included."""
            self.kernel.TerminateJobObject(self.job, code & 0xFFFFFFFF)

else:
    LINUX = sys.platform == "linux"
    PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

    def processes() -> dict[int, tuple[int, int]]:
        """Parent and process group of every living process, by id."""
        table: dict[int, tuple[int, int]] = {}
        if not LINUX:
            with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], stdout=subprocess.PIPE) as ps:
                for line in ps.communicate()[0].splitlines():
                    pid, parent, group, state = line.split()[:4]
                    if not state.startswith(b"Z") and int(pid) != ps.pid:
                        table[int(pid)] = int(parent), int(group)
            return table
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as file:
                        state, parent, group = file.read().rpartition(b")")[2].split()[:3]
                except OSError:
                    continue  # gone since it was listed
                if state not in (b"Z", b"X"):
                    table[int(name)] = int(parent), int(group)
        return table

    class House:
        """A command as leader of its own session, and all that descends from it."""

        def __init__(self, argv: list[str], stdin: int | None, output: int | None) -> None:
            libc = ctypes.CDLL(None) if LINUX else None
            if libc:
                libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

            def die_with_guard() -> None:
                if libc:
                    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

            self.seen: set[int] = set()
            source = subprocess.DEVNULL if stdin is None else stdin
            self.command = subprocess.Popen(
                argv, stdin=source, stdout=output, stderr=output, start_new_session=True, preexec_fn=die_with_guard
            )
            if stdin is not None:
                os.close(stdin)

        def ends(self) -> Iterator[int | None]:
            """Reaps every child, adopted ones too; yields the command's exit code, None for the others."""
            while True:
                try:
                    pid, status = os.waitpid(-1, 0)
                except ChildProcessError:
                    return  # without children there are no descendants either
                yield os.waitstatus_to_exitcode(status) if pid == self.command.pid else None

        def _members(self) -> set[int]:
            """All that descends from the guard or is in the command's group; once seen, an orphan is not forgotten."""
            table = processes()
            members = {pid for pid, (_, group) in table.items() if group == self.command.pid} | self.seen & set(table)
            found = {os.getpid()} | members
            while found:
                found = {pid for pid, (parent, _) in table.items() if parent in found} - members
                members |= found
            self.seen = members
            return members

        def alive(self) -> bool:
            """Whether anything the command started is still there."""
            return bool(self._members())

        def group_alive(self) -> bool:
            """Whether anything is left in the command's own process group."""
            return any(group == self.command.pid for _, group in processes().values())

        def send(self, name: str) -> None:
            """The interrupt goes to the group, as Ctrl-C in a terminal would; the harder signals to everything."""
            if name == INTERRUPT:
                with suppress(ProcessLookupError, PermissionError):  # it ended meanwhile
                    os.killpg(self.command.pid, signal.SIGINT)
                return
            for pid in self._members():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM if name == TERM else signal.SIGKILL)

        def close(self, code: int) -> None:
            """Nothing to close: the guard's end is the end."""


if __name__ == "__main__":
    # No clean-up: threads may still sit in a read, and bracket waits for this very end.
    os._exit(main(sys.argv[1:]))
