"""Faults at random moments of whole sessions: `python -m tests.benchmarks.bench_faults [--faults 2000] [--workers 2]`.

Real sessions with their ledger, guards, processes and pictures; only trainer and judge are the scripted ones, so that
a fault costs seconds. Each phase (search to report, more pairs, judging again, the report alone, an install) runs in a
process of its own, and one of these befalls it:

    kill        bracket is killed -9                 both     bracket and all its guards are, so that nobody cleans up
    guard       only the guards are                  locked   another program holds the ledger for a while
    clock       the clock is set back by an hour     full     the disk is full for a while
    read-only   the folder can't be written

After each: the session reads, nobody claims that it runs, no finished trial is lost or told anew, and of its processes
none is left once the next bracket has started. Then it goes on, until it is finished and its certificate holds.
`full` and `read-only` need a file system of their own, which root can mount; without that they are left out, and said.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import psutil

from bracket.demo.dataset import write_demo_dataset
from bracket.errors import BracketError
from bracket.report import certificate
from bracket.runner import guard
from bracket.runner.processes import MARK, sweep_orphans
from bracket.session import launch, proof, rejudge, view
from bracket.session.run import write_session_report
from bracket.session.settings import JudgeSettings
from bracket.trainers.install import Wish, install
from tests.session import scripted
from tests.trainers import upstreams

WEIGHTS = {"kill": 8, "both": 4, "guard": 1, "locked": 2, "clock": 1, "full": 2, "read-only": 1}
LONGEST = 2.5
"""Seconds into a phase at which its fault comes at the latest."""
GRACE = 20.0
"""Seconds within which every process must be gone, on a busy machine."""
SIZE = "192m"


class Place:
    """A worker's folder, on a small disk of its own where one can be had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
        self.own = shutil.which("mount") is not None and not subprocess.run(mount, capture_output=True).returncode

    def read_only(self, yes: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.folder)], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        filler = self.folder / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)
        try:
            yield
        finally:
            filler.unlink()

    def close(self) -> None:
        if self.own:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def forked(task: Callable[[], object], log: Path) -> int:
    """The task in a process of its own, which needs not import anything again; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        task()
        code = 0
    except BracketError as error:
        print(error, flush=True)
        code = 3
    except BaseException:  # noqa: BLE001  the edge of the process
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float) -> int | None:
    """The exit code of a child (negative for a signal), or None when it still runs after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.01)


def marked(folder: Path) -> list[psutil.Process]:
    """Living processes that were started for something in this folder, guards among them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            mine = str(process.environ().get(MARK, "")).startswith(str(folder))
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def guards(folder: Path) -> list[psutil.Process]:
    found = []
    for process in marked(folder):
        with suppress(psutil.Error):
            if Path(guard.__file__).name in " ".join(process.cmdline()):
                found.append(process)
    return found


def told(folder: Path) -> dict[str, tuple[str, float | None]]:
    """Every told trial's outcome and score."""
    trials = view.read(folder).trials
    return {t.id: (t.outcome.value, t.score.total if t.score else None) for t in trials if t.outcome}


def clock_back(after: float) -> None:
    """Sets this process's clock back by an hour once so many seconds have gone."""
    real, began = time.time, time.monotonic()
    time.time = lambda: real() - 3600 * (time.monotonic() - began > after)


