"""Add proof: when the button is there, what its panel says, and in a browser that it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bracket.domain import Round
from bracket.files import read_json, write_json
from bracket.session import view
from bracket.session.control import running_process
from bracket.session.duel.plan import PLAN, DuelPlan
from bracket.session.running import launch
from bracket.session.running.stages import duellists
from bracket.session.store import Store
from bracket.ui.results import proof
from bracket.ui.results import tab as results
from bracket.ui.shared.context import Context
from tests.ui.browser import opened, started, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[3]


def planned(folder: Path, pairs: int = 2) -> Path:
    """The session with the plan of so many pairs, of which nobody judged one: it claims nothing."""
    store = Store(folder)
    found = duellists(store.results(Round.FINALS))
    store.close()
    assert found is not None
    winner, baseline = (dict(ranked.config) for ranked in found)
    plan = DuelPlan(
        winner=winner,
        baseline=baseline,
        alpha=0.05,
        prompts=("a",),
        pictures=(("a", 1),),
        pairs=pairs,
        training_seeds=tuple(range(31, 31 + pairs)),
    )
    write_json(folder / PLAN, plan.as_dict())
    return folder


def test_the_button_is_there_where_something_can_be_proved(own: Path) -> None:
    folder = planned(own)
    button, why, panel = proof.updates(view.read(folder))
    assert (button["visible"], button["interactive"], why, panel["visible"]) == (True, True, "", False)
    words, able = proof._told(Context(own.parent), "zorp", 5)
    assert able and "10 trainings of 200 steps, 2000 steps in all: about" in words
    assert "needs p ≤ 0.04" in words
    words, able = proof._told(Context(own.parent), "zorp", 4)
    assert not able and "at least 5 are needed" in words


def test_elsewhere_it_says_why_not(live: view.SessionView, own: Path) -> None:
    assert not proof.updates(None)[0]["visible"] and not proof.updates(live)[0]["visible"]
    folder = planned(own)
    write_json(folder / "state.json", {**read_json(folder / "state.json"), "state": "stopped"})
    button, why, _ = proof.updates(view.read(folder))
    assert button["visible"] and not button["interactive"]
    assert why == '<p class="quiet">No proof to add: The session is not done. Resume it first.</p>'
    assert len(results.values(None)) == len(results.values(view.read(folder)))


def _bracket(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bracket", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_command_line_says_what_it_takes_and_starts_nothing(own: Path) -> None:
    folder = planned(own, pairs=5)
    shown = _bracket("prove", str(folder), "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "16 trainings of 200 steps, 3200 steps in all" in shown.stdout, "five pairs might have claimed: eight now"
    assert "needs p ≤ 0.005" in shown.stdout and "Fewer than 8 pairs" in shown.stdout
    assert not (folder / "confirm" / "plan-2.json").exists()
    refused = _bracket("prove", str(folder), "--pairs", "5")
    assert refused.returncode == 1 and "at least 8 are needed" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.gui
@pytest.mark.slow
def test_a_person_adds_pairs_in_the_browser(browser: Browser, own: Path, tmp_path: Path) -> None:
    folder, env = planned(own), {"BRACKET_CACHE": str(tmp_path / "cache")}
    with started(own.parent, tmp_path / "app.log", env) as url, opened(browser, url) as (page, complaints):
        until(lambda: page.locator("#add-proof").is_visible())
        page.click("#add-proof")
        until(lambda: "10 trainings of 200 steps" in page.locator("#proof-told").inner_text())
        page.fill("#proof-pairs input", "4")
        until(lambda: "at least 5 are needed" in page.locator("#proof-told").inner_text())
        until(lambda: page.locator("#proof-start").is_disabled())
        page.fill("#proof-pairs input", "6")
        until(lambda: "12 trainings" in page.locator("#proof-told").inner_text())
        try:
            page.click("#proof-start")
            until(lambda: page.locator("#duel").is_visible(), 60)
            plan = read_json(folder / "confirm" / "plan-2.json")
            assert (plan["pairs"], plan["alpha"]) == (6, 0.04)
            assert complaints == []
        finally:
            # The plan is there before the process that trains it: who stops earlier stops nothing.
            until(lambda: running_process(folder) is not None, 60)
            assert launch.stop(folder, 60)
