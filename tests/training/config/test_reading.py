from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bracket.errors import SettingsError
from bracket.training.config.reading import dump, merge, read_trials

MINIMAL = "output_dir: out\nmodel: {path: m}\ndata: {folder: pictures}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_trials(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_extends_is_followed_through_every_level_beside_each_child(tmp_path: Path) -> None:
    write(tmp_path / "base/root.yaml", MINIMAL + "train: {steps: 10, batch_size: 2}\nseed: 1\n")
    write(tmp_path / "base/middle.yaml", "extends: root.yaml\ntrain: {batch_size: 3}\nmodel: {text_layers: [1, 2]}\n")
    child = write(tmp_path / "child.yaml", "extends: base/middle.yaml\nseed: 7\nmodel: {text_layers: [4]}\n")
    (config,) = read_trials(child)
    assert (config.train.steps, config.train.batch_size, config.seed) == (10, 3, 7)
    assert config.model.text_layers == (4,)


def test_a_circle_of_extends_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    assert "extends itself" in refusal(tmp_path / "a.yaml")


def test_a_missing_base_names_the_line_that_asks_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "seed: 1\nextends: nowhere.yaml\n")
    message = refusal(path)
    assert "nowhere.yaml" in message and f"{path}:2" in message


def test_merge_replaces_lists_and_changes_neither_side() -> None:
    below, above = {"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [3]}}
    assert merge(below, above) == {"a": {"x": 1, "y": [3]}}
    assert below == {"a": {"x": 1, "y": [1, 2]}}


@pytest.mark.parametrize(
    ("override", "where", "value"),
    [
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate", 0.001),
        ("data.buckets=false", "data.buckets", False),
        ("lora.targets=[to_q, to_k]", "lora.targets", ("to_q", "to_k")),
        ("lora.alpha=null", "lora.alpha", None),
        ("model.path=10", None, None),
    ],
)
def test_set_takes_yaml_values(tmp_path: Path, override: str, where: str | None, value: object) -> None:
    path = write(tmp_path / "c.yaml", MINIMAL)
    if where is None:
        assert "model.path should be a valid string, not 10 (--set model.path=10)" in refusal(path, override)
        return
    (config,) = read_trials(path, [override])
    section, key = where.split(".")
    assert getattr(getattr(config, section), key) == value


@pytest.mark.parametrize(
    ("line", "key", "nearest"),
    [
        ("optimizer: {learning_rat: 1}", "optimizer.learning_rat", "optimizer.learning_rate"),
        ("learning_rate: 1", "learning_rate", "optimizer.learning_rate"),
        ("train: {shedule: cosine}", "train.shedule", "train.schedule"),
        ("sample: {prompts: [{txt: hi}]}", "sample.prompts.0.txt", "sample.prompts.text"),
        ("dtyp: float32", "dtyp", "dtype"),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest(
    tmp_path: Path, line: str, key: str, nearest: str
) -> None:
    path = write(tmp_path / "c.yaml", MINIMAL + line + "\n")
    assert refusal(path) == f"Unknown key {key} ({path}:4). Did you mean {nearest}?"


def test_an_unknown_key_of_a_base_is_placed_in_the_base(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", MINIMAL + "train:\n  stepz: 3\n")
    child = write(tmp_path / "child.yaml", "extends: base.yaml\ntrain: {batch_size: 2}\n")
    assert f"Unknown key train.stepz ({base}:5)" in refusal(child)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMAL + "train: {steps: many}", "train.steps should be a valid integer"),
        (MINIMAL + "train: {steps: 0}", "train.steps should be greater than or equal to 1, not 0"),
        (MINIMAL + "loss: {weighting: mod}", "loss.weighting should be 'none', 'sigma_sqrt'"),
        (MINIMAL + "optimizer: {learning_rate: .nan}", "optimizer.learning_rate should be a finite number"),
        ("output_dir: o\ndata: {folder: p}", "The key model is missing"),
        ("output_dir: o\nmodel: {path: m}\ndata: {}", "data needs either train"),
        (MINIMAL + "seed: 1\nseed: 2", "The key seed is given twice"),
        (MINIMAL + "train: [", "not valid YAML"),
        ("- a", "must be a map"),
    ],
)
def test_a_bad_value_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path / "c.yaml", text))


def test_a_missing_config_is_one_sentence(tmp_path: Path) -> None:
    assert "can't be read" in refusal(tmp_path / "none.yaml")


def test_the_dumped_config_reads_back_as_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "c.yaml", MINIMAL + "sample: {prompts: [{text: ein Stern ☆, seed: 3}]}\nlora: {alpha: 2}\n")
    (config,) = read_trials(path)
    (again,) = read_trials(write(tmp_path / "again.yaml", dump(config)))
    assert again == config


class TestTrials:
    def test_each_trial_has_its_folder_seed_and_settings(self, tmp_path: Path) -> None:
        rows = [
            {"output_dir": "a", "set": {"optimizer.learning_rate": 0.5}},
            {"output_dir": "b", "seed": 9, "set": {"lora.rank": 2}},
        ]
        path = write(tmp_path / "c.yaml", MINIMAL + yaml.safe_dump({"trials": rows}))
        first, second = read_trials(path)
        assert (str(first.output_dir), first.seed, first.optimizer.learning_rate, first.lora.rank) == ("a", 0, 0.5, 16)
        assert (str(second.output_dir), second.seed, second.optimizer.learning_rate, second.lora.rank) == (
            "b", 9, 1e-4, 2,
        )  # fmt: skip

    def test_they_must_share_the_base(self, tmp_path: Path) -> None:
        rows = [{"output_dir": "a"}, {"output_dir": "b", "set": {"model.path": "other"}}]
        assert "another model" in refusal(write(tmp_path / "c.yaml", MINIMAL + yaml.safe_dump({"trials": rows})))

    def test_they_must_not_share_a_folder(self, tmp_path: Path) -> None:
        rows = [{"output_dir": "a"}, {"output_dir": "a"}]
        assert "same output_dir" in refusal(write(tmp_path / "c.yaml", MINIMAL + yaml.safe_dump({"trials": rows})))

    def test_an_unknown_key_in_a_row_is_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "c.yaml", MINIMAL + "trials:\n- output_dir: a\n  sed: 1\n")
        assert refusal(path) == f"Unknown key trials.0.sed ({path}:6). Did you mean seed?"

    def test_an_unknown_key_that_a_row_sets_is_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "c.yaml", MINIMAL + "trials:\n- output_dir: a\n  set: {train.step: 1}\n")
        assert "Unknown key train.step (" in refusal(path)
