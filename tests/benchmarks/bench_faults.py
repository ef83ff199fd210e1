"""Faults at random moments of whole sessions: `python -m tests.benchmarks.bench_faults [--faults 2000] [--workers 2]`.

Real sessions with their ledger, guards, processes and pictures; only trainer and judge are the scripted ones, so that
a fault costs seconds. Each phase (search to report, more pairs, judging again, the report alone, an install) runs in a
process of its own, and one of these befalls it, between two of its changes on disk or in the ledger (each number of
changes once before any twice) or at any second:

    kill        bracket is killed -9                 both     bracket and all its guards are, so that nobody cleans up
    guard       only the guards are                  locked   another program holds the ledger for a while
    clock       the clock is set back by an hour     full     the disk is full for a while
    read-only   the folder can't be written

After each: the session reads, nobody claims that it runs, no finished trial is lost or told anew, and of its processes
none is left once the next bracket has started. Then it goes on, until it is finished and its certificate holds; what
is left to itself must succeed, so a fault may leave nothing that stops the next run. Figures are drawn as a dot.
`full` and `read-only` need a file system of their own, which root can mount; without that they are left out, and said.
"""

from __future__ import annotations

import argparse
import math
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
from PIL import Image
from sqlalchemy import event
from sqlalchemy.engine import Engine

from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Round
from bracket.errors import BracketError
from bracket.homes.problems import install_finished
from bracket.report.claims import certificate
from bracket.report.figures import drawing
from bracket.runner.processes import guard
from bracket.runner.processes.launched import MARK, sweep_orphans
from bracket.session import view
from bracket.session.after import proof, rejudge
from bracket.session.asked.settings import JudgeSettings
from bracket.session.running import launch, run
from bracket.session.store import Store
from bracket.trainers.install import Wish, install
from tests.session import scripted
from tests.trainers import upstreams

WEIGHTS = {"kill": 8, "both": 4, "guard": 1, "locked": 2, "clock": 1, "full": 2, "read-only": 1}
STEPS = {"run": 150, "prove": 120, "report": 100, "rejudge": 300, "install": 60}
"""Changes on disk that a phase makes, about; a longer one begins again where it was."""
BY_TIME = 0.25
"""The share of faults that come at some second, as within a change, and in the programs of others."""
LOOKED = 2.0
"""Seconds in which whoever looks at a session has an answer, whatever holds its ledger."""
SLOWEST = 120.0
"""Seconds in which a phase has ended, on a busy machine."""
PATIENCE = 1.0
"""Seconds that a session waits here for a locked ledger, instead of a minute."""
MILD = ("guard", "locked", "clock", "full")
"""After these a phase may go on, to its end half the times."""
STOPPED = 1 << 16
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

    def read_only(self, yes: bool) -> bool:
        """Whether it is so now: what is still open for writing keeps it from being read-only."""
        command = ["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(self.folder)]
        until = time.monotonic() + GRACE
        while failed := subprocess.run(command, capture_output=True).returncode != 0:
            if time.monotonic() > until:
                break
            time.sleep(0.2)
        return not failed

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
    """The exit code of a child (negative for a signal), STOPPED where it stands still, or None when it
    still runs after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if found:
            return STOPPED if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
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
    """Every told trial's outcome and score, as the file has them and not as somebody remembers them."""
    if not (folder / "study.db").exists():
        return {}
    store = Store(folder)
    try:
        found = [result for round_ in Round for result in store.results(round_)]
    finally:
        store.close()
    return {r.trial.id: (r.outcome.value, r.score.sample_part if r.score else None) for r in found}


def clock_at(signal_: int) -> None:
    """Sets this process's clock back by an hour once it gets this signal."""
    real = time.time

    def back(*_: object) -> None:
        time.time = lambda: real() - 3600

    signal.signal(signal_, back)


_CHANGES = {f"os.{what}" for what in ("rename", "remove", "mkdir", "rmdir", "link", "symlink", "truncate", "chmod")}


def stop_before(number: int, home: Path) -> None:
    """Stops this process before so many of its changes below a folder or in a ledger, or starts of programs."""
    left = number

    def change() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGSTOP)

    def heard(what: str, given: tuple[object, ...]) -> None:
        writes = what == "open" and (given[1] is None or not set(str(given[1])).isdisjoint("wax+"))
        below = (writes or what in _CHANGES) and str(given[0]).startswith(str(home))
        if what == "subprocess.Popen" or (below and (what != "open" or int(str(given[2])) & (os.O_WRONLY | os.O_RDWR))):
            change()

    sys.addaudithook(heard)
    event.listen(Engine, "commit", lambda *_: change())
    event.listen(Engine, "before_cursor_execute", lambda *given: given[2].startswith("SELECT") or change())


