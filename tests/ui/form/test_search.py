"""The budget and the strategy of Run, without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from bracket.presets import DEMO_PRESET, find_preset
from bracket.session.asked.settings import DatasetSettings, SearchSettings, SessionSettings, from_preset
from bracket.session.job import resolve
from bracket.session.planning import budget
from bracket.ui.form import form
from bracket.ui.form import search as search_form


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionSettings:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path))
    return from_preset(find_preset(DEMO_PRESET), DatasetSettings(folder="/pics"), workers=1)


def with_numbers(settings: SessionSettings, numbers: list[int]) -> SessionSettings:
    """The form's settings after the budget filled its numbers."""
    values = {**form.to_values(settings), **dict(zip(search_form.COUNTS, numbers, strict=True))}
    return form.to_settings(values).model_copy(update={"workers": settings.workers})


def test_every_strategy_is_there_in_plain_words() -> None:
    assert set(search_form.WAYS) == set(SearchSettings.model_fields["strategy"].annotation.__args__)  # type: ignore[union-attr]
    assert all(way.title and way.help.endswith(".") for way in search_form.WAYS.values())


def test_hours_fill_the_numbers_and_the_slider_stays(asked: SessionSettings) -> None:
    asked = form.to_settings(form.to_values(asked)).model_copy(update={"workers": 1})
    numbers, words = search_form.bought(resolve(asked), 0.4)
    filled = with_numbers(asked, numbers)
    assert filled == budget.fit_here(resolve(asked), 0.4).question.settings
    assert f"pays for {filled.search.configs} configs" in words
    update, again = search_form.followed(resolve(filled), 0.4)
    assert "value" not in update and again == words


def test_other_numbers_move_the_slider(asked: SessionSettings) -> None:
    update, words = search_form.followed(resolve(asked), 9.0)
    seconds = budget.seconds_here(resolve(asked))
    assert update["value"] == pytest.approx(seconds / 3600, abs=update["step"])
    assert update["maximum"] * 3600 >= 2.5 * seconds
    assert "These numbers take about" in words


@pytest.mark.parametrize(("name", "rungs"), [("tournament", True), ("asha", True), ("tpe", False), ("nsga2", False)])
def test_only_what_counts_is_shown(name: str, rungs: bool) -> None:
    words, *numbers, objectives = search_form._shown(name, "")
    assert search_form.WAYS[name].help in words
    assert [n["visible"] for n in numbers] == [rungs, rungs]
    assert objectives["visible"] is (name == "nsga2")
    assert objectives["value"] == ("likeness, adherence" if name == "nsga2" else "")


def test_objectives_that_were_typed_stay_in_sight() -> None:
    *_, kept = search_form._shown("tournament", "likeness, hands")
    assert (kept["visible"], kept["value"]) == (True, "likeness, hands")
    *_, gone = search_form._shown("tournament", "likeness, adherence")
    assert (gone["visible"], gone["value"]) == (False, "")


def test_the_form_gives_back_how_the_search_is_made(asked: SessionSettings) -> None:
    search = SearchSettings(strategy="nsga2", objectives=("likeness", "hands"), reduction=2.5, rungs=4, stop_below=0.01)
    given = asked.model_copy(update={"search": search})
    values = form.to_values(given)
    assert values["stop_below"] == 1.0, "the form speaks in points of score, the settings keep 0..1"
    assert form.to_settings(values).search == search
