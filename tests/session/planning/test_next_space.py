from __future__ import annotations

from pathlib import Path

import pytest

from bracket.errors import SettingsError
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session.asked.bounds import bounded_knobs
from bracket.session.asked.settings import Bound
from bracket.session.planning.next_space import next_bounds, next_space
from tests.session.searched import searched_session


def test_the_next_session_looks_where_the_best_lay(tmp_path: Path) -> None:
    folder = searched_session(tmp_path / "first", 16)
    found = next_space(folder)
    bound = found.settings.bounds["learning_rate"]
    assert bound.low is not None and bound.high is not None
    assert 1e-4 < bound.low < 1e-3 < bound.high < 1e-2
    assert found.settings.bounds["rank"] == Bound(choices=(4, 8)), "what was asked stays where nothing is suggested"
    assert found.settings.seed == 1, "the trainings that drew this space had seed 0"
    assert next_bounds(folder) == found.suggestion
    knobs = {knob.name: knob for knob in bounded_knobs(find_preset(DEMO_PRESET), found.settings.bounds)}
    assert (knobs["learning_rate"].low, knobs["learning_rate"].high) == (bound.low, bound.high)


def test_a_baseline_outside_of_the_new_space_is_told(tmp_path: Path) -> None:
    found = next_space(searched_session(tmp_path / "first", 16, baseline={"learning_rate": 1e-4}))
    low = found.settings.bounds["learning_rate"].low
    assert low is not None and low > 1e-4
    assert found.moved == {"learning_rate": (1e-4, low)}
    assert next_space(searched_session(tmp_path / "second", 16)).moved == {}, "the preset's own lies in it"


def test_too_few_trials_are_a_sentence(tmp_path: Path) -> None:
    folder = searched_session(tmp_path / "first", 3)
    assert next_bounds(folder).note.endswith("this search has 3.")
    with pytest.raises(SettingsError, match="new space takes 8 scored configs of one length"):
        next_space(folder)
    (folder / "study.db").unlink()
    assert next_bounds(folder).note.endswith("this search has 0.")
