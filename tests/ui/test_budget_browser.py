"""The budget in a real browser: hours fill the numbers, and numbers move the hours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ui.browser import opened, started, until
from tests.ui.made import Maker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def test_hours_and_numbers_follow_each_other(browser: Browser, tmp_path: Path) -> None:
    maker = Maker(tmp_path, "zorp")
    maker.state("stopped", "search", 0)
    maker.close()
    with started(tmp_path, tmp_path / "app.log") as url, opened(browser, url) as (page, complaints):
        until(lambda: page.title().endswith("zorp · bracket"))
        page.keyboard.press("2")
        until(lambda: "12 trials" in page.locator("#plan").inner_text())
        until(lambda: "These numbers take about" in page.locator("#pays").inner_text())
        hours, pairs = page.locator("#hours input[type=number]"), page.locator("#pairs input")
        hours.fill("0.2")
        page.keyboard.press("Tab")
        until(lambda: "12 min pays for" in page.locator("#pays").inner_text())
        configs = int(page.locator("#configs input").input_value())
        until(lambda: f"{configs} trials" in page.locator("#plan").inner_text())
        assert configs > 12 and int(pairs.input_value()) >= 5
        assert hours.input_value() == "0.2", "it stays where it was put"
        page.fill("#configs input", "5")
        until(lambda: "These numbers take about" in page.locator("#pays").inner_text())
        until(lambda: float(hours.input_value()) < 0.2)
        page.click("#strategy input")
        page.locator("[role=option]").filter(has_text="NSGA").first.click()
        until(lambda: page.locator("#objectives").is_visible())
        assert not page.locator("#rungs").is_visible()
        assert complaints == []
