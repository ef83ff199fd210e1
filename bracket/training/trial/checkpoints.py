"""Checkpoints: a LoRA that `load_lora_weights` takes, and the state an exact resume needs."""

from __future__ import annotations

import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bracket.errors import SettingsError, StorageError
from bracket.files import storage_errors
from bracket.training.config.schema import TrainingConfig
from bracket.training.model.lora import save_lora

FINAL = "final"
_FREE_KEYS = ("output_dir", "device", "validation", "checkpoint", "sample")
"""Settings that don't change what is learned from one step to the next, so that a resume may change them."""
_SOURCE_KEYS = ("train", "validation", "folder", "cache_dir")
"""Where pictures lie; what they hold is compared by content."""


def step_name(step: int) -> str:
    return f"step-{step:06d}"


def save(folder: Path, name: str, step: int, transformer: Any, state: dict[str, Any]) -> Path:
    """Write a checkpoint beside its place and move it there whole; one of this name that is already there goes.

    Raises:
        StorageError: the disk is full or the folder can't be written.
    """
    target = folder / name
    beside, old = (folder / f".{name}-{os.getpid()}.{end}" for end in ("part", "old"))
    with storage_errors(target):
        try:
            beside.mkdir(parents=True)
            save_lora(transformer, beside)
            # By way of memory: torch's error for a full disk is no OSError.
            torch.save(state, buffer := BytesIO())
            (beside / "state.pt").write_bytes(buffer.getbuffer())
            (beside / "complete").write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")
            if target.exists():
                target.replace(old)
            beside.replace(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return target


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` step checkpoints. The final one is never deleted."""
    steps = sorted((p for p in folder.glob("step-*") if _step_of(p) is not None), key=lambda p: _step_of(p) or 0)
    for path in steps[: max(0, len(steps) - keep)]:
        shutil.rmtree(path)


def newest(folder: Path) -> tuple[Path, int] | None:
    """The complete checkpoint with the most steps, and how many; None when there is none."""
    found = [(step, p) for p in folder.glob("*") if not p.name.startswith(".") and (step := _step_of(p)) is not None]
    if not found:
        return None
    step, path = max(found, key=lambda pair: pair[0])
    return path, step


def step_of(checkpoint: Path) -> int:
    """How many steps a checkpoint was trained for; 0 for a LoRA that isn't ours."""
    return _step_of(checkpoint) or 0


def _step_of(checkpoint: Path) -> int | None:
    try:
        return int(json.loads((checkpoint / "complete").read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def pack_state(
    step: int, signature: dict[str, Any], parameters: list[nn.Parameter], optimizer: Optimizer, schedule: LRScheduler
) -> dict[str, Any]:
    """Everything that isn't a pure function of the config and the step (noise, timesteps and data order are)."""
    return {
        "step": step,
        "signature": json.dumps(signature, sort_keys=True),
        "parameters": [p.detach().cpu() for p in parameters],
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }


def restore_state(
    checkpoint: Path,
    signature: dict[str, Any],
    parameters: list[nn.Parameter],
    optimizer: Optimizer,
    schedule: LRScheduler,
) -> None:
    """Put weights, moments and schedule back as they were saved.

    Raises:
        SettingsError: the run was started with other settings or pictures.
        StorageError: the checkpoint is damaged.
    """
    path = checkpoint / "state.pt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise StorageError("The checkpoint can't be read", path=path, remedy="Delete its folder.") from error
    changed = _changed(json.loads(state["signature"]), json.loads(json.dumps(signature)))
    if changed:
        raise SettingsError(
            f"The run was started with other settings: {', '.join(changed)}",
            path=checkpoint,
            remedy="Put them back, or choose another output_dir.",
        )
    with torch.no_grad():
        for parameter, saved in zip(parameters, state["parameters"], strict=True):
            parameter.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])


def signature_of(config: TrainingConfig, content: str) -> dict[str, Any]:
    """What must be the same on resume: the settings that shape learning, and a hash of pictures and captions."""
    flat = config.model_dump(mode="json", exclude=set(_FREE_KEYS))
    for key in _SOURCE_KEYS:
        flat["data"].pop(key)
    # More steps continue a finished run; only a schedule that ends would have bent differently on the way.
    train = flat["train"]
    steps, laid_out = train.pop("steps"), train.pop("schedule_steps")
    if config.train.schedule not in ("constant", "constant_with_warmup"):
        train["steps"] = laid_out or steps
    return {**flat, "pictures and captions": content}


def _changed(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key in sorted({*old, *new}):
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            names += _changed(before, now, f"{prefix}{key}.")
        elif before != now:
            names.append(prefix + key)
    return names
