from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.files import write_json
from bracket.presets import DEMO_PRESET
from bracket.report.sections.mattered import FILE, VERSION
from bracket.search.suggestion import Suggestion
from bracket.session import view
from bracket.session.asked.settings import DatasetSettings, SessionSettings
from bracket.session.planning.next_space import NextSpace
from bracket.ui.results import mattered

DATA: dict[str, Any] = {
    "version": VERSION,
    "steps": 120,
    "configs": 12,
    "sentences": ["The score clearly follows the <learning rate>."],
    "note": "",
    "importance": [
        {"knob": "learning_rate", "share": 0.62, "noise_floor": 0.21, "clear": True, "negligible": False},
        {"knob": "rank", "share": 0.0, "noise_floor": 0.19, "clear": False, "negligible": False},
    ],
    "knee": None,
    "concordance": None,
    "suggestion": {
        "knobs": [
            {"knob": "learning_rate", "change": "narrowed", "low": 1e-4, "high": 3e-3, "choices": [], "reason": "It."},
            {"knob": "rank", "change": "kept", "low": None, "high": None, "choices": [4, 8], "reason": "Who knows."},
        ],
        "bounds": {"learning_rate": {"low": 1e-4, "high": 3e-3}},
        "note": "",
    },
    "figures": [
        {"kind": k, "alt": f"The {k}", "caption": "", "light": f"figures/{k}.png", "dark": f"figures/{k}-dark.png"}
        for k in ("importance", "map")
    ],
}  # fmt: skip


def _view(runs: Path, folder: Path, data: object) -> view.SessionView:
    write_json(folder / "report" / FILE, data)
    return replace(view.read(runs / "zorp"), folder=folder, report=folder / "report" / "report.html")


def test_sentences_bars_figures_and_the_next_space(runs: Path, tmp_path: Path) -> None:
    shown = _view(runs, tmp_path, DATA)
    html = mattered.mattered_html(shown)
    assert "follows the &lt;learning rate&gt;." in html
    assert 'style="width: 62.0%"' in html and "can&#x27;t be told" not in html and "can't be told from noise" in html
    assert html.count("<img") == 2, "the importance is drawn as bars, the map on both papers"
    assert "report/figures/map-dark.png" in html
    assert "<td>narrower</td><td>1e-4 to 3e-3</td>" in html and "<td>as it was</td><td>4, 8</td>" in html
    assert mattered.updates(shown)[1]["visible"] is True


def test_nothing_is_shown_before_a_report(runs: Path, tmp_path: Path) -> None:
    shown = _view(runs, tmp_path, DATA)
    assert mattered.mattered_html(None) == "" == mattered.mattered_html(replace(shown, report=None))
    assert mattered.updates(replace(shown, report=None))[1]["visible"] is False
    assert mattered.mattered_html(_view(runs, tmp_path, {**DATA, "version": 0})) == ""


def test_too_few_trials_offer_no_button(runs: Path, tmp_path: Path) -> None:
    note = "A new space takes 8 scored configs of one length; this search has 3."
    shown = _view(runs, tmp_path, {**DATA, "suggestion": {"knobs": [], "bounds": {}, "note": note}, "importance": []})
    assert note in mattered.mattered_html(shown)
    assert mattered.updates(shown)[1]["visible"] is False


def test_a_damaged_file_is_a_sentence(runs: Path, tmp_path: Path) -> None:
    shown = _view(runs, tmp_path, DATA)
    (tmp_path / "report" / FILE).write_text("{")
    assert "This file is damaged" in mattered.mattered_html(shown)
    assert mattered.updates(shown)[1]["visible"] is False


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ({}, ""),
        (
            {"learning_rate": (1e-4, 5e-4), "rank": (2, 4)},
            "The baseline lies outside of this space: its learning rate 1e-4 becomes 5e-4, rank 2 becomes 4.",
        ),
    ],
)
def test_a_moved_baseline_is_told(moved: dict[str, Any], words: str) -> None:
    settings = SessionSettings(preset=DEMO_PRESET, dataset=DatasetSettings(folder="pictures"))
    assert NextSpace(settings, Suggestion((), 0, 0), moved).words == words
