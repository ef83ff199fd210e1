"""Whatever plain data a person brings is settings or one sentence: no NaN, no absurd number, no unknown key."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bracket.errors import PresetError, SettingsError
from bracket.presets import DEMO_PRESET, find_preset, load_preset
from bracket.session import view
from bracket.session.asked.settings import FILE, SessionSettings, _fingerprint, fingerprint_in, load, save, validated
from bracket.session.job import resolve
from bracket.session.planning import plan
from bracket.session.planning.budget import fit_here
from bracket.session.running import launch
from tests.ui.made import done_session

NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats())
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=12))
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return launch.demo_settings(runs=tmp_path_factory.mktemp("runs")).model_dump(mode="json")


def _over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        k: _over(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in change.items()
    }
    return {**base, **both}


def _leaves(data: Mapping[str, Any], place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [place] if place else []
    for name, value in data.items():
        found += _leaves(value, (*place, name)) if isinstance(value, dict) else [(*place, name)]
    return found


def _at(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {place[0]: _at(place[1:], value)} if len(place) > 1 else {place[0]: value}


PLACES = _leaves(
    SessionSettings.model_validate({"preset": "p", "dataset": {"folder": "f"}}).model_dump(mode="json")
    | {"bounds": {"learning_rate": {"low": 0, "high": 0, "choices": 0}}, "baseline": {"learning_rate": 0}}
    | {"sample": {"steps": 0, "width": 0, "guidance": 0}, "fixed": {"train.max_grad_norm": 0, "x": 0}, "new": 0}
)


@pytest.mark.slow
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), DATA)
@example(("bounds", "learning_rate", "high"), math.inf)
@example(("search", "reduction"), math.inf)
@example(("sample", "steps"), 0)
@example(("fixed",), {"a": {1: 2}})
@example(("baseline", "learning_rate"), "fast")
@example(("seed",), 2**64 - 1)
def test_any_data_is_a_plan_or_one_sentence(asked: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    try:
        made = validated(_over(asked, _at(place, value)))
    except SettingsError as error:
        assert error.message and len(str(error)) < 4_000 and "Value error" not in str(error)
        return
    said = made.model_dump(mode="json")
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert validated(yaml.safe_load(yaml.safe_dump(said, allow_unicode=True))) == made
    plan.make(made)  # says what is wrong, and never raises


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["baseline", "sample", "fixed"]), st.dictionaries(st.text(max_size=5), DATA)))
def test_what_is_taken_is_kept(asked: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    try:
        made = validated(_over(asked, change))
    except SettingsError:
        return
    save(made, tmp_path)
    assert load(tmp_path) == made and fingerprint_in(tmp_path) == made.fingerprint


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**30, -(10**30)])
@pytest.mark.parametrize(
    "place",
    [p for p in PLACES if p[-1] not in ("preset", "folder", "trigger_word", "class_word", "choices", "new", "x")
     and p not in {("fixed",), ("sample",), ("baseline",), ("bounds",), ("weights",), ("judge",)}
     and p != ("bounds", "learning_rate")],
    ids=".".join,
)  # fmt: skip
def test_no_number_of_any_setting_is_beyond_reason(
    asked: dict[str, Any], place: tuple[str, ...], number: float
) -> None:
    if place[0] in ("baseline", "sample", "fixed", "bounds") and isinstance(number, int):
        made = validated(_over(asked, _at(place, number / 10**10))) if place[0] != "fixed" else None
        assert made is None or plan.problems_of(resolve(made)), "the plan says it"
        return
    with pytest.raises(SettingsError) as caught:
        validated(_over(asked, _at(place, number)))
    assert place[0] in caught.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search": {"configs": 10**30}}, "search.configs: a whole number has more than 64 bits"),
        ({"search": {"configs": 100_000}}, "search.configs: 100000 is not from 1 to 10 000: more trainings than"),
        ({"workers": 10**9}, "workers: 1000000000 is not from 0 to 1 024: each is a training of its own"),
        ({"judge": {"timeout": 1e6}}, "from 0 to 86 400: nobody waits longer than a day"),
        ({"search": {"stpes": 3}}, "search.stpes: there is no such setting (did you mean 'steps'?)"),
        ({"other_judges": [{"tiemout": 3}]}, "other_judges.0.tiemout: there is no such setting (did you mean 't"),
        ({"bounds": {"learning_rate": {"hgih": 3}}}, "(did you mean 'high'?)"),
        ({"dataset": {"validation": True}}, "dataset.validation: a number is needed, not True"),
        ({"sample": {"guidance": [1, [math.nan]]}}, "sample.guidance: a finite number is needed, not nan"),
        ({"seed": 2**64}, "seed: a whole number has more than 64 bits"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_the_reason(asked: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validated(_over(asked, change))
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"baseline": {"learning_rate": -1}}, "learning_rate -1 lies outside the knob's range 1e-05 to 0.1"),
        ({"baseline": {"learning_rate": 1e-3}, "bounds": {"learning_rate": {"high": 1e-4}}}, "outside the knob"),
        ({"baseline": {"learning_rat": 1}}, "unknown knobs: learning_rat (did you mean 'learning_rate'?)"),
        ({"baseline": {"learning_rate": "fast"}}, "learning_rate 'fast' is no number"),
        ({"baseline": {"rank": 5}}, "the baseline's rank 5 is not one of its choices"),
        ({"bounds": {"learning_rate": {"high": 1e9}}}, "the bound 1e+09 of learning_rate is beyond all sense"),
        ({"bounds": {"learning_rte": {"high": 1}}}, "unknown knobs: learning_rte (did you mean 'learning_rate'?)"),
        ({"sample": {"steps": 0}}, "sample.steps: 0 is not from 1 to 1000"),
        ({"sample": {"stepz": 4}}, "Unknown key sample.stepz"),
        ({"sample": {"width": 72}}, "sample.width: 72 is no multiple of 16, which the model needs"),
        ({"fixed": {"output_dir": "/x"}}, "output_dir can't be added: bracket decides that"),
        ({"fixed": {"trane.max_grad_norm": 1}}, "Unknown key trane"),
        ({"fixed": {"train.max_grad_norm": -1}}, "train.max_grad_norm should be greater than or equal to 0, not -1"),
        ({"fixed": {"train": 1, "train.steps": 2}}, "train.steps can't be added"),
        ({"extra_args": ["--set", "output_dir=/x"]}, "output_dir can't be added: bracket decides that"),
        ({"extra_args": ["--set=seed=3"]}, "seed can't be added: bracket decides that"),
        ({"extra_args": ["--set", "optimizer.learning_rate=1"]}, "the search decides that, by the knob learning_rate"),
        ({"extra_args": ["--resume"]}, "the built-in trainer takes --set key=value"),
        ({"extra_args": ["--set", "loss.huber_delta=.inf"]}, "loss.huber_delta should be a finite number, not inf"),
        ({"seed_edition": 1, "seed": 4_294_967}, "the session seed 4294967 are none that a trainer takes"),
    ],
)  # fmt: skip
def test_the_plan_refuses_what_would_fail_or_be_ignored(
    asked: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    errors = [p.message for p in plan.problems_of(resolve(validated(_over(asked, change)))) if p.level == "error"]
    assert any(said in message for message in errors), errors


@pytest.mark.parametrize("hours", [math.nan, math.inf, -1.0, 1e9])
def test_hours_that_nobody_has_are_refused(asked: dict[str, Any], hours: float) -> None:
    with pytest.raises(SettingsError, match="can't be filled"):
        fit_here(resolve(validated(asked)), hours)


@pytest.mark.parametrize(
    "changed",
    ["low: .nan", "low: -1.0e-5", "high: .inf", "high: 1.0e-9"],
)
def test_a_preset_with_such_numbers_is_refused(tmp_path: Path, changed: str) -> None:
    said = find_preset(DEMO_PRESET).model_dump(mode="json")
    key, value = changed.split(": ")
    said["knobs"]["learning_rate"][key] = yaml.safe_load(value)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(PresetError, match="learning_rate"):
        load_preset(tmp_path / "p.yaml")


@pytest.mark.slow
def test_a_session_of_an_earlier_bracket_with_such_a_number_can_be_looked_at(tmp_path: Path) -> None:
    folder = done_session(tmp_path)
    said = {**yaml.safe_load((folder / FILE).read_text()), "workers": 0}
    said["search"]["stop_below"], said["judge"]["timeout"] = math.nan, math.inf
    del said["seed_edition"], said["fingerprint"]
    (folder / FILE).write_text(yaml.safe_dump({"fingerprint": _fingerprint(said), **said}))
    with pytest.raises(SettingsError) as caught:
        load(folder)
    assert "timeout" in str(caught.value) and "ask the same without this in a new session" in caught.value.remedy
    looked = load(folder, to_read=True)
    assert (looked.judge.timeout, looked.search.stop_below, looked.seed_edition) == (120.0, 0.0, 1)
    assert view.read(folder).trials


def test_a_session_begun_before_goes_on_with_its_clamped_baseline_and_its_seeds(tmp_path: Path) -> None:
    made = launch.demo_settings(runs=tmp_path)
    save(made.model_copy(update={"baseline": {"learning_rate": 1.0}}), tmp_path / "s")
    said = yaml.safe_load((tmp_path / "s" / FILE).read_text())
    del said["seed_edition"], said["score"]["edition"], said["fingerprint"]
    (tmp_path / "s" / FILE).write_text(yaml.safe_dump({"fingerprint": _fingerprint(said), **said}))
    old = load(tmp_path / "s")
    assert (old.seed_edition, old.score.edition) == (1, 1)
    found = plan.problems_of(resolve(old))
    assert [p.level for p in found if "baseline" in p.message] == ["warning"]
    (tmp_path / "s" / "trials").mkdir()
    assert launch.create(old.of_editions(2, 2), tmp_path / "s"), "the form asks no edition"
    assert load(tmp_path / "s").seed_edition == 1
