"""Settings: fingerprint, bounds, differences."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bracket.errors import SettingsError
from bracket.presets import find_preset
from bracket.session.asked.bounds import bounded_knobs
from bracket.session.asked.changes import difference
from bracket.session.asked.settings import (
    FILE,
    Bound,
    DatasetSettings,
    SearchSettings,
    SessionSettings,
    fingerprint_in,
    from_preset,
    load,
    save,
    save_workers,
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
    lr, _rank, batch = bounded_knobs(PRESET, s.bounds)
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
        bounded_knobs(PRESET, _settings(bounds=bounds).bounds)


def test_contradictory_bounds_are_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="low 2 is above high 1"):
        validated({"preset": "p", "dataset": {"folder": "x"}, "bounds": {"rank": {"low": 2, "high": 1}}})


def test_a_prompt_that_cant_be_read_is_named_with_its_line() -> None:
    asked = {"folder": "x", "own_prompts": ["a cat", "a cat --w wide"]}
    with pytest.raises(SettingsError, match=r"dataset\.own_prompts: Line 2: --w takes a whole number"):
        validated({"preset": "p", "dataset": asked})
    with pytest.raises(SettingsError, match=r"dataset\.kind: .*'auto'"):
        validated({"preset": "p", "dataset": {"folder": "x", "kind": "portrait"}})


# What later brackets make of a session's file


def _edited(folder: Path, **changes: Any) -> None:
    """Change a session's file as an editor would; None takes a setting out."""
    path = folder / FILE
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    for place, value in changes.items():
        *groups, name = place.split("__")
        group = said
        for one in groups:
            group = group[one]
        if value is None:
            del group[name]
        else:
            group[name] = value
    path.write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")


def _written_before(folder: Path, **without: None) -> SessionSettings:
    """A session of a bracket that lacked some settings, with the fingerprint that this one gave it."""
    save(_settings(seed=3), folder)
    _edited(folder, fingerprint=None, **without)
    said = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    asked = {name: value for name, value in said.items() if name not in ("workers", "device")}
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    _edited(folder, fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16])
    return _settings(seed=3)


def test_a_session_of_an_earlier_bracket_is_as_it_was(tmp_path: Path) -> None:
    prompts = dict.fromkeys(("dataset__kind", "dataset__own_prompts", "dataset__use_for"))
    settings = _written_before(tmp_path, pairwise=None, search__memory=None, other_judges=None, **prompts)
    assert load(tmp_path) == settings
    assert fingerprint_in(tmp_path) != settings.fingerprint, "it keeps its own"
    _edited(tmp_path, search__memory=True)
    with pytest.raises(SettingsError, match="changed after the session began"):
        load(tmp_path)


def test_the_file_counts_and_not_a_later_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(_settings(seed=3), tmp_path)
    before = fingerprint_in(tmp_path)
    for group, name, value in ((SearchSettings, "stop_below", 0.5), (SessionSettings, "pairwise", 7)):
        monkeypatch.setattr(group.model_fields[name], "default", value)
        group.model_rebuild(force=True)
    SessionSettings.model_rebuild(force=True)
    try:
        assert SessionSettings(preset="p", dataset=DatasetSettings(folder="x")).pairwise == 7
        found = load(tmp_path)
        assert (found.search.stop_below, found.pairwise) == (0.0, 0)
        assert found.fingerprint == fingerprint_in(tmp_path) == before
    finally:
        monkeypatch.undo()
        for group in (SearchSettings, SessionSettings):
            group.model_rebuild(force=True)


def test_the_kind_of_fingerprint_that_left_defaults_out_is_known_still(tmp_path: Path) -> None:
    settings = _settings(seed=3)
    save(settings, tmp_path)
    asked = settings.model_dump(mode="json", exclude={"workers", "device"}, exclude_defaults=True)
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    _edited(tmp_path, fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16])
    assert load(tmp_path) == settings
    _edited(tmp_path, seed=4)
    with pytest.raises(SettingsError, match="changed after the session began"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["seed", "pairwise", "search", "fixed", "confirmation"])
def test_a_setting_taken_out_of_the_file_is_an_edit(tmp_path: Path, name: str) -> None:
    save(_settings(seed=3), tmp_path)
    _edited(tmp_path, **{name: None})
    with pytest.raises(SettingsError, match="changed after the session began"):
        load(tmp_path)
    assert load(tmp_path, to_read=True).preset == PRESET.name


def test_what_yaml_reads_otherwise_than_it_was_typed_is_no_edit(tmp_path: Path) -> None:
    words = (
        "",
        "yes",
        "null",
        "1e-4",
        "2024-01-01",
        "0x1F",
        "~",
        " a\nb\tc\r\n",
        "zürich 日本 \u2028 \U0001f600",
        "12:30:45",
    )
    settings = _settings(
        fixed={"words": words, "numbers": (1, 1.0, -0.0, 1e-05, 1e16, 5e-324), "none": None, "deep": {"a": [{}, []]}},
        bounds={"learning_rate": Bound(low=1, high=1e22), "rank": Bound(choices=(4, 4.0, "4", True))},
        extra_args=words,
    )
    save(settings, tmp_path)
    assert fingerprint_in(tmp_path) == settings.fingerprint == load(tmp_path).fingerprint


def test_an_edit_that_is_no_plain_data_is_an_edit_still(tmp_path: Path) -> None:
    save(_settings(), tmp_path)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace("fixed: {}", "fixed:\n  a: {1: 2024-01-01, b: 12:30:45}"))
    with pytest.raises(SettingsError, match="changed after the session began"):
        load(tmp_path)


def test_other_workers_leave_the_rest_of_the_file_as_it_is(tmp_path: Path) -> None:
    _written_before(tmp_path, pairwise=None)
    before = yaml.safe_load((tmp_path / FILE).read_text(encoding="utf-8"))
    save_workers(3, tmp_path)
    assert yaml.safe_load((tmp_path / FILE).read_text(encoding="utf-8")) == {**before, "workers": 3}
    assert load(tmp_path).workers == 3
    with pytest.raises(SettingsError, match="workers"):
        save_workers(-1, tmp_path)
    assert load(tmp_path).workers == 3
