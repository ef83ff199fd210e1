"""The grid in Results: what its fields offer, its HTML, and the file it saves."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from PIL import Image

from bracket.domain import Round
from bracket.files import read_json_lines, write_text
from bracket.report.xyz import axes_of, build, chosen
from bracket.session import view
from bracket.session.reading.grid import save
from bracket.ui.results import xyz
from tests.judges.test_frames import write_video
from tests.ui.browser import opened, started, until
from tests.ui.made import PROMPTS, RATES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NOTHING_ASKED = (None, None, None, None, None)


def first_rung(session: view.SessionView) -> str:
    return f"search, {min(t.steps for t in session.trials)} steps"


def values(updates: list[Any]) -> list[Any]:
    return [u["value"] for u in updates[:5]]


def test_first_the_longest_round_by_learning_rate_and_prompt(done: view.SessionView) -> None:
    updates = xyz.shown(done, xyz.Grids(), None, *NOTHING_ASKED)
    assert values(updates) == ["learning_rate", "prompt", "nothing", xyz.LONGEST, PROMPTS[:4]]
    first, *stages = [label for label, _ in updates[3]["choices"]]
    assert first == "longest: finals, 200 steps"
    assert stages[0] == first_rung(done) and stages[-2:] == ["finals, 200 steps", "confirmation, 200 steps"]
    html = updates[5]
    assert html.count("<img") == html.count('loading="lazy"') == 4 * 4
    assert html.count("best of 2") >= 16, "two training seeds"
    heads = re.findall(r'<th scope="col" title="([^"]+)"', html)
    assert heads == ["1e-4", "6e-4", "9e-4", "1.6e-3"]


def test_only_what_is_shown_is_built(done: view.SessionView) -> None:
    searched = [t for t in done.trials if t.round is Round.SEARCH and t.rung == 0 and t.samples]
    stage = first_rung(done)
    html = xyz.shown(done, xyz.Grids(), None, "learning_rate", "rank", "nothing", stage, PROMPTS[:1])[5]
    assert html.count("<img") == len(searched) == len(RATES) - 1, "one trial melted before it drew"
    assert html.count('class="vacant"') == 11 * 4 - 11, "rates × ranks, of which each rate has one"


def test_the_overlay_tells_the_whole_of_a_trials_settings(done: view.SessionView) -> None:
    html = xyz.shown(done, xyz.Grids(), None, *NOTHING_ASKED)[5]
    words = re.search(r'data-large="([^"]+)"', html)
    assert words and re.match(
        r"finals-000: lr 1e-4, rank 8, batch \d+.*, training seed 21, 200 steps, score \d+\.\d,", words[1]
    )
    assert f"the best of 2 that match\n{PROMPTS[0]}\nsample seed 100, step 200" in words[1]


def test_text_of_prompts_is_only_text(done: view.SessionView) -> None:
    strange = '<script>"&'
    trials = tuple(
        replace(t, samples=tuple(replace(s, prompt=strange + s.prompt) for s in t.samples)) for t in done.trials
    )
    html = xyz.shown(replace(done, trials=trials), xyz.Grids(), None, *NOTHING_ASKED)[5]
    assert "<script>" not in html and "&lt;script&gt;&quot;&amp;" in html


def test_an_axis_gives_way_to_one_just_chosen(done: view.SessionView) -> None:
    def turned(changed: int, *axes: str) -> list[Any]:
        return values(xyz.shown(done, xyz.Grids(), changed, *axes, None, None))[:3]

    assert turned(0, "prompt", "prompt", "nothing") == ["prompt", "learning_rate", "nothing"]
    assert turned(1, "learning_rate", "learning_rate", "nothing") == ["rank", "learning_rate", "nothing"]
    assert turned(2, "learning_rate", "prompt", "prompt") == ["learning_rate", "rank", "prompt"]
    assert turned(0, "nothing", "prompt", "nothing") == ["nothing", "prompt", "nothing"]


def test_what_another_session_lacks_is_chosen_anew(done: view.SessionView) -> None:
    asked = ("dropout", "prompt", "nothing", "search, 999 steps", ["a prompt of another session"])
    updates = xyz.shown(done, xyz.Grids(), None, *asked)
    assert values(updates) == ["learning_rate", "prompt", "nothing", xyz.LONGEST, PROMPTS[:4]]


def test_a_session_without_pictures_says_so(done: view.SessionView) -> None:
    bare = replace(done, trials=tuple(replace(t, samples=()) for t in done.trials))
    updates = xyz.shown(bare, xyz.Grids(), None, *NOTHING_ASKED)
    assert "No pictures yet" in updates[5]
    assert [u["choices"] for u in updates[:5]] == [[]] * 5


def test_the_choices_are_made_once_until_a_trial_draws(done: view.SessionView) -> None:
    grids = xyz.Grids()
    first = grids.of(done)
    assert grids.of(replace(done, message="other words")) is first
    fewer = replace(done, trials=done.trials[:5])
    assert xyz.stamp_of(fewer) != xyz.stamp_of(done)
    assert grids.of(fewer) is not first
    assert xyz.stamp_of(None) == ""


def test_a_saved_file_lies_in_the_report_and_is_linked(own: Path, tmp_path: Path) -> None:
    session = view.read(own)
    html = xyz.saved_html(session, xyz.Grids(), 64, *NOTHING_ASKED)
    path = session.folder / "report" / "grids" / "finals-200-steps-learning-rate-prompt.png"
    assert path.as_posix() in html and 'download="zorp-finals-200-steps-learning-rate-prompt.png"' in html
    with Image.open(path) as image:
        told = json.loads(image.text["bracket"])  # type: ignore[attr-defined]
        assert f"{image.width} × {image.height} px" in html
    assert (told["session"], told["judge"]) == ("zorp", "clip (scorer)")
    assert len(told["cells"]) == 16
    before = path.read_bytes()
    grid = build(session.trials, *chosen(axes_of(session.trials)))
    assert save(session, grid, side=128, out=tmp_path / "other.png").path.read_bytes() == before


# In a browser


def choose(page: Page, field: str, words: str) -> None:
    page.click(f"#{field} input")
    page.locator("[role=option]").filter(has_text=words).first.click()


def value(page: Page, field: str) -> str:
    return page.locator(f"#{field} input").input_value()


@pytest.mark.gui
@pytest.mark.slow
def test_a_person_turns_the_grid_and_keeps_it(browser: Browser, own: Path, tmp_path: Path) -> None:
    with started(own.parent, tmp_path / "app.log") as url, opened(browser, url) as (page, complaints):
        until(lambda: "zorp" in page.title())
        page.keyboard.press("5")
        until(lambda: page.locator("#xyz img").count() == 16)
        assert [value(page, f"xyz-{k}") for k in "xyz"] == ["learning rate", "prompt", "nothing"]
        choose(page, "xyz-x", "prompt")
        until(lambda: value(page, "xyz-y") == "learning rate")
        choose(page, "xyz-stage", first_rung(view.read(own)))
        until(lambda: page.locator("#xyz tbody tr").count() == 11)
        page.locator("#xyz img").first.click()
        assert "training seed 11" in page.locator(".overlay p").inner_text()
        page.keyboard.press("Escape")
        box = page.locator("#xyz .html-container")
        head = page.locator("#xyz thead th").nth(1)
        before = head.bounding_box()
        box.evaluate("node => node.scrollTo(0, 400)")
        after = head.bounding_box()
        assert before and after and abs(before["y"] - after["y"]) < 8, "the headings stay while the pictures scroll"
        page.click("#xyz-save")
        link = page.locator("#xyz-saved a")
        until(lambda: link.count() == 1)
        address = page.evaluate(
            "link => new URL(link.getAttribute('href'), document.baseURI).href", link.element_handle()
        )
        with urlopen(address) as answer:
            assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
        assert complaints == []


@pytest.mark.gui
@pytest.mark.slow
def test_a_clip_shows_a_frame_and_plays_large(browser: Browser, own: Path, tmp_path: Path) -> None:
    index = own / "trials" / "finals-000" / "samples" / "index.jsonl"
    write_video(index.parent / "clip.mp4")
    *lines, last = read_json_lines(index)
    write_text(index, "".join(json.dumps(line) + "\n" for line in [*lines, {**last, "path": "clip.mp4"}]))
    with started(own.parent, tmp_path / "app.log") as url, opened(browser, url) as (page, complaints):
        until(lambda: "zorp" in page.title())
        page.evaluate(
            "bracket => window.dispatchEvent(new CustomEvent('bracket-look', { detail: bracket }))",
            {"session": "zorp", "trial": "finals-000"},
        )
        clip = page.locator("#look video.frame")
        clip.wait_for()
        until(lambda: clip.evaluate("node => node.readyState >= 2 && node.currentTime") == 1.25)
        clip.click()
        until(lambda: page.locator(".overlay video").evaluate("node => !node.paused && node.videoWidth") == 64)
        assert complaints == []
