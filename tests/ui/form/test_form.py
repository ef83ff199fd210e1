from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bracket.errors import PresetError, SettingsError
from bracket.presets import DEMO_PRESET, find_preset, list_presets
from bracket.session.asked.settings import Bound, ConfirmationSettings, DatasetSettings, from_preset
from bracket.ui.form import form


@pytest.fixture
def values() -> dict[str, Any]:
    return form.default_values(find_preset(DEMO_PRESET), "/pics")


@pytest.mark.parametrize("name", [p.name for p in list_presets()])
def test_the_form_gives_back_what_it_was_given(name: str) -> None:
    settings = from_preset(find_preset(name), DatasetSettings(folder="/pics", trigger_word="zorp"))
    again = form.to_settings(form.to_values(settings))
    assert again.fingerprint == settings.fingerprint


def test_bounds_baseline_and_numbers_survive_the_round_trip() -> None:
    preset = find_preset(DEMO_PRESET)
    settings = from_preset(
        preset,
        DatasetSettings(
            folder="/pics", verdict_prompts=7, own_prompts=("a dog", "", "a cat --d 3"), use_for="search", kind="style"
        ),
        bounds={"learning_rate": Bound(low=1e-4, high=3e-3), "rank": Bound(low=4, high=16)},
        baseline={"learning_rate": 5e-4},
        seed=9,
        sample_every=25,
        confirmation=ConfirmationSettings(pairs=5, keep_at_least=85),
    )
    again = form.to_settings(form.to_values(settings))
    assert again.fingerprint == settings.fingerprint and again.confirmation.keep_at_least == 85
    assert again.bounds["learning_rate"] == Bound(low=1e-4, high=3e-3)


def test_a_prompt_that_cant_be_read_is_told_at_its_box(values: dict[str, Any]) -> None:
    assert form.to_settings(values).dataset.own_prompts == ()
    assert form.to_settings({**values, "own_prompts": "\na dog\n\n"}).dataset.own_prompts == ("", "a dog")
    (fault,) = form.faults({**values, "own_prompts": "\na dog\na dog --w wide"})
    assert fault.field == "own_prompts" and fault.words.startswith("Line 3: --w takes a whole number")


def test_knobs_left_alone_make_no_bounds(values: dict[str, Any]) -> None:
    settings = form.to_settings(values)
    assert settings.bounds == {}
    assert settings.baseline == {}


def test_learning_from_earlier_sessions_is_asked_for_only_where_it_is_ticked(values: dict[str, Any]) -> None:
    assert form.to_settings(values).search.memory is False
    ticked = form.to_settings({**values, "memory": True})
    assert ticked.search.memory is True and form.to_values(ticked)["memory"] is True
    stamped = form.to_settings({**values, "stamp": True})
    assert stamped.confirmation.stamp is True and form.to_values(stamped)["stamp"] is True


def row(values: dict[str, Any], knob: str) -> list[str]:
    return next(r for r in values["knobs"] if r[0] == knob)


def test_an_edited_bound_is_read(values: dict[str, Any]) -> None:
    row(values, "learning_rate")[1:3] = ["2e-4", "0.01"]
    assert form.to_settings(values).bounds == {"learning_rate": Bound(low=2e-4, high=0.01)}


