"""Presets are data: the shipped ones fit, and a wrong one says where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bracket.errors import PresetError
from bracket.presets import broken_presets, find_preset, list_presets, load_preset
from bracket.search.space import active, effective
from bracket.weights import KINDS

RATE = {"target": "optimizer.learning_rate", "kind": "float", "low": 1e-5, "high": 1e-2, "log": True}
SMALL = {
    "name": "p",
    "title": "P",
    "trainer": "builtin",
    "model": "m",
    "method": "lora",
    "knobs": {"learning_rate": RATE},
    "baseline": {"learning_rate": 1e-4},
}


def _written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "builtin" / "p.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


@pytest.mark.parametrize("preset", list_presets(), ids=lambda p: p.name)
def test_shipped_configs_lie_in_their_own_ranges(preset) -> None:  # type: ignore[no-untyped-def]
    knobs = preset.knob_list()
    for config in (preset.baseline, *preset.curated_configs()):
        trained = effective(config, knobs)
        counting = {k.name for k in active(knobs, trained)}
        assert {n: trained[n] for n in counting} == {n: config[n] for n in counting}


def test_the_demo_comes_first_and_its_weights_are_there() -> None:
    first = list_presets()[0]
    assert first.name == "embedded-demo"
    assert [p.level for p in first.check_weights({})] == ["info"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"baseline": {"learning_rate": 1e-4, "rnak": 8}}, "unknown knobs: rnak"),
        ({"baseline": {}}, "no value for: learning_rate"),
        ({"knobs": {"learning_rate": {"target": "x", "kind": "float", "low": 0.0, "high": 1.0, "log": True}}}, "low"),
        ({"knobs": {"learning_rate": {"target": "x", "kind": "choice"}}}, "choices"),
    ],
)
def test_a_wrong_preset_names_the_place(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = _written(tmp_path, **changes)
    with pytest.raises(PresetError, match=said) as caught:
        load_preset(path)
    assert caught.value.path == path


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(PresetError, match="embedded-demo"):
        find_preset("embeded-demo")


def test_missing_weights_say_where_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BRACKET_FLUX2_KLEIN_4B", raising=False)
    klein = find_preset("flux2-klein-4b-lora")
    (problem,) = klein.check_weights({})
    assert problem.level == "error" and "huggingface.co" in problem.remedy
    (problem,) = klein.check_weights({"model.path": str(tmp_path)})
    assert "model_index.json" in problem.message
    monkeypatch.setenv("BRACKET_FLUX2_KLEIN_4B", str(tmp_path / "gone"))
    (problem,) = klein.check_weights({})
    assert problem.path == tmp_path / "gone"


PROFILES = [{"gb": 12, "settings": {"a": 1}}, {"gb": 24, "settings": {"a": 2}}, {"gb": 16}]


@pytest.mark.parametrize(("there", "chosen", "below"), [(24, 24, 16), (23.6, 24, 16), (80, 24, 16), (17, 16, 12)])
def test_the_largest_memory_profile_that_fits_is_chosen(tmp_path: Path, there: float, chosen: int, below: int) -> None:
    preset = load_preset(_written(tmp_path, vram=PROFILES))
    profile = preset.profile(there)
    assert profile and profile.gb == chosen
    lower = preset.lower_profile(profile)
    assert lower and lower.gb == below


def test_a_small_card_gets_the_smallest_profile_and_there_is_none_below(tmp_path: Path) -> None:
    preset = load_preset(_written(tmp_path, vram=PROFILES))
    profile = preset.profile(8)
    assert profile and profile.gb == 12 and preset.lower_profile(profile) is None
    assert load_preset(_written(tmp_path)).profile(24) is None


def test_a_preset_extends_another_and_null_takes_away(tmp_path: Path) -> None:
    folder = tmp_path / "builtin"
    folder.mkdir()
    base = {**SMALL, "fixed": {"a": 1, "b": {"c": 2, "d": 3}}}
    (folder / "_base.yaml").write_text(yaml.safe_dump(base))
    (folder / "p.yaml").write_text("extends: _base.yaml\nname: q\nfixed: {a: null, b: {c: 5}}\n")
    (preset,) = list_presets(tmp_path)
    assert preset.name == "q" and preset.fixed == {"b": {"c": 5, "d": 3}}
    (folder / "_base.yaml").write_text("extends: p.yaml\n")
    with pytest.raises(PresetError, match="extends itself"):
        load_preset(folder / "p.yaml")


def test_a_preset_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "good.yaml").write_text(yaml.safe_dump({**SMALL, "name": "good"}))
    (folder / "bad.yaml").write_text("a: [1")
    assert [p.name for p in list_presets(tmp_path)] == ["good"]
    (error,) = broken_presets(tmp_path)
    assert error.path == folder / "bad.yaml" and find_preset("good", tmp_path).name == "good"
    with pytest.raises(PresetError, match="it is no YAML"):
        find_preset("bad", tmp_path)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"alpha": {**RATE, "at_most": {"rank": 2}}, "learning_rate": RATE}, "alpha depends on rank"),
        ({"learning_rate": {"kind": "choice", "choices": ["a", "b"], "means": {"a": {}}}}, "`means` for each"),
    ],
)
def test_knobs_depend_only_on_knobs_before_them(tmp_path: Path, knobs: dict[str, object], said: str) -> None:
    values = {"alpha": 1e-4, "learning_rate": 1e-4}
    with pytest.raises(PresetError, match=said):
        load_preset(_written(tmp_path, knobs=knobs, baseline={name: values[name] for name in knobs}))


@pytest.mark.parametrize("preset", list_presets(), ids=lambda p: p.name)
def test_shipped_presets_name_weights_that_can_be_told(preset) -> None:  # type: ignore[no-untyped-def]
    for weight in preset.weights:
        assert set(weight.is_a) <= KINDS
        assert weight.source, "where to get it"
    assert (preset.name.islower() and preset.title.count("·") == 2) or preset.name == "embedded-demo"
