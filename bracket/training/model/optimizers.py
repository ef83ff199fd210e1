"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bracket.errors import TrainerError
from bracket.training.config.schema import OptimizerSection, TrainSection


def make_optimizer(settings: OptimizerSection, parameters: Sequence[nn.Parameter]) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019), Adafactor (Shazeer and Stern 2018; it has no betas) or Prodigy (Mishchenko
    and Defazio 2023, whose learning rate is a factor, usually 1).

    Raises:
        TrainerError: the optimiser's package is not installed.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.name == "adamw":
        fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
        return torch.optim.AdamW(parameters, lr=rate, betas=settings.betas, weight_decay=decay, fused=fused)
    if settings.name == "adafactor":
        from transformers.optimization import Adafactor

        adafactor: Optimizer = Adafactor(
            parameters, lr=rate, weight_decay=decay, scale_parameter=False, relative_step=False
        )
        return adafactor
    if find_spec("prodigyopt") is None:
        raise TrainerError("The optimizer prodigy is not installed", remedy="Run: python -m pip install prodigyopt")
    prodigy: Optimizer = import_module("prodigyopt").Prodigy(
        parameters, lr=rate, betas=settings.betas, weight_decay=decay
    )
    return prodigy


def make_schedule(settings: TrainSection, optimizer: Optimizer) -> LambdaLR:
    """The schedule by diffusers' own names. All but `constant` honour the warm-up, and a warm-up there is told of."""
    from diffusers.optimization import get_scheduler

    if settings.schedule == "constant" and settings.warmup_steps:
        print(
            f"train.warmup_steps {settings.warmup_steps} has no effect with the schedule constant; "
            "use constant_with_warmup.",
            file=sys.stderr,
        )
    schedule: LambdaLR = get_scheduler(
        settings.schedule,
        optimizer,
        num_warmup_steps=settings.warmup_steps,
        num_training_steps=settings.schedule_steps or settings.steps,
    )
    return schedule
