from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bracket.errors import PresetError
from bracket.judges.vlm.rubric import Rubric, filled, load_rubric
from bracket.presets import list_presets

SCALE = [{"answer": "bad", "value": 0}, {"answer": "good", "value": 1}]
SMALL: dict[str, Any] = {
    "system": "Look closely.",
    "scale": SCALE,
    "axes": {"quality": {"question": "How good is it?"}},
    "compare": {"question": "Which is better? {prompt}"},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["", "default", "style", "video"])
def test_what_ships_loads(name: str) -> None:
    rubric = load_rubric(name)
    assert list(rubric.axes) == ["adherence", "quality", "artefacts", "likeness", "motion", "flicker"]
    assert [n for n, a in rubric.axes.items() if "frames" in a.needs] == ["motion", "flicker"]
    assert [n for n, a in rubric.axes.items() if "references" in a.needs] == ["likeness"]
    for axis in rubric.axes:
        scale = rubric.scale_of(axis)
        assert (scale[0].value, scale[-1].value) == (0, 1)
        assert len({o.answer[0] for o in scale}) == len(scale)  # told apart by their first letter


def test_rubrics_are_no_presets() -> None:
    assert not {"Default", "Style", "Video"} & {p.title for p in list_presets()}


def test_the_fingerprint_is_of_the_meaning(tmp_path: Path) -> None:
    plain = load_rubric(written(tmp_path)).fingerprint
    assert load_rubric(written(tmp_path, title="Mine", about="Other words")).fingerprint == plain
    own_scale = {"quality": {"question": "How good is it?", "scale": SCALE}}
    assert load_rubric(written(tmp_path, axes=own_scale)).fingerprint == plain
    changed: list[dict[str, Any]] = [
        {"system": "Look."},
        {"frames": 5},
        {"axes": {"quality": {"question": "How good is it?", "weight": 2}}},
        {"axes": {"quality": {"question": "How good is this?"}}},
        {"axes": {"looks": {"question": "How good is it?"}}},
        {"scale": [SCALE[0], {"answer": "good", "value": 0.9}]},
        {"scale": [SCALE[0], {"answer": "good", "value": 1, "means": "no fault"}]},
        {"compare": {"question": "Which?"}},
    ]
    prints = [load_rubric(written(tmp_path, **c)).fingerprint for c in changed]
    assert len({plain, *prints}) == len(changed) + 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axis": {}}, r"axis: Extra inputs.*Did you mean 'axes'\?"),
        ({"axes": {"quality": {"question": "?", "wieght": 1}}}, r"axes\.quality\.wieght.*Did you mean 'weight'\?"),
        ({"scale": [*SCALE, {"answer": "best", "value": 2}]}, r"scale\.2\.value"),
        ({"scale": [{"answer": "x", "vlaue": 1}]}, r"Did you mean 'value'\?"),
        ({"scale": SCALE[::-1]}, "from worst to best"),
        ({"scale": SCALE[:1]}, r"axes\.quality\.scale needs at least two"),
        ({"scale": [{"answer": "very bad", "value": 0}, SCALE[1]]}, "'very bad' must be one word"),
        ({"scale": [SCALE[0], {"answer": "badly", "value": 1}]}, r"beginning of another \(bad, badly\)"),
        ({"axes": {}}, "axes"),
        ({"axes": {"quality": {"question": "?", "weight": 0}}}, "weight above 0"),
        ({"axes": {"quality": {"question": "?", "weight": -1}}}, r"axes\.quality\.weight"),
        ({"axes": {"quality": {"question": "?", "weight": float("nan")}}}, r"axes\.quality\.weight"),
        ({"axes": {"Quality!": {"question": "?"}}}, "'Quality!'"),
        ({"axes": {"quality": {"question": "Of {prompt}?"}}}, "add prompt to its needs"),
        ({"axes": {"quality": {"question": "{clas_word}?"}}}, r"did you mean \{class_word\}\?"),
        ({"axes": {"quality": {"question": "?", "needs": ["picture"]}}}, r"axes\.quality\.needs\.0"),
        ({"system": "You judge {prompt}."}, "system holds {prompt}: known: none"),
        ({"compare": {"question": "{frames}?"}}, r"compare\.question holds"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(PresetError, match=said) as caught:
        load_rubric(path)
    assert caught.value.path == path and "rubric" in caught.value.message


def test_a_missing_file_a_missing_name_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="the rubric can't be read"):
        load_rubric(tmp_path / "none.yaml")
    with pytest.raises(PresetError, match=r"no rubric called 'styl'.*default, style, video"):
        load_rubric("styl")
    (tmp_path / "odd.yaml").write_bytes(b"a: [1")
    with pytest.raises(PresetError, match="the rubric can't be read: it is no YAML"):
        load_rubric(tmp_path / "odd.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"system: \xe9\xff")
    with pytest.raises(PresetError, match="not UTF-8 text"):
        load_rubric(tmp_path / "latin.yaml")


def test_a_user_s_rubric_may_build_on_another(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "over.yaml").write_text("extends: mine.yaml\naxes: {quality: {weight: 3}}\n", encoding="utf-8")
    rubric = load_rubric(str(tmp_path / "over.yaml"))
    assert rubric.weights == {"quality": 3} and rubric.system == "Look closely."


def test_numbers_may_be_answers(tmp_path: Path) -> None:
    numbers = [{"answer": n, "value": n / 5} for n in (1, 2, 5)]
    assert [o.answer for o in load_rubric(written(tmp_path, scale=numbers)).scale] == ["1", "2", "5"]


def test_what_is_filled_in_is_not_filled_again() -> None:
    assert filled("{prompt} and {class_word}", {"prompt": "{class_word}", "class_word": "x"}) == "{class_word} and x"


def test_a_rubric_is_frozen() -> None:
    rubric = load_rubric()
    assert isinstance(rubric, Rubric)
    with pytest.raises(ValueError, match="frozen"):
        rubric.system = "x"  # type: ignore[misc]
