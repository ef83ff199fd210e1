from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Outcome, Round, Score, TrialResult, Wanted
from bracket.errors import SettingsError
from bracket.presets import DEMO_PRESET, find_preset
from bracket.search.space import effective
from bracket.session.next_space import next_bounds, next_space
from bracket.session.settings import Bound, DatasetSettings, bounded_knobs, from_preset, save
from bracket.session.store import Store


def _session(folder: Path, trials: int) -> Path:
    """A search of the demo's preset whose score is best at a learning rate of 1e-3."""
    preset = find_preset(DEMO_PRESET)
    settings = from_preset(preset, DatasetSettings(folder="pictures"), bounds={"rank": Bound(choices=(4, 8))})
    folder.mkdir()
    save(settings, folder)
    knobs = bounded_knobs(preset, settings)
    store = Store(folder)
    for i, rate in enumerate(np.geomspace(1e-5, 5e-2, trials)):
        config = effective({**preset.baseline, "learning_rate": float(rate)}, knobs)
        trial = store.begin(Wanted(Round.SEARCH, "tpe" if i else "baseline", config, 1, 100), knobs)
        bad = 0.3 + 0.1 * (float(np.log10(rate)) + 3) ** 2
        store.finish(TrialResult(trial, Outcome.OK, score=Score(bad, 0.5, bad)))
    store.close()
    return folder


def test_the_next_session_looks_where_the_best_lay(tmp_path: Path) -> None:
    folder = _session(tmp_path / "first", 16)
    found = next_space(folder)
    bound = found.settings.bounds["learning_rate"]
    assert bound.low is not None and bound.high is not None
    assert 1e-4 < bound.low < 1e-3 < bound.high < 1e-2
    assert found.settings.bounds["rank"] == Bound(choices=(4, 8)), "what was asked stays where nothing is suggested"
    assert next_bounds(folder) == found.suggestion
    knobs = {knob.name: knob for knob in bounded_knobs(find_preset(DEMO_PRESET), found.settings)}
    assert (knobs["learning_rate"].low, knobs["learning_rate"].high) == (bound.low, bound.high)


def test_a_baseline_outside_of_the_new_space_is_told(tmp_path: Path) -> None:
    found = next_space(_session(tmp_path / "first", 16))
    baseline = float(find_preset(DEMO_PRESET).baseline["learning_rate"])
    low, high = found.settings.bounds["learning_rate"].low, found.settings.bounds["learning_rate"].high
    assert low is not None and high is not None
    expected = {} if low <= baseline <= high else {"learning_rate": (baseline, min(max(baseline, low), high))}
    assert found.moved == expected


def test_too_few_trials_are_a_sentence(tmp_path: Path) -> None:
    folder = _session(tmp_path / "first", 3)
    assert next_bounds(folder).note.endswith("this search has 3.")
    with pytest.raises(SettingsError, match="new space takes 8 scored configs of one length"):
        next_space(folder)
    (folder / "study.db").unlink()
    assert next_bounds(folder).note.endswith("this search has 0.")
