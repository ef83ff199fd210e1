"""What an AI-Toolkit run leaves in its folder: whether it is whole, and how another run goes on from it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from bracket.domain import Trial
from bracket.errors import TrainerError
from bracket.files import read_json, storage_errors
from bracket.trainers.artefacts import Saved, ai_toolkit_checkpoints
from bracket.trainers.base import loads

META = "aitk_meta.yaml"
"""In the folder of a full model: what a safetensors file has as metadata."""


def of_step(place: Path, name: str, step: int) -> list[Saved]:
    """What a run saved under the number of a step: one checkpoint, or one for each expert."""
    return [s for s in ai_toolkit_checkpoints(place, name) if s.kind == "step" and s.number == step]


def is_whole(path: Path) -> bool:
    """Whether a checkpoint, a file or a folder, was saved to its end."""
    if not path.is_dir():
        return loads(path)
    files = list(path.rglob("*.safetensors"))
    return bool(files) and all(loads(f) for f in files) and (path / META).is_file()


def trained_steps(path: Path) -> int | None:
    """Updates a checkpoint has had, as its metadata say; None where they say nothing. See `base.loads` for the form."""
    try:
        if path.is_dir():
            import yaml

            info = yaml.safe_load((path / META).read_text(encoding="utf-8"))["training_info"]
            return int(info["step"])
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return int(json.loads(header["__metadata__"]["training_info"])["step"])
    except (OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError):
        return None


def experts_trained(config: Path) -> set[str]:
    """The experts of Wan 2.2 that a run with this config trains; each has a file of its own."""
    model = read_json(config)["config"]["process"][0]["model"]
    chosen = model.get("model_kwargs", {})
    return {name for name in ("high_noise", "low_noise") if chosen.get(f"train_{name}", True)}


def remove_broken(place: Path, name: str) -> None:
    """Removes what a kill cut short: AI-Toolkit goes on from its newest file, whether that is whole or not.

    Raises:
        StorageError: it can't be removed.
    """
    broken = {s.path for s in ai_toolkit_checkpoints(place, name) if not is_whole(s.path)}
    for path in broken:
        with storage_errors(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def carry_over(checkpoints: Path, source: Trial, trial: Trial, place: Path) -> None:
    """Copies the state that an earlier trial saved at its last step for AI-Toolkit to find it under this trial's name.

    Args:
        checkpoints: the earlier trial's training folder.
        place: this trial's own folder in its training folder.

    Raises:
        TrainerError: there is no whole checkpoint to go on from.
        StorageError: it can't be copied.
    """
    old = checkpoints / source.id
    found = [s for s in of_step(old, source.id, source.steps) if is_whole(s.path)]
    if not found:
        remedy = "Begin it anew, without the trial before it."
        raise TrainerError("the trial it goes on from left no checkpoint", path=old, remedy=remedy, trial=trial.id)
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        if (old / "optimizer.pt").is_file():
            shutil.copy2(old / "optimizer.pt", place)  # a copy: AI-Toolkit writes into the file that is there
    if (old / "loss_log.db").is_file():
        with (
            closing(sqlite3.connect(old / "loss_log.db")) as log,
            closing(sqlite3.connect(place / "loss_log.db")) as to,
        ):
            log.backup(to)
    for saved in found:
        _link(saved.path, place / (trial.id + saved.path.name.removeprefix(source.id)))


def link_checkpoint(checkpoint: Path, place: Path, name: str) -> None:
    """Puts a checkpoint (with the other one, where it is one of a pair) where a run called `name` resumes from it.

    Raises:
        StorageError: it can't be linked or copied.
    """
    job = checkpoint.parent.name
    for expert in sorted({checkpoint.name, checkpoint.name.replace("_high_noise", "_low_noise")}):
        file = checkpoint.with_name(expert)
        if file.exists():
            _link(file, place / (name + expert.removeprefix(job)))


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none; of a folder, of the files in it."""
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link_file)
        else:
            _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(source, target)
    return target
