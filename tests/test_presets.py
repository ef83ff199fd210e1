"""Presets are data: the shipped ones fit, and a wrong one says where."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bracket.errors import PresetError
from bracket.presets import find_preset, list_presets, load_preset
from bracket.search.space import effective

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
    for config in (preset.baseline, *preset.curated_configs()):
        assert effective(config, preset.knob_list()) == dict(config)


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
