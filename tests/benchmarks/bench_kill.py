"""Kill -9 at random moments of a demo session: `python -m tests.benchmarks.bench_kill [--kills 50] [--folder DIR]`.

Runs the real demo (real trainer, real judge), kills bracket at a random moment, waits, and checks that no process of
it lives, that no finished trial was lost or told anew, and that the ledger opens; then resumes, until it was killed so
often. At the end the session is finished and every planned trial must have been told exactly once.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from bracket.report import certificate
from bracket.session import launch, view

GRACE = 5.0
"""Seconds within which every process must be gone."""


def told(folder: Path) -> dict[str, tuple[str, float | None]]:
    """Every told trial's outcome and score."""
    trials = view.read(folder).trials
    return {t.id: (t.outcome.value, t.score.total if t.score else None) for t in trials if t.outcome}


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_once(folder: Path, seconds: float) -> list[str]:
    """Run, kill after `seconds`, and say what was wrong afterwards."""
    process = subprocess.Popen([sys.executable, "-m", "bracket", "run", str(folder), "--quiet"], start_new_session=True)
    until = time.monotonic() + seconds
    seen: dict[int, psutil.Process] = {}
    while time.monotonic() < until and process.poll() is None:
        seen |= {p.pid: p for p in psutil.Process(process.pid).children(recursive=True)}
        time.sleep(0.05)
    before = told(folder)
    process.kill()
    process.wait()
    time.sleep(GRACE)
    wrong = [f"process {p.pid} lives on" for p in seen.values() if alive(p)]
    after = told(folder)
    wrong += [f"{i} was lost or told anew" for i, value in before.items() if after.get(i) != value]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=25.0, help="seconds a run lives at the most")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    runs = given.folder or Path(tempfile.mkdtemp(prefix="bracket-kill-"))
    chance, wrong, count = random.Random(1), [], 0
    folder = runs / "session-0"
    launch.create(launch.demo_settings(0, runs), folder)
    while count < given.kills:
        if view.read(folder).state == "done":
            folder = runs / f"session-{count}"
            launch.create(launch.demo_settings(count, runs), folder)
        found = kill_once(folder, chance.uniform(0.5, given.longest))
        wrong += found
        count += 1
        print(f"kill {count}: {len(told(folder))} trials told, {found or 'nothing wrong'}", flush=True)
    subprocess.run([sys.executable, "-m", "bracket", "run", str(folder), "--quiet"], check=True)
    rounds = Counter(t.round.value for t in view.read(folder).trials)
    print(
        f"finished: {dict(rounds)}; certificate {certificate.verify(folder / 'report' / 'certificate.json') or 'holds'}"
    )
    print(f"{given.kills - len(wrong)} passed, {len(wrong)} failed")


if __name__ == "__main__":
    main()
