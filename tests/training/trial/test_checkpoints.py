from __future__ import annotations

import errno
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from bracket.errors import SettingsError, StorageError
from bracket.training.config.schema import LoraSection, ModelSection, TrainingConfig
from bracket.training.model.klein import Base
from bracket.training.model.lora import add_lora
from bracket.training.trial import checkpoints


@pytest.fixture
def save(model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Save the tiny model's LoRA under a name."""
    base = Base(ModelSection(path=str(model)), torch.device("cpu"), torch.float32)
    add_lora(base.transformer, LoraSection(rank=2, alpha=5, targets=("to_v", "to_q", "to_k")), seed=0)

    def run(name: str, step: int) -> Path:
        return checkpoints.save(tmp_path, name, step, base.transformer, {"step": step})

    return run


def fake(folder: Path, name: str, step: int | None) -> None:
    (folder / name).mkdir()
    if step is not None:
        (folder / name / "complete").write_text(json.dumps({"step": step}))


def test_the_newest_is_the_complete_one_with_the_most_steps(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "none") is None
    fake(tmp_path, "step-000010", 10)
    fake(tmp_path, "step-000030", None)
    fake(tmp_path, ".step-000040-1.part", 40)
    fake(tmp_path, "final", 20)
    assert checkpoints.newest(tmp_path) == (tmp_path / "final", 20)


def test_pruning_keeps_the_newest_and_the_final_one(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        fake(tmp_path, checkpoints.step_name(step), step)
    fake(tmp_path, "final", 100)
    checkpoints.prune(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["final", "step-000010", "step-000100"]


def test_alpha_is_in_the_header_and_saving_again_gives_the_same_bytes(save: Callable[..., Path]) -> None:
    path = save("final", 3) / "pytorch_lora_weights.safetensors"
    first = path.read_bytes()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert all(key.startswith("transformer.") for key in file.keys())  # noqa: SIM118 (a reader, not a dict)
    adapter = json.loads(metadata["lora_adapter_metadata"])
    assert metadata["format"] == "pt"
    assert (adapter["transformer.r"], adapter["transformer.lora_alpha"]) == (2, 5)
    assert adapter["transformer.target_modules"] == ["to_k", "to_q", "to_v"]
    assert save("final", 4) / "pytorch_lora_weights.safetensors" == path
    assert path.read_bytes() == first
    assert checkpoints.step_of(path.parent) == 4


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("final", 3)
    whole = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        if path.name == "state.pt":
            whole(path, bytes(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk is full"):
        save("final", 4)
    assert [p.name for p in tmp_path.iterdir()] == ["final"]
    assert checkpoints.step_of(tmp_path / "final") == 3


def test_a_damaged_state_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"step": 1}, buffer := BytesIO())
    (tmp_path / "state.pt").write_bytes(buffer.getvalue()[:40])
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    with pytest.raises(StorageError, match="can't be read"):
        checkpoints.restore_state(tmp_path, {}, [weight], optimizer, schedule)


def _resume(tmp_path: Path, content: str = "pictures", **changes: object) -> None:
    """Take up a run of plain settings with others."""
    first = {"output_dir": "o", "model": {"path": "m"}, "data": {"folder": "a"}}
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    then, now = (TrainingConfig.model_validate({**first, **tree}) for tree in ({}, changes))
    state = checkpoints.pack_state(1, checkpoints.signature_of(then, "pictures"), [weight], optimizer, schedule)
    torch.save(state, tmp_path / "state.pt")
    checkpoints.restore_state(tmp_path, checkpoints.signature_of(now, content), [weight], optimizer, schedule)


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        *(("", {"seed": 1}), ("", {"dtype": "bfloat16"}), ("model", {"path": "other"}), ("loss", {"base": "l1"})),
        *(("lora", {"rank": 2}), ("lora", {"dropout": 0.1}), ("optimizer", {"learning_rate": 2e-4})),
        *(("optimizer", {"weight_decay": 0.0}), ("train", {"batch_size": 2}), ("train", {"max_grad_norm": 0.5})),
        *(("train", {"schedule": "linear"}), ("data", {"resolution": 256}), ("data", {"caption_dropout": 0.1})),
    ],
)
def test_a_resume_that_would_learn_otherwise_is_refused(tmp_path: Path, section: str, changed: dict[str, Any]) -> None:
    (name,) = changed
    folder = {"folder": "a"} if section == "data" else {}
    tree = {section: {**folder, **changed}} if section else changed
    with pytest.raises(SettingsError, match=rf"other settings: ([a-z_.]+, )?{f'{section}.{name}'.strip('.')}"):
        _resume(tmp_path, **tree)


def test_a_resume_with_other_pictures_is_refused_and_with_another_place_or_more_steps_is_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="other settings: pictures and captions"):
        _resume(tmp_path, content="other pictures")
    places = {"output_dir": "elsewhere", "device": "cpu", "data": {"folder": "moved", "cache_dir": "c"}}
    _resume(tmp_path, **places, train={"steps": 2_000}, validation={"every": 5}, sample={"every": 5})