class Worker:
    """Sessions and installs of one place, one fault after another."""

    def __init__(self, folder: Path, seed: int, only: str) -> None:
        self.chance, self.place, self.only = random.Random(seed), Place(folder), only
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
        scripted.put_in()
        rejudge.session_judge = lambda *_: scripted.ScriptedJudge()
        drawing._draw = lambda _plot, _theme, path: Image.new("RGB", (1, 1)).save(path, "PNG")
        Store.__init__.__kwdefaults__["patience"] = PATIENCE
        self.lasts = dict.fromkeys(STEPS, 2.0)
        """Seconds that each phase took, where nothing befell it."""
        self.decks: dict[str, list[int]] = {}
        self.session = folder / "runs" / "none"
        self.finished = self.number = 0
        self.next_session()
        run.run(self.session)  # so that no phase has to import anything

    # What is running when the fault comes.

    def run(self) -> None:
        run.run(self.session)

    def prove(self) -> None:
        proof.begin(self.session, 6)
        run.run(self.session)

    def report(self) -> None:
        run.write_session_report(self.session)

    def rejudge(self) -> None:
        rejudge.rejudge(self.session, self.again, (JudgeSettings(kind="clip"),))

    def install(self) -> None:
        for _ in install(Wish("sd_scripts", self.home / "trainer", str(self.home / "source"), self.commit, room=0)):
            pass

    @property
    def again(self) -> Path:
        return self.session.with_name(f"{self.session.name}-again")

    def phase(self) -> Callable[[], None]:
        if self.only == "install" or (not self.only and self.chance.random() < 0.03):
            if install_finished(self.home / "trainer"):
                shutil.rmtree(self.home / "trainer")
            return self.install
        if view.read(self.session).state != "done":
            return self.run
        tasks = {t.__name__: t for t in (self.report, self.rejudge, self.prove)}
        task = tasks.get(self.only) or self.chance.choice([*tasks.values(), self.prove])
        if task == self.prove and proof.offer(self.session).refusal:
            task = self.rejudge
        if task == self.rejudge:
            shutil.rmtree(self.again, ignore_errors=True)
        return task

    def step(self, phase: str) -> int:
        if not self.decks.get(phase):
            self.decks[phase] = self.chance.sample(range(1, STEPS[phase] + 1), STEPS[phase])
        return self.decks[phase].pop()

    # One fault and what must hold after it.

    def one(self) -> tuple[str, list[str]]:
        """What befell which phase, "" in place of the fault where the phase ended before, and what was wrong."""
        if not self.only and view.read(self.session).state == "done" and self.chance.random() < 0.3:
            self.next_session()
        task = self.phase()
        kinds = [k for k in WEIGHTS if self.place.own or k not in ("full", "read-only")]
        kind = self.chance.choices(kinds, [WEIGHTS[k] for k in kinds])[0]
        before, said = told(self.session), self.log.stat().st_size if self.log.exists() else 0
        kind, wrong = self.befall(kind, task)
        sweep_orphans()
        wrong += self.look(before)
        if wrong:
            wrong.append(self.log.read_bytes()[said:].decode(errors="replace").strip()[-2000:])
        return f"{task.__name__}/{kind}", wrong

    def befall(self, kind: str, task: Callable[[], None]) -> tuple[str, list[str]]:
        if kind == "read-only":
            if not self.place.read_only(True):
                return "", []
            try:
                return kind, self.refused(forked(task, self.log))
            finally:
                self.place.read_only(False)
        name, began = task.__name__, time.monotonic()
        timed = self.chance.random() < BY_TIME
        number = 0 if timed else self.step(name)

        def begin() -> None:
            clock_at(signal.SIGUSR1)
            stop_before(number, self.home)
            task()

        pid = forked(begin, self.log)
        code = ended(pid, self.chance.uniform(0.05, self.lasts[name]) if timed else SLOWEST)
        if code is not None and code != STOPPED:
            self.lasts[name] = min(SLOWEST / 4, time.monotonic() - began)
            return "", [f"it ended by itself with {code}"] if code else []
        wrong = self.strike(kind, pid) if timed or code == STOPPED else [f"{name} takes for ever"]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        allowed = (0, 3) if kind in ("full", "locked", "guard") else (0,)
        going_on = kind in MILD and self.chance.random() < 0.5
        code = ended(pid, SLOWEST if going_on else self.chance.uniform(0.05, 1)) if kind in MILD else None
        if code is None:
            wrong += [f"it hangs after {kind}"] * going_on
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        elif code not in allowed:
            wrong.append(f"{kind} ended it with {code}")
        return kind, wrong

    def strike(self, kind: str, pid: int) -> list[str]:
        """The fault itself, while the process stands still; it may go on afterwards, if it lives."""
        os.kill(pid, signal.SIGSTOP)
        if kind in ("both", "guard"):  # neither is to see the other's end
            for process in guards(self.home):
                with suppress(psutil.Error):
                    process.kill()
        if kind in ("kill", "both"):
            os.kill(pid, signal.SIGKILL)
        elif kind == "clock":
            os.kill(pid, signal.SIGUSR1)
        elif kind == "full":
            with self.place.full():
                os.kill(pid, signal.SIGCONT)
                time.sleep(self.chance.uniform(0.2, 3))
        elif kind == "locked":
            return self.lock(pid, self.chance.uniform(0.1, 2 * PATIENCE))
        return []

    def refused(self, pid: int) -> list[str]:
        code = ended(pid, 60)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            ended(pid, 10)
        return [] if code in (0, 3) else [f"a read-only folder ended it with {code}"]

    def lock(self, pid: int, seconds: float) -> list[str]:
        """Another program has the ledger for itself; whoever looks meanwhile gets an answer."""
        path = self.session / "study.db"
        if not path.exists():
            return []
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            os.kill(pid, signal.SIGCONT)
            began = time.monotonic()
            view._ledgers.clear()
            view.read(self.session)
            took = time.monotonic() - began
            time.sleep(max(0.0, seconds - took))
            return [f"to look at a locked session took {took:.1f} s"] if took > LOOKED else []
        return []

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
            if state in ("running", "stopping") or (folder == self.again and state != "done"):
                wrong.append(f"{folder.name} counts as {state}")
        listed = {line.folder for line in view.sessions(self.session.parent)}
        wrong += [f"{folder.name} is listed" for folder in listed - {self.session, self.again}]
        if not wrong:
            after = told(self.session)
            wrong += [f"{i} was lost or told anew" for i, value in before.items() if after.get(i) != value]
        return wrong

    def next_session(self) -> None:
        """Leaves a finished session for a new one; raises where its certificate does not hold."""
        if self.session.is_dir():
            run.run(self.session)  # a report that was cut short is written again
            if found := certificate.verify(self.session / "report" / "certificate.json"):
                raise RuntimeError(f"the certificate does not hold: {found}")
            self.finished += 1
            shutil.rmtree(self.session)
            shutil.rmtree(self.again, ignore_errors=True)
        self.number += 1
        settings = scripted.settings_for(self.dataset, configs=3, pairs=1, seeds=1)
        self.session = launch.create(settings, self.home / "runs" / f"session-{self.number}")


