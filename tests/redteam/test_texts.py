"""A downloaded session whose every word is an attack, in a real browser: all of it is shown as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.redteam.live import Live, live
from tests.ui.browser import launched, opened, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.gui, pytest.mark.timeout(300)]

RUNS = "window.pwned=1"
EVIL = (
    f'<img src=x onerror="{RUNS}"><script>{RUNS}</script>"\'><svg onload={RUNS}>'
    f"[a](javascript:{RUNS}) ![b](https://evil.test/p.png) <a href='javascript:{RUNS}'>c</a> $\\frac{{$ {{{{7*7}}}}"
)
NAME = f"<img src=x onerror={RUNS}>"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("texts")) as found:
        poison(found.runs / "zorp")
        (found.runs / "zorp").rename(found.runs / NAME)
        yield found


def poison(session: Path) -> None:
    (session / "report").mkdir(exist_ok=True)
    (session / "report" / "verdict.txt").write_text(EVIL)
    (session / "remarks.json").write_text(json.dumps([EVIL]))
    for index in session.rglob("index.jsonl"):
        lines = [json.loads(line) for line in index.read_text().splitlines()]
        index.write_text("".join(json.dumps({**line, "prompt": EVIL + line["prompt"]}) + "\n" for line in lines))
    for log in session.rglob("*.log"):
        log.write_text(EVIL + "\n")
    state = json.loads((session / "state.json").read_text())
    (session / "state.json").write_text(json.dumps({**state, "message": EVIL}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


def test_nothing_of_a_downloaded_session_runs_or_calls_home(app: Live, browser: Browser) -> None:
    with opened(browser, app.origin) as (page, complaints):
        until(lambda: NAME in page.title())
        for number in range(1, 6):
            page.keyboard.press(str(number))
            page.wait_for_timeout(700)
            assert page.evaluate("window.pwned") is None
        assert "<script>" in page.locator("#verdict").inner_text()
        assert page.locator("#verdict img, #verdict script, #verdict a").count() == 0
        assert page.locator("img[src='x'], a[href^='javascript'], img[src*='evil']").count() == 0
        assert [c for c in complaints if "evil" in c or "pwned" in c] == []
