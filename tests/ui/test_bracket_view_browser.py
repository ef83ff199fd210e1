"""The drawn tournament as a person meets it: it stays still while it changes, and a card opens and closes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.domain import Outcome, Round
from tests.ui.browser import opened, started, until
from tests.ui.made import Maker, result, trial_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_a_tournament_is_watched_and_looked_into(browser: Browser, tmp_path: Path) -> None:
    maker = Maker(tmp_path, "cup")
    maker.search(count=5, running=1)
    maker.state("running", "search", 4, eta=60.0, message="Searching")
    maker.runs_here()
    with started(tmp_path, tmp_path / "app.log") as url, opened(browser, url) as (page, complaints):
        key = "#cards [data-key='search-00{}/0']".format
        page.wait_for_selector(key(4))
        until(lambda: "training 21/30" in page.locator(key(4)).inner_text())
        page.evaluate("k => { document.querySelector(k).mine = 1; }", key(1))
        page.evaluate("k => { document.querySelector(k).mine = 1; }", key(4))

        page.locator(key(1)).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#look .pictures img >> nth=11")
        until(lambda: page.locator("#look-loss .legend button").count() == 2)
        assert "python -m bracket.training" in page.locator("#look .command").inner_text()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("() => document.getElementById('look').contains(document.activeElement)")
        page.keyboard.press("1")
        assert page.locator("#tabs button[aria-selected=true]").inner_text() == "Monitor", "keys stay in the overlay"

        page.locator("#look .pictures img").first.click()
        page.wait_for_selector(".overlay")
        page.keyboard.press("Escape")
        assert page.locator(".overlay").count() == 0 and page.locator("#look").is_visible(), "one thing at a time"
        page.keyboard.press("Escape")
        assert page.locator("#look").is_hidden()
        assert page.evaluate("() => document.activeElement.dataset.key") == "search-001/0"

        (running,) = maker.store.open_trials(Round.SEARCH)
        trial_files(running, running.steps, Outcome.OK)
        maker.store.finish(result(running, Outcome.OK))
        until(lambda: "so far" in page.locator(key(4)).inner_text())
        assert page.evaluate("k => document.querySelector(k).mine", key(4)) is None, "what changed was put in its place"
        assert page.evaluate("k => document.querySelector(k).mine", key(1)) == 1, "it is still the first: it stays"
        assert complaints == []
    maker.close()