class Worker:
    """Sessions and installs of one place, one fault after another."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance, self.place = random.Random(seed), Place(folder)
        self.home = folder
        self.log = folder.with_suffix(".log")
        self.dataset = write_demo_dataset(folder / "data")
        os.environ |= {"BRACKET_CACHE": str(folder / "cache"), "BRACKET_CONFIG": str(folder / "config")}
        self.index = upstreams.package_index(folder / "index")
        upstreams.lookalike(folder / "source", "sd_scripts")
        self.commit = upstreams.git(folder / "source", "rev-parse", "HEAD")
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            del os.environ[name]
        os.environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index, "BRACKET_TORCH_INDEX": self.index}
        self.session = folder / "runs" / "none"
        self.finished = self.number = 0

    # What is running when the fault comes.

    def run(self) -> None:
        scripted.play(self.session)

    def prove(self) -> None:
        proof.begin(self.session, 6)
        scripted.play(self.session)

    def report(self) -> None:
        scripted.play(self.session)  # only for its trainer and judge: a finished session trains nothing
        write_session_report(self.session)

    def rejudge(self) -> None:
        scripted.play(self.session)
        rejudge.session_judge = lambda *_: scripted.ScriptedJudge()
        rejudge.rejudge(self.session, self.again, (JudgeSettings(kind="clip"),))

    def install(self) -> None:
        for _ in install(Wish("sd_scripts", self.home / "trainer", str(self.home / "source"), self.commit, room=0)):
            pass

    @property
    def again(self) -> Path:
        return self.session.with_name(f"{self.session.name}-again")

    def phase(self) -> Callable[[], None]:
        if self.chance.random() < 0.04:
            return self.install
        if not self.session.is_dir():
            return self.run
        if view.read(self.session).state == "done":
            return self.chance.choice([self.report, self.rejudge, self.prove, self.prove])
        return self.run

    # One fault and what must hold after it.

    def one(self) -> tuple[str, list[str]]:
        if not self.session.is_dir() or (view.read(self.session).state == "done" and self.chance.random() < 0.25):
            self.next_session()
        task = self.phase()
        kinds = [k for k in WEIGHTS if self.place.own or k not in ("full", "read-only")]
        kind = self.chance.choices(kinds, [WEIGHTS[k] for k in kinds])[0]
        before = told(self.session)
        wrong = self.befall(kind, task, self.chance.uniform(0.05, LONGEST))
        sweep_orphans()
        wrong += self.look(before)
        return f"{task.__name__}/{kind}", wrong

    def befall(self, kind: str, task: Callable[[], None], after: float) -> list[str]:
        if kind == "read-only":
            self.place.read_only(True)
            try:
                return self.refused(forked(task, self.log))
            finally:
                self.place.read_only(False)
        begin = (lambda: (clock_back(after), task())) if kind == "clock" else task
        pid = forked(begin, self.log)
        if (code := ended(pid, after)) is not None:
            return [] if code in (0, 3) else [f"it ended by itself with {code}"]
        wrong: list[str] = []
        if kind == "full":
            with self.place.full():
                code = ended(pid, self.chance.uniform(0.2, 3))
            wrong = [] if code in (None, 0, 3) else [f"the full disk ended it with {code}"]
            if code is not None:
                return wrong
        elif kind == "locked":
            self.lock(self.chance.uniform(0.1, 3))
        elif kind == "clock":
            with suppress(BracketError):
                if ended(pid, 0.3) is None and self.session.is_dir() and view.read(self.session).state == "idle":
                    wrong = ["the clock made a running session look as if it never began"]
        elif kind in ("both", "guard"):
            os.kill(pid, signal.SIGSTOP)  # neither is to see the other's end
            for process in guards(self.home):
                with suppress(psutil.Error):
                    process.kill()
            os.kill(pid, signal.SIGCONT if kind == "guard" else signal.SIGKILL)
        if kind != "guard" or self.chance.random() < 0.5:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = ended(pid, 120)
        return wrong + ([] if code in (0, 3, -9) else [f"it ended with {code}"])

    def refused(self, pid: int) -> list[str]:
        code = ended(pid, 60)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        return [] if code in (0, 3) else [f"a read-only folder ended it with {code}"]

    def lock(self, seconds: float) -> None:
        """Another program has the ledger for itself; whoever looks meanwhile gets an answer."""
        path = self.session / "study.db"
        if not path.exists():
            return
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)

    def look(self, before: dict[str, tuple[str, float | None]]) -> list[str]:
        wrong = []
        until = time.monotonic() + GRACE
        while (left := marked(self.home)) and time.monotonic() < until:
            time.sleep(0.05)
        wrong += [f"process {p.pid} lives on" for p in left]
        for folder in (self.session, *([self.again] if self.again.exists() else [])):
            try:
                state = view.read(folder).state
            except BracketError as error:
                wrong.append(f"{folder.name} can't be read: {error}")
                continue
            if state in ("running", "stopping"):
                wrong.append(f"{folder.name} still counts as {state}")
        if not wrong:
            after = told(self.session)
            wrong += [f"{i} was lost or told anew" for i, value in before.items() if after.get(i) != value]
        return wrong

    def next_session(self) -> None:
        """Leaves a finished session for a new one; raises where its certificate does not hold."""
        if self.session.is_dir():
            if found := certificate.verify(self.session / "report" / "certificate.json"):
                raise RuntimeError(f"the certificate does not hold: {found}")
            self.finished += 1
            shutil.rmtree(self.session)
            shutil.rmtree(self.again, ignore_errors=True)
        shutil.rmtree(self.home / "trainer", ignore_errors=True)
        self.number += 1
        settings = scripted.settings_for(self.dataset, configs=4, pairs=1, seeds=1)
        self.session = launch.create(settings, self.home / "runs" / f"session-{self.number}")


def work(folder: Path, seed: int, faults: int) -> tuple[Counter[str], list[str], int, bool]:
    """So many faults; gives how many of each, what was wrong, sessions finished, and whether the disk was its own."""
    worker, kinds, wrong = Worker(folder, seed), Counter[str](), list[str]()
    try:
        for number in range(faults):
            what, found = worker.one()
            kinds[what] += 1
            wrong += [f"{seed}-{number} {what}: {w}" for w in found]
            if found or number % 20 == 19:
                print(
                    f"worker {seed}: {number + 1} faults, {worker.finished} sessions finished, {found or 'all well'}",
                    flush=True,
                )
        return kinds, wrong, worker.finished, worker.place.own
    finally:
        worker.place.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    base = given.folder or Path(tempfile.mkdtemp(prefix="bracket-faults-"))
    share = -(-given.faults // given.workers)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(work, base / f"worker-{n}", n, share) for n in range(given.workers)]
        ends = [job.result() for job in jobs]
    kinds: Counter[str] = sum((end[0] for end in ends), Counter())
    wrong = [w for end in ends for w in end[1]]
    print("\n".join(f"{count:6d} {what}" for what, count in sorted(kinds.items())))
    if not all(end[3] for end in ends):
        print("full and read-only were left out: they need a file system that only root can mount")
    print("\n".join(wrong))
    print(f"{sum(end[2] for end in ends)} sessions finished; {kinds.total() - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
