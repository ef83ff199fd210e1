"""Setup's part on trainers: what it says without a browser, and an install clicked through in one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.errors import TrainerError
from bracket.homes import UPSTREAMS, state_of
from bracket.trainers.install import Progress
from bracket.ui.setup import trainers
from bracket.ui.setup.trainers import Installation
from tests.trainers.upstreams import fake_venv, git, lookalike, offline, package_index
from tests.ui.browser import opened, started, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BRACKET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("BRACKET_TRAINERS", str(tmp_path / "trainers"))


def test_the_line_says_of_each_trainer_whether_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lookalike(tmp_path / "mine", "sd_scripts")
    fake_venv(tmp_path / "mine" / "venv", dict.fromkeys((*UPSTREAMS["sd_scripts"].core, "part"), "1.0"))
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", str(tmp_path / "mine"))
    monkeypatch.setenv("BRACKET_MUSUBI", str(tmp_path / "<gone>"))
    html = trainers.status_html([state_of(name) for name in UPSTREAMS])
    assert f"sd-scripts ✓ {git(tmp_path / 'mine', 'rev-parse', 'HEAD')[:7]}</span> · " in html
    assert "musubi-tuner ✗ there is no such folder</span>" in html and "&lt;gone&gt;" in html
    assert "AI-Toolkit – not installed</span>" in html
    assert [trainers.updatable(state_of(name)) for name in UPSTREAMS] == [True, False, False]


def test_an_installation_says_where_it_is_and_how_it_ended() -> None:
    go = threading.Event()

    def steps(error: Exception | None) -> Iterator[Progress]:
        yield Progress(3, 5, "torch", "<Downloading>")
        go.wait()
        if error:
            raise error
        yield Progress(5, 5, "Check", "sd-scripts is ready")

    well = Installation("sd_scripts", steps(None), threading.Event())
    refused = Installation(
        "sd_scripts", steps(TrainerError("the disk is full", remedy="Free some.")), threading.Event()
    )
    until(lambda: well.progress.step == 3)
    html = trainers.progress_html(well)
    assert "sd-scripts · 3 of 5: torch · " in html and "&lt;Downloading&gt;" in html
    go.set()
    until(lambda: not (well.running or refused.running))
    assert trainers.progress_html(well) == "<p>sd-scripts is ready</p>"
    assert trainers.progress_html(refused) == '<p class="message error">The disk is full. Free some.</p>'


@pytest.mark.gui
@pytest.mark.slow
def test_a_trainer_is_installed_from_the_page(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch, package_index(tmp_path / "index"))
    lookalike(tmp_path / "source", "sd_scripts")
    (tmp_path / "slow").touch()
    monkeypatch.setenv("SLOW", str(tmp_path / "slow"))
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_SOURCE", str(tmp_path / "source"))
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_COMMIT", git(tmp_path / "source", "rev-parse", "HEAD"))
    (tmp_path / "runs").mkdir()
    with started(tmp_path / "runs", tmp_path / "app.log") as url, opened(browser, url) as (page, complaints):
        until(lambda: "sd-scripts – not installed" in said(page, "#trainers"))
        page.locator("#trainers-drawer button").first.click()
        page.fill("#trainer-have textarea, #trainer-have input", str(tmp_path / "slow"))
        page.click("#trainer-use")
        until(lambda: "There is no such folder" in page.content())
        assert page.input_value("#trainer-folder textarea, #trainer-folder input").endswith("sd-scripts")
        page.click("#trainer-install")
        until(lambda: "4 of 5: Packages" in said(page, "#trainer-progress"))
        page.click("#trainer-stop")
        until(lambda: "The install was stopped" in said(page, "#trainer-progress"))
        until(lambda: "✗ its install was not finished" in said(page, "#trainers"))
        page.click("#trainer-install")
        until(lambda: "4 of 5: Packages" in said(page, "#trainer-progress"))
        page.reload()  # it goes on without the page that began it, and the next page shows it
        page.wait_for_selector("#trainers-drawer button")
        page.locator("#trainers-drawer button").first.click()
        until(lambda: "4 of 5: Packages" in said(page, "#trainer-progress"))
        (tmp_path / "slow").unlink()
        until(lambda: "sd-scripts is ready" in said(page, "#trainer-progress"))
        until(lambda: "sd-scripts ✓" in said(page, "#trainers"))
        assert page.inner_text("#trainer-install") == "Update"
        page.click("#trainer-forget")
        until(lambda: "sd-scripts – not installed" in said(page, "#trainers"))
        assert complaints == []
        if shots := os.environ.get("SHOTS"):
            page.locator("#trainers-drawer").scroll_into_view_if_needed()
            page.screenshot(path=f"{shots}/trainers.png")


def said(page: Page, place: str) -> str:
    return page.locator(place).inner_text()
