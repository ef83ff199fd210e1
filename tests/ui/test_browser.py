"""The app as a person meets it: a real browser clicks through a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest

from bracket.environment import presets_folder
from bracket.judges.people.votes import read_votes
from bracket.report.glossary import COINED, FIELD
from bracket.session.control import read_progress, running_process
from tests.ui.browser import opened, started, until
from tests.ui.made import done_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.gui, pytest.mark.slow]


@pytest.fixture(scope="module")
def url(runs: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started(runs, tmp_path_factory.mktemp("app") / "app.log") as address:
        yield address


def go(page: Page, key: str) -> None:
    """Presses a tab's key once the page has opened the tab of the running session by itself."""
    until(lambda: tab(page) == "Monitor")
    page.keyboard.press(key)


def tab(page: Page) -> str:
    return page.locator("#tabs button[aria-selected=true]").inner_text()


def pick(page: Page, session: str) -> None:
    page.click("#session input")
    page.locator("[role=option]").filter(has_text=session).first.click()
    page.locator("h1").click()


def log_of(page: Page) -> str:
    return page.locator("#log textarea").input_value()


def test_the_five_tabs(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, complaints):
        until(lambda: page.title() == "7/30 Searching · zorp-live · bracket")
        assert tab(page) == "Monitor", "a search runs, so that is what one sees"
        page.wait_for_selector("#cards .card >> nth=7")
        until(lambda: "search-007" in log_of(page) or "search-001" in log_of(page))
        until(lambda: page.locator("#loss .legend button").count() == 8)
        assert page.locator("#loss .nothing").is_hidden()
        for key, name in (("1", "Setup"), ("2", "Run"), ("4", "Judge"), ("5", "Results"), ("3", "Monitor")):
            page.keyboard.press(key)
            until(lambda name=name: tab(page) == name)
        pick(page, "zorp · done")
        until(lambda: page.title() == "Done · zorp · bracket")
        page.keyboard.press("5")
        page.wait_for_selector("#before-after .grid >> nth=1")
        page.locator("#before-after summary").click()
        page.wait_for_selector("#before-after img >> nth=20")
        assert "wins. Its pictures beat" in page.locator("#verdict").inner_text()
        assert "bracket.training" in page.locator("#winner-command textarea").input_value()
        until(lambda: page.locator("#side img").count() == 12)
        page.locator("#slider").scroll_into_view_if_needed()
        page.wait_for_selector("#slider img >> nth=1")
        until(lambda: "the loss became infinite at step 21" in page.locator("#table").inner_text())
        page.keyboard.press("1")
        until(lambda: "24 images" in page.locator("#pictures-found").inner_text())
        assert complaints == [], "nothing may come from elsewhere, and no script may fail"


