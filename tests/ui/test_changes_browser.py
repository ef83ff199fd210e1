"""Sessions that change, go and come back under an open page: it goes on, and acts on what it shows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.session.control import stop_asked
from tests.ui.browser import WAIT, opened, started, until
from tests.ui.made import Maker, done_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def small_session(runs: Path, name: str, *, live: bool = False) -> Path:
    """Three trials; one of them trains in this very process where it is `live`."""
    maker = Maker(runs, name)
    maker.search(count=3, running=int(live))
    maker.state("running" if live else "stopped", "search", 2, eta=90.0, message="Searching" if live else "Stopped")
    if live:
        maker.runs_here()
    maker.close()
    return maker.folder


@pytest.fixture(scope="module")
def own_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changing") / "runs"
    done_session(folder)
    small_session(folder, "small")
    return folder


@pytest.fixture(scope="module")
def url(own_runs: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("app") / "app.log"
    with started(own_runs, log) as address:
        yield address
    assert "Traceback" not in log.read_text()


def choose(page: Page, box: str, option: str) -> None:
    page.click(f"{box} input")
    page.locator("[role=option]").filter(has_text=option).first.click()
    page.locator("h1").click()


def shows(page: Page, title: str) -> None:
    until(lambda: page.title() == f"{title} · bracket")


def message(page: Page) -> str:
    return str(page.locator("#message").inner_text())


def says(page: Page, wanted: str, seconds: float = WAIT) -> None:
    """Waits for the message `wanted`; names the one that stands there instead."""
    end = time.monotonic() + seconds
    while (found := message(page)) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    assert found == wanted


def test_what_was_chosen_of_one_session_does_not_freeze_another(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, complaints):
        until(lambda: page.title() != "bracket")
        choose(page, "#session", "zorp · done")
        shows(page, "Done · zorp")
        page.keyboard.press("5")
        until(lambda: page.locator("#side img").count() > 0)
        page.locator("#xyz-x input").wait_for()
        page.keyboard.press("3")
        choose(page, "#trial", "search-009")
        until(lambda: "search-009" in page.locator("#samples").inner_text())
        page.locator("#log-source label").nth(1).click()
        until(lambda: "step 1 loss" in page.locator("#log textarea").input_value())
        choose(page, "#session", "small · stopped")
        shows(page, "Stopped · small")
        until(lambda: "Newest trial" in page.locator("#trial input").input_value())
        until(lambda: "search-002" in page.locator("#samples").inner_text())
        page.keyboard.press("5")
        until(lambda: "No verdict yet" in page.locator("#verdict").inner_text())
        page.keyboard.press("4")
        page.wait_for_timeout(1000)
        choose(page, "#session", "zorp · done")
        shows(page, "Done · zorp")
        assert complaints == []


def test_sessions_that_go_and_come_back(browser: Browser, url: str, own_runs: Path) -> None:
    away = own_runs.parent / "away"
    with opened(browser, url) as (page, complaints):
        until(lambda: page.title() != "bracket")
        choose(page, "#session", "small · stopped")
        shows(page, "Stopped · small")
        page.keyboard.press("3")
        whole_message = message(page)
        page.locator("#cards .card").first.click()
        page.wait_for_selector("#look.open")
        shutil.move(own_runs / "small", away)
        until(lambda: "There is no session called 'small'" in message(page))
        page.keyboard.press("Escape")
        page.wait_for_selector("#resume", state="hidden")
        shutil.move(away, own_runs / "small")
        shows(page, "Stopped · small")
        says(page, whole_message)  # the title can turn before it
        for file, text in (("session.yaml", "{"), ("state.json", "no json"), ("study.db", "no database")):
            whole = (own_runs / "small" / file).read_bytes()
            (own_runs / "small" / file).write_text(text)
            until(lambda: message(page) != whole_message)
            (own_runs / "small" / file).write_bytes(whole)
            # An answer that was lost is told again, and the more rarely the busier the server is.
            says(page, whole_message, 90)
        shutil.move(own_runs, away)
        until(lambda: "There is no session called 'small'" in message(page))
        for key in "12345":
            page.keyboard.press(key)
            page.wait_for_timeout(300)
        shutil.move(away, own_runs)
        shows(page, "Stopped · small")
        small_session(own_runs, "from-the-shell")
        page.wait_for_timeout(6000)
        choose(page, "#session", "from-the-shell")
        shows(page, "Stopped · from-the-shell")
        shutil.rmtree(own_runs / "from-the-shell")
        until(lambda: "There is no session called" in message(page))
        # pictures of a session that is away can't be had; nothing else may fail
        assert [c for c in complaints if "/gradio_api/file=" not in c] == []


def test_stop_and_resume_act_on_what_is_shown(browser: Browser, url: str, own_runs: Path) -> None:
    one, other = (small_session(own_runs, name, live=True) for name in ("live-one", "live-other"))
    with opened(browser, url) as (page, complaints), opened(browser, url) as (second, _):
        for each, name in ((page, "live-one"), (second, "live-other")):
            until(lambda each=each: "live" in each.title())
            choose(each, "#session", f"{name} · running")
            until(lambda each=each, name=name: name in each.title())
        page.click("#stop")
        page.wait_for_selector("#stop-sure")
        # The server takes its time over the other session: what is shown is still the first.
        page.route("**/gradio_api/run/**", lambda route: (page.wait_for_timeout(100), route.continue_()))
        page.click("#stop-sure")
        until(lambda: stop_asked(one))
        assert not stop_asked(other)
        shows(page, "Stopping · live-one")
        assert "live-other" in second.title() and second.locator("#stop").is_enabled()
        page.unroute_all()
        # A question that was asked of one session is not answered for another.
        second.click("#stop")
        second.wait_for_selector("#stop-sure")
        choose(second, "#session", "zorp · done")
        shows(second, "Done · zorp")
        second.wait_for_selector("#stop-sure", state="hidden")
        assert not stop_asked(other) and complaints == []
    for folder in (one, other):
        shutil.rmtree(folder)


def again(page: Page) -> None:
    """The page anew, at the form's second tab."""
    page.reload()
    until(lambda: page.title() != "bracket")
    page.wait_for_timeout(3000)  # the page opens the tab that suits the session
    page.keyboard.press("2")
    page.locator("#configs input").wait_for()


