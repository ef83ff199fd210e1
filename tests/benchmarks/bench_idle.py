"""What an open page costs while nothing happens: CPU seconds a minute of the app and of the browser, on every tab.

    python -m tests.benchmarks.bench_idle [SECONDS]

Takes the session that the browser tests make (done, 41 trials) and Chromium without a window. The first line is what
that costs with an empty page: the app adds what is above it. A tab is measured once its page asks for nothing
but the pulse; a machine that is busy with other things makes every figure larger.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.ui.browser import launched, opened, started, until
from tests.ui.made import done_session

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

TABS = ("Setup", "Run", "Monitor", "Judge", "Results")
_SETTLES, _LONGEST = 20.0, 90.0
"""Seconds in which a tab asks for nothing before it counts as loaded, and the most it is waited for."""


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


def settled(page: Page) -> None:
    """Waits until the page asked for nothing but the pulse for a while."""
    last = [time.monotonic()]
    end = last[0] + _LONGEST

    def asked(request: Request) -> None:
        if "/pulse?" not in request.url:
            last[0] = time.monotonic()

    page.on("request", asked)
    while time.monotonic() < min(end, last[0] + _SETTLES):
        page.wait_for_timeout(500)
    page.remove_listener("request", asked)


def cost(seconds: float) -> tuple[float, float]:
    """CPU seconds a minute of server and browser from now on."""
    began, before = time.monotonic(), (used("app.py"), used("chrom"))
    time.sleep(seconds)
    minutes = (time.monotonic() - began) / 60
    return (used("app.py") - before[0]) / minutes, (used("chrom") - before[1]) / minutes


def measure(seconds: float, tabs: tuple[str, ...] = TABS) -> Iterator[tuple[str, float, float]]:
    """CPU seconds a minute of server and browser, tab after tab."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        runs = Path(folder) / "runs"
        done_session(runs)
        with browser.new_page() as empty:
            empty.goto("about:blank")
            time.sleep(_SETTLES)
            yield "(empty)", *cost(seconds)
        with started(runs, Path(folder) / "app.log") as url, opened(browser, url) as (page, _):
            until(lambda: page.title() == "Done · zorp · bracket", _LONGEST)
            for tab in tabs:
                page.keyboard.press(str(TABS.index(tab) + 1))
                settled(page)
                yield tab, *cost(seconds)


def main(seconds: float = 60.0) -> None:
    print(f"{'tab':<10}{'server':>8}{'browser':>9}{'both':>7}   CPU seconds a minute", flush=True)
    for tab, server, browser in measure(seconds):
        print(f"{tab:<10}{server:>8.2f}{browser:>9.2f}{server + browser:>7.2f}", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
