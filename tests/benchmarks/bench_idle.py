"""What an open page costs while nothing happens: CPU seconds a minute of the app and of the browser, on every tab.

    python -m tests.benchmarks.bench_idle [SECONDS]

Takes the session that the browser tests make (done, 41 trials) and Chromium without a window.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.ui.browser import launched, opened, started, until
from tests.ui.made import done_session

TABS = ("Setup", "Run", "Monitor", "Judge", "Results")
_SETTLES = 8.0
"""Seconds a tab gets to load its pictures."""


def descendants(name: str) -> Iterator[psutil.Process]:
    """Processes this one started whose name or command holds `name`."""
    for process in psutil.Process().children(recursive=True):
        try:
            if name in process.name() or name in " ".join(process.cmdline()[:2]):
                yield process
        except psutil.Error:
            continue


def used(name: str) -> float:
    """CPU seconds they have used so far."""
    seconds = 0.0
    for process in descendants(name):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds += times.user + times.system
    return seconds


def measure(seconds: float, tabs: tuple[str, ...] = TABS) -> Iterator[tuple[str, float, float]]:
    """CPU seconds a minute of server and browser, tab after tab."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        runs = Path(folder) / "runs"
        done_session(runs)
        with started(runs, Path(folder) / "app.log") as url, opened(browser, url) as (page, _):
            until(lambda: page.title() == "Done · zorp · bracket")
            for tab in tabs:
                page.keyboard.press(str(TABS.index(tab) + 1))
                time.sleep(_SETTLES)
                before = used("app.py"), used("chrom")
                time.sleep(seconds)
                after = used("app.py"), used("chrom")
                yield tab, (after[0] - before[0]) * 60 / seconds, (after[1] - before[1]) * 60 / seconds


def main(seconds: float = 60.0) -> None:
    print(f"{'tab':<10}{'server':>8}{'browser':>9}{'both':>7}   CPU seconds a minute", flush=True)
    for tab, server, browser in measure(seconds):
        print(f"{tab:<10}{server:>8.2f}{browser:>9.2f}{server + browser:>7.2f}", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