def test_a_form_that_was_begun_survives_a_reload(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, complaints):
        until(lambda: page.title() != "bracket")
        page.keyboard.press("2")
        until(lambda: "12 trials" in page.locator("#plan").inner_text())
        page.fill("#configs input", "9")
        page.fill("#name input, #name textarea", "mine")
        page.wait_for_timeout(1000)
        again(page)
        until(lambda: page.locator("#configs input").input_value() == "9")
        page.locator("h1").click()
        page.keyboard.press("1")
        page.wait_for_selector("#afresh")
        page.click("#afresh")
        page.wait_for_selector("#afresh", state="hidden")
        page.keyboard.press("2")
        until(lambda: page.locator("#configs input").input_value() != "9")
        page.wait_for_timeout(1000)
        again(page)
        page.wait_for_timeout(3000)
        assert page.locator("#afresh").count() == 0 or page.locator("#afresh").is_hidden()
        assert page.locator("#configs input").input_value() != "9"
        assert complaints == []


def test_a_slow_server_does_not_shut_the_booth(browser: Browser, tmp_path: Path) -> None:
    folder = done_session(tmp_path)
    with started(tmp_path, tmp_path / "app.log") as address, opened(browser, address) as (page, complaints):
        shows(page, "Done · zorp")
        until(lambda: page.locator("#vote .begin").is_visible())
        until(lambda: "Start voting" in page.locator("#vote .begin").inner_text())
        page.locator("#vote .begin").click()
        # Every answer comes late and in its turn, while the ledger is touched and the page read again.
        page.evaluate(
            """() => { const real = window.fetch; window.fetch = async (...a) => {
              await new Promise((r) => setTimeout(r, 1500)); return real(...a); }; }"""
        )
        for number in range(1, 7):
            until(lambda: page.locator("#vote .choose-left").is_enabled())
            page.keyboard.press("ArrowLeft")
            (folder / "session.log").open("a").write("touched\n")
            assert page.locator("#vote .count").inner_text() == f"{number} of 6"
            assert page.locator("#vote .booth").is_visible() or number == 6
        until(lambda: page.locator("#vote .words").inner_text() == "You voted on all 6 pairs.")
        assert len((folder / "votes.jsonl").read_text().splitlines()) == 6
        assert complaints == []
