"""The preset's field in a real browser: typed words, arrows and Enter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.ui.browser import filled, opened, pressed, started, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.gui, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("app")
    with started(folder / "runs", folder / "app.log") as address:
        yield address


def test_words_in_any_order_find_a_preset_and_keys_choose_it(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, complaints):
        field = page.locator("#preset input")
        assert "Embedded demo" in field.input_value()
        field.focus()
        page.keyboard.type("lora kohya sdxl", delay=5)
        until(lambda: page.locator("#preset [role=option]").count() == 1)
        assert page.locator("#preset .family").inner_text() == "SDXL"
        assert "12 GB" in page.locator("#preset [role=option]").inner_text()
        page.keyboard.press("Enter")
        until(lambda: field.input_value() == "SDXL · LoRA · sd-scripts")
        until(lambda: "SDXL checkpoint" in page.locator("#weight-0").inner_text())
        page.keyboard.press("ArrowDown")
        until(lambda: page.locator("#preset [role=option]").count() > 50)
        chosen = page.locator("#preset [aria-selected=true]")
        assert field.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
        page.keyboard.press("ArrowDown")
        assert page.locator("#preset .active").get_attribute("data-name") == "sd-scripts-sdxl-full"
        page.keyboard.press("Escape")
        assert page.locator("#preset [role=listbox]").is_hidden()
        assert field.input_value() == "SDXL · LoRA · sd-scripts", "what was chosen stays"
        field.fill("kontxt")
        until(lambda: "nearest" in page.locator("#preset .hits").inner_text())
        page.locator("#preset [role=option]").first.click()
        until(lambda: field.input_value() == "FLUX.1 Kontext · LoRA · musubi-tuner")
        assert complaints == []


def test_enter_may_be_faster_than_the_list_and_a_pasted_folder_is_a_draft(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with opened(browser, url) as (page, complaints):
        field = page.locator("#preset input")
        assert "Embedded demo" in field.input_value()
        field.focus()
        page.keyboard.type("lora kohya sdxl")
        page.keyboard.press("Enter")
        until(lambda: field.input_value() == "SDXL · LoRA · sd-scripts")
        until(lambda: "SDXL checkpoint" in page.locator("#weight-0").inner_text())
        page.get_by_label("Folder of pictures").fill(str(tmp_path))
        kept = "() => Object.keys(localStorage).some((key) => key.startsWith('bracket-draft'))"
        until(lambda: page.evaluate(kept))
        page.wait_for_timeout(3000)  # the state of the folder is written down a moment after that of the preset
        page.reload()
        until(lambda: page.get_by_label("Folder of pictures").input_value() == str(tmp_path))
        assert complaints == []


def test_a_checks_button_leads_to_what_mends_it(browser: Browser, url: str, tmp_path: Path) -> None:
    with opened(browser, url) as (page, _):
        field = page.locator("#preset input")
        assert "Embedded demo" in field.input_value()
        field.focus()
        page.keyboard.type("sdxl kohya lora", delay=5)
        until(lambda: page.locator("#preset [role=option]").count() == 1)
        page.keyboard.press("Enter")
        page.locator("[data-do='weight 0']").first.click()
        until(lambda: page.evaluate("() => document.activeElement.closest('#weight-0') !== null"))
        page.locator("[data-do='install sd_scripts']").first.click()
        until(lambda: page.evaluate("() => document.activeElement.id") == "trainer-install")
        assert page.locator("#trainer input:checked").get_attribute("value") == "sd_scripts"
        assert "Starting" not in page.locator("#trainer-progress").inner_text(), "8 GB come only when asked for"
        page.locator("[data-do='use sd_scripts']").first.click()
        until(lambda: page.evaluate("() => document.activeElement.closest('#trainer-have') !== null"))
        Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
        (tmp_path / "a.txt").write_text("a black square")
        page.fill("#folder textarea, #folder input", str(tmp_path))
        page.locator("#tabs button[role=tab]").nth(1).click()
        device = page.locator("#device textarea, #device input")
        pressed(page, "#plan [data-do='set device cpu']", lambda: device.count() and device.input_value() == "cpu")
        until(lambda: page.locator("#plan [data-do='set device cpu']").count() == 0)
        page.locator("#plan [data-do='weight 0']").click()
        until(lambda: page.evaluate("() => document.activeElement.closest('#weight-0') !== null"))


def test_what_is_chosen_at_once_stays_chosen(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        page.reload(wait_until="commit")
        field = page.locator("#preset input")
        field.click()  # as soon as it takes a click
        page.keyboard.type("sdxl kohya lora")
        page.keyboard.press("Enter")
        filled(page)
        page.wait_for_timeout(1500)  # in which a restored form would arrive
        assert field.input_value() == "SDXL · LoRA · sd-scripts"