def test_the_plan_follows_the_form(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        go(page, "2")
        until(lambda: "12 trials" in page.locator("#plan").inner_text())
        page.fill("#configs input", "5")
        until(lambda: "This finds the best of 5 settings" in page.locator("#plan").inner_text())
        page.fill("#pairs input", "0")
        until(lambda: "add 5 paired runs" in page.locator("#plan").inner_text())
        page.fill("#configs input", "")
        until(lambda: "Configs to compare" in page.locator("#plan").inner_text())
        assert page.locator("#start").is_disabled()


def test_labels_say_what_their_words_mean(browser: Browser, url: str) -> None:
    said = {term.word: term.said for term in (*COINED, *FIELD)}
    with opened(browser, url) as (page, _):
        go(page, "2")
        rungs = page.locator("#rungs [data-testid=block-info]")
        until(lambda: rungs.get_attribute("title") == f"rung: {said['rung']}")
        steps = page.locator("#finals-steps [data-testid=block-info]")
        assert steps.get_attribute("title") == f"finalist: {said['finalist']}\nstep: {said['step']}"
        assert page.locator("#rungs input").first.get_attribute("aria-description") == rungs.get_attribute("title")
        assert not page.locator("#hours .coined").count(), "a label without such a word is left as it is"
        page.locator("h1").click()
        page.keyboard.press("?")
        assert said["duel"] in page.locator(".overlay dd").all_inner_texts()


def test_a_knob_is_edited_in_its_cell(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        go(page, "2")
        until(lambda: "12 trials" in page.locator("#plan").inner_text())
        low = page.locator("#knobs").get_by_text("1e-05", exact=True).last
        low.click()
        # The table gives its cell the focus some moments after the click; a key pressed before that is the page's.
        until(lambda: page.evaluate("() => document.activeElement.closest('[role=gridcell]') !== null"))
        page.keyboard.press("1")
        assert tab(page) == "Run", "a key pressed in a cell is meant for the cell"
        page.keyboard.press("Escape")
        low.dblclick()
        page.locator("#knobs textarea").fill("5")
        page.keyboard.press("Enter")
        until(lambda: "low 5 is above high 0.1" in page.locator("#plan").inner_text())
        assert page.locator("#start").is_disabled()
        until(lambda: "low 5 is above high 0.1" in page.locator("#knobs .fault").inner_text())
        assert page.locator("#knobs [aria-invalid=true]").get_attribute("data-col") == "1"
        page.fill("#configs input", "")
        until(lambda: "a whole number is needed" in page.locator("#configs .fault").inner_text())
        page.fill("#configs input", "12")
        until(lambda: page.locator("#configs .fault").count() == 0)
        low = page.locator("#knobs [data-row='0'][data-col='1']")
        low.dblclick()
        page.locator("#knobs textarea").fill("1e-4")
        page.keyboard.press("Enter")
        until(lambda: page.locator(".fault, [aria-invalid=true]").count() == 0)


def test_a_folder_is_checked_as_one_types(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        go(page, "1")
        until(lambda: "24 images" in page.locator("#pictures-found").inner_text())
        page.fill("#folder input, #folder textarea", "/no/such/folder")
        until(lambda: "/no/such/folder" in page.locator("#pictures-found").inner_text())
        page.fill("#weight-0 input, #weight-0 textarea", "/no/such/model")
        until(lambda: "Tiny FLUX.2 Klein: not found" in page.locator(".found >> nth=0").inner_text())
        page.locator("h1").click()
        page.keyboard.press("2")
        until(lambda: "/no/such/folder" in page.locator("#plan").inner_text())
        assert page.locator("#start").is_disabled()


def test_the_log_follows_and_holds(browser: Browser, url: str, runs: Path) -> None:
    log = runs / "zorp-live" / "session.log"
    with opened(browser, url) as (page, _):
        until(lambda: "search-001" in log_of(page))
        with log.open("a") as file:
            file.write("a line that comes later\n")
        until(lambda: "a line that comes later" in log_of(page))
        page.keyboard.press("f")
        until(lambda: page.locator("#log-follow").inner_text() == "Follow")
        with log.open("a") as file:
            file.write("a line while it is held\n")
        page.wait_for_timeout(1500)
        assert "while it is held" not in log_of(page)
        page.keyboard.press("f")
        until(lambda: "while it is held" in log_of(page))


def test_the_log_stays_at_its_end_unless_one_scrolls_away(browser: Browser, url: str, runs: Path) -> None:
    log = runs / "zorp-live" / "session.log"
    box = "document.querySelector('#log textarea')"
    place = f"() => [{box}.scrollTop, {box}.scrollHeight - {box}.clientHeight]"
    with opened(browser, url) as (page, _):
        until(lambda: tab(page) == "Monitor")
        with log.open("a") as file:
            file.writelines(f"line {i}\n" for i in range(60))
        until(lambda: "line 59" in log_of(page))
        until(lambda: page.evaluate(place)[0] >= page.evaluate(place)[1] - 1 > 0)

        def scrolled_away() -> bool:
            page.evaluate(f"() => {{ {box}.scrollTop = 0; }}")
            page.wait_for_timeout(400)
            return bool(page.evaluate(place)[0] == 0)

        until(scrolled_away)
        with log.open("a") as file:
            file.write("one more\n")
        until(lambda: "one more" in log_of(page))
        page.wait_for_timeout(800)
        assert page.evaluate(place)[0] == 0


def test_smoothing_and_the_log_axis_stay_in_the_browser(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        until(lambda: page.locator("#loss .legend button").count() == 8)
        drawn = "() => document.querySelector('#loss canvas').toDataURL()"
        before = page.evaluate(drawn)
        assert page.locator("#loss output").inner_text() == "0.90"
        page.keyboard.press("[")
        assert page.locator("#loss output").inner_text() == "0.85"
        until(lambda: page.evaluate(drawn) != before)
        smoothed = page.evaluate(drawn)
        page.locator("#loss input[type=checkbox]").check()
        until(lambda: page.evaluate(drawn) != smoothed)


def test_stop_asks_and_escape_stops_nothing(browser: Browser, url: str, runs: Path) -> None:
    with opened(browser, url) as (page, _):
        page.wait_for_selector("#stop")
        page.click("#stop")
        page.wait_for_selector("#stop-sure")
        page.keyboard.press("Escape")
        page.wait_for_selector("#stop-sure", state="hidden")
        assert not (runs / "zorp-live" / "control" / "stop").exists()
        page.keyboard.press("?")
        assert "follow or hold the log" in page.locator(".overlay").inner_text()
        page.keyboard.press("Escape")
        page.locator("img[data-large]").first.click()
        assert "seed 100" in page.locator(".overlay p").inner_text()
        page.keyboard.press("Escape")
        assert page.locator(".overlay").count() == 0


def count_of(page: Page) -> str:
    return page.locator("#vote .count").inner_text()


def test_five_votes_by_keys_one_undone_and_a_reload(browser: Browser, tmp_path: Path) -> None:
    folder = done_session(tmp_path)
    with started(tmp_path, tmp_path / "app.log") as address, opened(browser, address) as (page, complaints):
        until(lambda: page.title() == "Done · zorp · bracket")
        until(lambda: tab(page) == "Results")
        page.locator("#vote .begin").click()
        assert count_of(page) == "0 of 6"
        sources = page.locator("#vote figure > *").evaluate_all("(nodes) => nodes.map((n) => n.outerHTML).join()")
        assert "winner" not in sources and "baseline" not in sources
        page.keyboard.press("5")
        assert page.locator("#vote .booth").is_visible(), "the page's own keys rest"
        for number, key in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowRight"), 1):
            before = page.locator("#vote .left img").get_attribute("src")
            page.keyboard.press(key)
            page.wait_for_timeout(200)
            assert count_of(page) == f"{number} of 6"
            assert page.locator("#vote .left img").get_attribute("src") != before, "the next pair is there at once"
        page.keyboard.press("Backspace")
        until(lambda: count_of(page) == "4 of 6")
        until(lambda: len(read_votes(folder)) == 4)
        page.reload()
        until(lambda: page.locator("#vote .words").inner_text() == "4 votes so far, 2 pairs left.")
        page.locator("#vote .begin").click()
        assert count_of(page) == "4 of 6"
        page.keyboard.press("Escape")
        until(lambda: "for the winner" in page.locator("#vote .told").inner_text())
        page.locator("#vote .begin").click()
        for _ in range(2):
            page.locator("#vote .tie").click()
        until(lambda: page.locator("#vote .words").inner_text() == "You voted on all 6 pairs.")
        assert len(read_votes(folder)) == 6
        until(lambda: page.locator("#before-after summary").count() == 0)
        page.locator("#vote .begin").click()
        until(lambda: count_of(page) == "5 of 6")
        assert len(read_votes(folder)) == 5, "the last vote can be taken back too"
        assert complaints == []


def test_the_judge_is_tried_on_two_pictures(browser: Browser, url: str, runs: Path) -> None:
    with opened(browser, url) as (page, complaints):
        until(lambda: tab(page) == "Monitor")
        pick(page, "zorp · done")
        until(lambda: page.title() == "Done · zorp · bracket")
        page.keyboard.press("4")
        until(lambda: "Nothing keeps the judge" in page.locator("#judge-checks").inner_text())
        until(lambda: "zorp" in page.locator("#test-prompt textarea, #test-prompt input").input_value())
        page.wait_for_selector("#test-right img")
        page.click("#judge-test")
        if page.locator("#judge-test").inner_text() == "Test all the same":  # on a machine with one GPU
            page.click("#judge-test")
        page.wait_for_selector("#test-result .axes", timeout=120_000)
        assert "It prefers the left picture in both orders." in page.locator("#test-result").inner_text()
        assert complaints == []


def test_the_judge_of_setup_and_of_its_tab_are_one(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        go(page, "1")
        page.locator("#judge label").nth(2).click()
        page.fill("#judge-model input, #judge-model textarea", "some-model")
        page.locator("h1").click()
        page.keyboard.press("4")
        until(lambda: page.locator("#judge-tab-model input").input_value() == "some-model")
        page.wait_for_selector("#judge-url")
        page.fill("#judge-url input, #judge-url textarea", "http://127.0.0.1:9/v1")
        page.click("#judge-models")
        until(lambda: "can't be asked now" in page.locator("#judge-connected").inner_text())
        until(lambda: "can't be asked now" in page.locator("#judge-checks").inner_text())
        page.locator("#judge-kind label").nth(0).click()
        page.wait_for_selector("#judge-url", state="hidden")
        page.locator("h1").click()
        page.keyboard.press("1")
        until(lambda: "scorer" in page.locator("#judge-model input, #judge-model textarea").input_value())
        assert page.locator("#judge input:checked").get_attribute("value") == "clip"


def test_a_rubric_is_edited_checked_and_saved(browser: Browser, url: str, runs: Path) -> None:
    with opened(browser, url) as (page, _):
        go(page, "4")
        page.locator("#rubric-part > button").click()
        page.locator("#rubric .cm-content").click()
        page.keyboard.press("Control+Home")
        page.keyboard.type("titel: x\n")
        until(lambda: "Did you mean 'title'?" in page.locator("#rubric-checks").inner_text())
        page.keyboard.press("Control+Home")
        page.keyboard.type("# ")
        until(lambda: "Edited but not saved" in page.locator("#rubric-checks").inner_text())
        page.fill("#rubric-target input, #rubric-target textarea", "mine.yaml")
        page.click("#rubric-save")
        box = page.locator("#judge-rubric input, #judge-rubric textarea")
        until(lambda: box.input_value() == str(runs / "mine.yaml"))
        assert (runs / "mine.yaml").read_text().startswith("# titel: x\n")


def test_a_restarted_app_is_found_again(browser: Browser, runs: Path, tmp_path: Path) -> None:
    first = started(runs, tmp_path / "first.log")
    with opened(browser, first.__enter__()) as (page, _):
        until(lambda: "zorp-live" in page.title())
        port = urlsplit(page.url).port
        page.evaluate("() => { window.before = true; }")
        first.__exit__(None, None, None)
        until(lambda: "Connection to the server was lost" in page.locator("body").inner_text())
        with started(runs, tmp_path / "second.log", port=port or 0):
            page.wait_for_function("() => !window.before")
            until(lambda: page.title() == "7/30 Searching · zorp-live · bracket")
            until(lambda: "search-001" in log_of(page))


def frames_drawn(browser: Browser, page: Page, trace: Path) -> int:
    """How many frames the page asks for in 3 s."""
    browser.start_tracing(page=page, path=trace, categories=["devtools.timeline"])
    page.wait_for_timeout(3000)
    browser.stop_tracing()
    return sum(event["name"] == "FireAnimationFrame" for event in json.loads(trace.read_text())["traceEvents"])


def test_a_page_at_rest_draws_nothing(browser: Browser, url: str, tmp_path: Path) -> None:
    with opened(browser, url) as (page, _):
        pick(page, "zorp · done")
        until(lambda: page.title() == "Done · zorp · bracket")
        page.wait_for_timeout(2000)
        # A page that counts seconds unseen draws 180 of them for ever; on a busy machine it comes to rest later.
        until(lambda: frames_drawn(browser, page, tmp_path / "trace.json") < 60, 60)


def test_a_reload_finds_the_session_again(browser: Browser, url: str) -> None:
    with opened(browser, url) as (page, _):
        until(lambda: "zorp-live" in page.title())
        page.reload()
        until(lambda: page.title() == "7/30 Searching · zorp-live · bracket")
        until(lambda: "search-001" in log_of(page))
        pick(page, "zorp · done")
        until(lambda: page.title() == "Done · zorp · bracket")
        page.reload()
        until(lambda: page.title() == "Done · zorp · bracket")
        until(lambda: tab(page) == "Results")


def test_dark_follows_the_system_and_the_button(browser: Browser, url: str) -> None:
    dark = "() => document.body.classList.contains('dark')"
    with opened(browser, url, dark=True) as (page, _):
        until(lambda: page.evaluate(dark))
        page.click("#turn")
        assert not page.evaluate(dark)
        page.reload()
        page.wait_for_selector("#tabs button[role=tab]")
        page.wait_for_timeout(500)
        assert not page.evaluate(dark), "what was chosen is kept"


def status(url: str, path: Path) -> int:
    try:
        with urlopen(f"{url}gradio_api/file={quote(str(path))}") as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_a_lora_is_downloaded_under_the_names_of_its_session_and_trial(url: str, runs: Path) -> None:
    folder = runs / "zorp" / "trials" / "finals-005" / "checkpoints" / "final"
    folder.mkdir(parents=True)
    (folder / "pytorch_lora_weights.safetensors").write_bytes(b"lora")
    (folder / "state.pt").write_bytes(b"optimiser")
    with urlopen(f"{url}gradio_api/file={quote(str(folder / 'pytorch_lora_weights.safetensors'))}") as answer:
        told = answer.headers.get_all("content-disposition")
        assert (answer.read(), told) == (b"lora", ["attachment; filename*=UTF-8''zorp-finals-005.safetensors"])
    with pytest.raises(HTTPError):
        urlopen(f"{url}gradio_api/file={quote(str(folder / 'state.pt'))}")


def test_only_a_sessions_pictures_logs_and_reports_are_served(browser: Browser, url: str, runs: Path) -> None:
    session = runs / "zorp"
    with opened(browser, url) as (page, _):
        pick(page, "zorp · done")
        until(lambda: "Done" in page.title())
    allowed = [session / "report" / "report.html", next((session / "trials/search-000/samples").rglob("*.png"))]
    refused = [
        session / "session.yaml",
        session / "study.db",
        session / "trials/search-000/exit.json",
        Path("/etc/hostname"),
        session / "report" / ".." / "session.yaml",
        Path.home() / ".bashrc",
    ]
    assert [status(url, p) for p in allowed] == [200, 200]
    assert [status(url, p) for p in refused] == [403] * len(refused)


def test_from_nothing_to_a_demo_that_says_why_it_fails(browser: Browser, tmp_path: Path) -> None:
    """The weights are missing on purpose, so the search starts, fails at its checks, and says so."""
    presets, runs = tmp_path / "presets", tmp_path / "runs"
    shutil.copytree(presets_folder() / "builtin", presets / "builtin")
    with (
        started(runs, tmp_path / "app.log", {"BRACKET_PRESETS": str(presets)}) as address,
        opened(browser, address) as (page, complaints),
    ):
        until(lambda: "No session yet. Start the demo, or choose a folder." in page.locator("#welcome").inner_text())
        page.keyboard.press("2")
        until(lambda: "Choose a folder of pictures in Setup" in page.locator("#plan").inner_text())
        page.keyboard.press("3")
        until(lambda: "No session yet" in page.locator("#message").inner_text())
        page.keyboard.press("1")
        page.click("#demo")
        until(lambda: tab(page) == "Monitor")
        until(lambda: page.title() == "Failed · demo · bracket", 90)
        assert "Tiny FLUX.2 Klein: not found" in page.locator("#message").inner_text()
        assert page.locator("#resume").is_visible()
        progress = read_progress(runs / "demo")
        assert progress is not None and progress.state == "failed"
        assert running_process(runs / "demo") is None
        assert complaints == []
