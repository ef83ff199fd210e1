"""Adapters: how each trainer is checked, launched, resumed and asked for pictures."""

from __future__ import annotations

from bracket.errors import TrainerError
from bracket.trainers.ai_toolkit.adapter import AiToolkitTrainer
from bracket.trainers.base import Job, Trainer, bare_job
from bracket.trainers.builtin import BuiltinTrainer
from bracket.trainers.kohya.musubi import MusubiTrainer
from bracket.trainers.kohya.sd_scripts import SdScriptsTrainer

__all__ = [
    "AiToolkitTrainer",
    "BuiltinTrainer",
    "Job",
    "MusubiTrainer",
    "SdScriptsTrainer",
    "Trainer",
    "bare_job",
    "make_trainer",
]

_TRAINERS: dict[str, type[Trainer]] = {
    "ai_toolkit": AiToolkitTrainer,
    "builtin": BuiltinTrainer,
    "musubi": MusubiTrainer,
    "sd_scripts": SdScriptsTrainer,
}


def make_trainer(name: str) -> Trainer:
    """The adapter called `name`.

    Raises:
        TrainerError: there is none.
    """
    if name not in _TRAINERS:
        raise TrainerError(f"there is no trainer called {name!r}", remedy=f"Known: {', '.join(_TRAINERS)}.")
    return _TRAINERS[name]()