def work(folder: Path, seed: int, faults: int, until: float, only: str) -> tuple[Counter[str], list[str], int, bool]:
    """So many faults; gives how many of each, what was wrong, sessions finished, and whether the disk was its own."""
    worker, kinds, wrong = Worker(folder, seed, only), Counter[str](), list[str]()
    try:
        while (number := faults_of(kinds)) < faults and time.time() < until:
            what, found = worker.one()
            kinds[what] += 1
            wrong += ["\n".join([f"{seed}-{number} {what}:", *found])] if found else []
            if found or number % 20 == 19:
                said = f"{number + 1} faults, {worker.finished} sessions finished"
                print(
                    f"worker {seed}: {said}", what, *(found or ["all well"]), sep="\n  " if found else ", ", flush=True
                )
        return kinds, wrong, worker.finished, worker.place.own
    finally:
        worker.place.close()


def faults_of(kinds: Counter[str]) -> int:
    """How many faults there were; the others are phases that ended before theirs."""
    return sum(n for what, n in kinds.items() if not what.endswith("/"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which it ends with fewer faults")
    parser.add_argument("--phase", choices=STEPS, default="", help="the only one in which faults are wanted")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    base = given.folder or Path(tempfile.mkdtemp(prefix="bracket-faults-"))
    share = -(-given.faults // given.workers)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(work, base / f"worker-{n}", n, share, time.time() + 60 * given.minutes, given.phase)
            for n in range(given.workers)
        ]
        ends = [job.result() for job in jobs]
    kinds: Counter[str] = sum((end[0] for end in ends), Counter())
    wrong = [w for end in ends for w in end[1]]
    print("\n".join(f"{count:6d} {what}" for what, count in sorted(kinds.items())))
    if not all(end[3] for end in ends):
        print("full and read-only were left out: they need a file system that only root can mount")
    print("\n".join(wrong))
    print(f"{sum(end[2] for end in ends)} sessions finished; of {faults_of(kinds)} faults {len(wrong)} did harm")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
