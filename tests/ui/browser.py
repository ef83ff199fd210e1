"""The app as its own process, and a real browser that looks at it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pytest

from bracket.environment import child_env, project_root

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT = 30.0
"""Seconds for anything on the page; the machine may be busy."""


def chromium() -> str:
    """The system's Chromium; skips the test where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    return path


@contextmanager
def launched() -> Iterator[Browser]:
    """The system's Chromium, running; skips the test where there is none."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player, player.chromium.launch(executable_path=path, args=_ARGS) as browser:
        yield browser


@contextmanager
def started(
    runs: Path, log: Path, env: Mapping[str, str] | None = None, port: int = 0, options: Sequence[str] = ()
) -> Iterator[str]:
    """The app on this port, or on a free one; gives its address."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--no-browser", "--runs", str(runs), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=project_root(), env={**child_env(threads=1), **(env or {})}, stdout=output, stderr=output
        )
    try:
        found = until(lambda: re.search(r"bracket is at (http\S+)", log.read_text()) or process.poll(), 90)
        assert isinstance(found, re.Match), log.read_text()
        yield found.group(1)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def opened(browser: Browser, url: str, *, dark: bool = False) -> Iterator[tuple[Page, list[str]]]:
    """A page of the app in a browser of its own memory, and the complaints it collects: requests to elsewhere, answers
    that are errors of the server, errors of scripts and on the console."""
    context = browser.new_context(viewport={"width": 1360, "height": 940}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "request", lambda r: complaints.append(r.url) if urlparse(r.url).hostname not in (None, "127.0.0.1") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda r: complaints.append(f"{r.status} {r.url}") if r.status >= 500 else None)
    page.on("console", lambda m: complaints.append(f"{m.text} ({m.location})") if m.type == "error" else None)

    def forgive(_: object) -> None:
        """A page that goes aborts what is under way, which Gradio logs: also of streams with nothing left to tell."""
        aborted = ("AbortError", "Unexpected error Connection errored out.")
        complaints[:] = [c for c in complaints if not c.startswith(aborted)]

    page.on("framenavigated", forgive)
    page.set_default_timeout(WAIT * 1000)
    try:
        page.goto(url)
        page.wait_for_selector("#tabs button[role=tab]")
        filled(page)
        yield page, complaints
    finally:
        context.close()


def filled(page: Page) -> None:
    """Waits until the page has filled its form, which takes nothing before."""
    page.wait_for_function(
        "() => document.querySelector('[role=tabpanel]') && !document.querySelector('[role=tabpanel][inert]')"
    )


def pressed(page: Page, button: str, came: Callable[[], object]) -> None:
    """Presses a button until what it does is there: a plan that comes anew may replace it under the finger."""

    def again() -> object:
        if not came() and page.locator(button).count():
            page.locator(button).first.click(timeout=2_000)
            page.wait_for_timeout(500)
        return came()

    until(again)


def until(condition: Callable[[], object], seconds: float = WAIT) -> object:
    """What `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)
    return found