@pytest.mark.parametrize(
    ("knob", "column", "text", "said"),
    [
        ("learning_rate", 1, "abc", "learning_rate, low: 'abc' is not a number. Type one like 0.0001 or 1e-4."),
        ("learning_rate", 1, "0.5", "low 0.5 is above high 0.1"),
        ("learning_rate", 1, "-1", "learning_rate, low: -1 must be above 0"),
        ("learning_rate", 3, "-1", "learning_rate, baseline: -1 must be above 0"),
        ("learning_rate", 2, "", "learning_rate, high: a number is needed"),
        ("learning_rate", 2, "0,01", "learning_rate, high: 0,01 has a comma. Write 0.01 with a point."),
        ("learning_rate", 2, "1,000.5", "1,000.5 has a comma. Write it with a point."),
        ("learning_rate", 2, "nan", "learning_rate, high: nan is not a finite number"),
        ("learning_rate", 2, "1e999", "1e999 is not a finite number"),
        ("learning_rate", 3, "-inf", "-inf is not a finite number"),
        ("rank", 3, "7", "'7' is not one of its choices. Known: 2, 4, 8, 16."),
        ("rank", 4, "2, 5", "'5' is not one of its choices"),
    ],
)
def test_a_bad_cell_is_named(values: dict[str, Any], knob: str, column: int, text: str, said: str) -> None:
    row(values, knob)[column] = text
    with pytest.raises(SettingsError) as caught:
        form.to_settings(values)
    assert said in str(caught.value)
    place = [r[0] for r in values["knobs"]].index(knob)
    assert [(f.field, f.cell) for f in form.faults(values)] == [("knobs", (place, column))]
    assert said in form.faults(values)[0].words


def test_a_bound_beyond_all_sense_is_refused(values: dict[str, Any]) -> None:
    row(values, "learning_rate")[2] = "1e9"
    with pytest.raises(SettingsError, match=r"the bound 1e\+09 of learning_rate is beyond all sense"):
        form.to_settings(values)


@pytest.mark.parametrize("typed", ["1e-4", "1E-4", "0.0001", " .0001 ", "1e\N{MINUS SIGN}4", "10e-5"])
def test_a_rate_is_taken_in_every_notation(values: dict[str, Any], typed: str) -> None:
    row(values, "learning_rate")[1] = typed
    assert form.to_settings(values).bounds == {"learning_rate": Bound(low=1e-4, high=0.1)}
    assert form.faults(values) == []


def test_every_wrong_field_is_told_at_once(values: dict[str, Any]) -> None:
    row(values, "learning_rate")[1:4] = ["x", "1", "nan"]
    wrong = {
        "configs": 2.5,
        "seed": None,
        "reduction": "inf",
        "stop_below": "0,01",
        "extra_args": "'",
        "judge_share": "a",
    }
    found = form.faults({**values, **wrong, "judge_weights": "likeness"})
    assert {f.field for f in found} == {*wrong, "judge_weights", "knobs"}
    assert [f.cell for f in found if f.field == "knobs"] == [(0, 1), (0, 3)]


@pytest.mark.parametrize(
    ("field", "value"), [("configs", 0), ("judge_share", -1), ("stop_below", -1), ("stop_below", 100), ("reduction", 0)]
)
def test_a_number_out_of_range_is_a_fault_of_its_field(values: dict[str, Any], field: str, value: object) -> None:
    assert [f.field for f in form.faults({**values, field: value})] == [field]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "a whole number is needed"),
        (2.5, "2.5 is not a whole number"),
        (float("nan"), "nan is not a finite number"),
        ("inf", "inf is not a finite number"),
    ],
)
def test_a_bad_number_is_named_by_its_label(values: dict[str, Any], given: object, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        form.to_settings({**values, "steps": given})
    assert "Steps in the search" in str(caught.value)
    assert said in str(caught.value)


def test_a_number_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="configs"):
        form.to_settings({**values, "configs": 0})


def test_an_unknown_preset_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PresetError, match="there is no preset called 'nope'"):
        form.to_settings({**values, "preset": "nope"})


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", ".hidden", "con.", "x" * 90, "a\nb", "𐎀" * 60])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        form.session_name(name)


def test_names_are_trimmed() -> None:
    assert form.session_name("  my owls-2 ") == "my owls-2"


def test_suggested_names_are_free(tmp_path: Path) -> None:
    (tmp_path / "owls").mkdir()
    (tmp_path / "owls-2").mkdir()
    assert form.suggested_name("/data/owls", tmp_path) == "owls-3"
    assert form.suggested_name("/data/my owls!", tmp_path) == "my-owls"
    assert form.suggested_name("", tmp_path) == "session"
