"""Settings: fingerprint, bounds, differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from bracket.errors import SettingsError
from bracket.presets import find_preset
from bracket.session.settings import (
    Bound,
    DatasetSettings,
    SessionSettings,
    bounded_knobs,
    difference,
    from_preset,
    load,
    save,
    validated,
)

PRESET = find_preset("embedded-demo")


def _settings(**changes: object) -> SessionSettings:
    return from_preset(PRESET, DatasetSettings(folder="pictures"), **changes)


def test_saved_settings_come_back_and_an_edit_is_noticed(tmp_path: Path) -> None:
    save(_settings(seed=3), tmp_path)
    assert load(tmp_path) == _settings(seed=3)
    path = tmp_path / "session.yaml"
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(SettingsError, match="changed after the session began"):
        load(tmp_path)


def test_where_it_runs_is_no_part_of_the_question() -> None:
    assert _settings(workers=1).fingerprint == _settings(workers=4, device="cpu").fingerprint
    assert _settings(seed=1).fingerprint != _settings(seed=2).fingerprint


def test_the_difference_names_every_changed_leaf() -> None:
    lines = difference({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1, 2]})
    assert lines == ["a.c: 2 → 3", "d: [1] → [1, 2]"]


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(SettingsError, match="serach"):
        validated({"preset": "embedded-demo", "dataset": {"folder": "x"}, "serach": {}})


def test_bounds_narrow_the_knobs() -> None:
    s = _settings(bounds={"learning_rate": Bound(low=1e-4, high=1e-3), "batch_size": Bound(high=2)})
    lr, _rank, batch = bounded_knobs(PRESET, s)
    assert (lr.low, lr.high) == (1e-4, 1e-3)
    assert batch.choices == (2,)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"lr": Bound(low=1e-4)}, "unknown knobs: lr"),
        ({"learning_rate": Bound(low=0.5)}, "contradict"),
        ({"rank": Bound(low=100)}, "none of its choices"),
        ({"learning_rate": Bound(low=-1.0)}, "above 0"),
    ],
)
def test_bounds_that_leave_nothing_say_so(bounds: dict[str, Bound], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        bounded_knobs(PRESET, _settings(bounds=bounds))


def test_contradictory_bounds_are_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="low 2 is above high 1"):
        validated({"preset": "p", "dataset": {"folder": "x"}, "bounds": {"rank": {"low": 2, "high": 1}}})


def test_a_setting_that_a_later_bracket_adds_leaves_a_session_as_it_is(tmp_path: Path) -> None:
    settings = from_preset(find_preset("embedded-demo"), DatasetSettings(folder="pictures"))
    save(settings, tmp_path)
    text = (tmp_path / "session.yaml").read_text()
    (tmp_path / "session.yaml").write_text(text.replace("pairwise: 0\n", ""))
    assert load(tmp_path) == settings
