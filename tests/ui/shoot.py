"""Takes the pictures of docs/screenshots from an app that runs: `python -m tests.ui.shoot ADDRESS SESSION`.

The session should be done: Monitor and Results then show everything they can.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page

from bracket.environment import project_root
from tests.ui.browser import launched, opened, until

FOLDER = project_root() / "docs" / "screenshots"
TABS = ("setup", "run", "monitor", "judge", "results")


def shoot(page: Page, session: str, tabs: tuple[str, ...], suffix: str = "") -> None:
    """One picture a tab, once everything on it has arrived."""
    page.click("#session input")
    page.locator("[role=option]").filter(has_text=session).first.click()
    until(lambda: session in page.title())
    page.locator("h1").click()
    for name in tabs:
        page.keyboard.press(str(TABS.index(name) + 1))
        page.wait_for_timeout(4000)
        page.screenshot(path=FOLDER / f"{name}{suffix}.png")


def main(address: str, session: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        with opened(browser, address) as (page, _):
            shoot(page, session, TABS)
        with opened(browser, address, dark=True) as (page, _):
            shoot(page, session, ("results",), "-dark")
    print("\n".join(str(p.relative_to(project_root())) for p in sorted(Path(FOLDER).glob("*.png"))))


if __name__ == "__main__":
    main(*sys.argv[1:3])
