"""Who can't see the page, has no mouse or only a phone can use it: axe-core on every tab, boxes, and the keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.domain import Round
from bracket.session.running.run import write_session_report
from tests.ui.browser import opened, started, until
from tests.ui.made import Maker, done_session, running_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.timeout(600)]

TABS = 5
THEMES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
_COMPLAINTS = """async () => (await axe.run(document)).violations.flatMap(
    (v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.html.slice(0, 200)}: ${n.failureSummary}`))"""
_OFF = """() => {
  const wide = document.documentElement.clientWidth, found = [], page = document.documentElement.scrollWidth;
  if (page > wide) found.push(`the page scrolls to ${page}`);
  const reached = "button, input, textarea, select, summary, a[href], [role=tab], [tabindex='0']";
  const scroller = (n) => /auto|scroll/.test(getComputedStyle(n).overflowX) && n.scrollWidth > n.clientWidth;
  const scrolls = (n) => n && n !== document.body && (scroller(n) || scrolls(n.parentElement));
  for (const node of document.querySelectorAll(reached)) {
    const box = node.getBoundingClientRect();
    if (!node.checkVisibility({ visibilityProperty: true }) || box.width < 2 || box.height < 2) continue;
    if ((box.left < -1 || box.right > wide + 1) && !scrolls(node.parentElement))
      found.push(`${node.outerHTML.slice(0, 120)} from ${Math.round(box.left)} to ${Math.round(box.right)}`);
  }
  return found;
}"""
"""What can be worked and lies off the page, unless a part that scrolls holds it."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions that are done, running and failed."""
    folder = tmp_path_factory.mktemp("runs")
    done_session(folder)
    running_session(folder)
    failed = Maker(folder, "zorp-failed")
    failed.trial(Round.SEARCH, failed.config(8e-2), origin="baseline", seed=11, steps=30, outcome=None, until=3)
    failed.state("failed", "search", 0, message="no trial ended well")
    failed.close()
    return folder


@pytest.fixture(scope="module")
def url(runs: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started(runs, tmp_path_factory.mktemp("app") / "app.log") as address:
        yield address


def complaints(page: Page) -> list[str]:
    """What axe-core holds against the page as it stands: every rule, nothing left out."""
    base = pytest.importorskip("axe_playwright_python.base")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(Path(base.AXE_FILE_PATH).read_text(encoding="utf-8"))
    # Pictures fade in, and a colour in the middle of a change is neither.
    page.wait_for_timeout(700)
    return [re.sub(r"\s+", " ", c) for c in page.evaluate(_COMPLAINTS)]


def pick(page: Page, session: str) -> None:
    page.click("#session input")
    page.locator("[role=option]").filter(has_text=session).first.click()
    until(lambda: session in page.title())
    page.locator("h1").click()


def tab(page: Page, number: int) -> None:
    page.locator("#tabs button[role=tab]").nth(number).click()
    page.wait_for_timeout(800)


@THEMES
@pytest.mark.parametrize("session", ["zorp-live", "zorp-failed", "zorp"])
def test_no_tab_has_a_fault(browser: Browser, url: str, session: str, dark: bool) -> None:
    with opened(browser, url, dark=dark) as (page, _):
        until(lambda: "zorp" in page.title())
        pick(page, f"{session} ·" if session == "zorp" else session)
        found = {}
        for number in range(TABS):
            tab(page, number)
            found[number] = complaints(page)
        assert found == {number: [] for number in range(TABS)}


@THEMES
def test_an_app_without_a_session_has_no_fault(browser: Browser, tmp_path: Path, dark: bool) -> None:
    with started(tmp_path / "runs", tmp_path / "app.log") as url, opened(browser, url, dark=dark) as (page, _):
        until(lambda: "No session" in page.locator("#state").inner_text())
        for number in range(TABS):
            tab(page, number)
            assert complaints(page) == []


@THEMES
def test_what_opens_over_the_page_has_no_fault(browser: Browser, url: str, dark: bool) -> None:
    with opened(browser, url, dark=dark) as (page, _):
        until(lambda: "zorp" in page.title())
        pick(page, "zorp ·")
        tab(page, 0)
        page.locator("#preset input").click()
        page.wait_for_selector("#preset [role=option] >> nth=50")
        page.keyboard.press("ArrowDown")
        assert complaints(page) == [], "the list of presets"
        page.keyboard.press("Escape")
        tab(page, 1)
        page.fill("#configs input", "")
        page.wait_for_selector(".fault")
        page.locator("#more button").first.click()
        assert complaints(page) == [], "a field that can't be read"
        tab(page, 2)
        page.locator(".tree .card").nth(3).click()
        page.wait_for_selector("#look.open .pictures img, #look.open h2")
        assert complaints(page) == [], "a trial"
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("?")
        page.wait_for_selector(".overlay")
        assert complaints(page) == [], "the keys"
        page.keyboard.press("Escape")
        tab(page, 4)
        page.locator(".vote .begin").click()
        page.wait_for_selector(".vote .booth figure img")
        assert complaints(page) == [], "the vote"


@THEMES
def test_the_report_has_no_fault(browser: Browser, runs: Path, dark: bool) -> None:
    report = write_session_report(runs / "zorp")
    context = browser.new_context(color_scheme="dark" if dark else "light", viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.goto(report.as_uri())
        for fold in page.locator("details").all():
            fold.evaluate("(node) => { node.open = true; }")
        assert complaints(page) == []
    finally:
        context.close()


@pytest.mark.parametrize("width", [320, 375])
def test_a_phone_reaches_everything(browser: Browser, url: str, width: int) -> None:
    with opened(browser, url) as (page, _):
        page.set_viewport_size({"width": width, "height": 700})
        until(lambda: "zorp" in page.title())
        found = {}
        for session in ("zorp-live", "zorp ·"):
            pick(page, session)
            for number in range(TABS):
                assert page.locator("#tabs button[role=tab]").nth(number).is_visible()
                tab(page, number)
                found[session, number] = page.evaluate(_OFF)
        assert {place: off for place, off in found.items() if off} == {}
        tab(page, 0)
        page.locator("#preset input").click()
        page.wait_for_selector("#preset [role=option] >> nth=50")
        assert page.evaluate(_OFF) == []


def test_a_picture_opens_and_shuts_by_keys(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        until(lambda: "zorp" in page.title())
        pick(page, "zorp ·")
        tab(page, 4)
        page.locator("#before-after summary").click()
        picture = page.locator("#before-after img[data-large]").first
        picture.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        until(lambda: dialog.locator("img").is_visible())
        page.keyboard.press("Escape")
        assert dialog.count() == 0
        assert picture.evaluate("(node) => node === document.activeElement"), "the focus comes back"
        outline = picture.evaluate("(node) => getComputedStyle(node).outlineStyle")
        assert outline == "solid", "and is seen"
