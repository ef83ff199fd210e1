from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bracket.errors import JudgeError
from bracket.judges.embeddings import model
from bracket.judges.embeddings.model import ClipModel, check_model, identity, is_hub_id


@pytest.fixture
def copy(random_clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_clip, tmp_path / "clip"))


def test_a_whole_model_has_no_problems(random_clip: Path) -> None:
    assert check_model(str(random_clip)) == []


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "preprocessor_config.json", "config.json"])
def test_what_a_model_lacks_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    (problem,) = check_model(str(copy))
    assert problem.level == "error" and name in problem.message and problem.path == copy


def test_another_kind_of_model_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    assert "'siglip', not 'clip'" in check_model(str(copy))[0].message


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_damaged_config_is_named(copy: Path, text: str) -> None:
    (copy / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert check_model(str(copy))[0].path == copy / "config.json"


def test_a_missing_folder_and_no_model_are_errors(tmp_path: Path) -> None:
    assert "missing" in check_model(str(tmp_path / "none"))[0].message
    assert "no model" in check_model("")[0].message


def test_hub_ids_are_told_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "clip").mkdir(parents=True)
    assert is_hub_id("openai/clip-vit-large-patch14")
    assert not is_hub_id("models/clip")
    assert not any(map(is_hub_id, ("/models/clip", "a/b/c", "./clip", "clip", "")))


def test_identity_changes_with_any_file(copy: Path) -> None:
    before = identity(copy)
    assert before == identity(copy)
    (copy / "preprocessor_config.json").write_text("{}")
    changed = identity(copy)
    (copy / "README.md").write_text("no part of the model")
    assert changed != before and identity(copy) == changed


def test_identity_of_large_files_counts_places_of_them(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_WHOLE", 1000)
    monkeypatch.setattr(model, "_CHUNK", 64)
    before, weights = identity(copy), copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity(copy) != before


def test_weights_that_cannot_be_loaded_are_an_error_without_a_path(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(JudgeError, match="can't be loaded") as caught:
        ClipModel(copy)
    assert caught.value.path is None
