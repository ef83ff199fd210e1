"""Several processes that train one LoRA: who this one is, and what they must agree on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn

_PATIENCE = timedelta(hours=2)
"""How long the others wait while the first one caches or draws."""


@dataclass(frozen=True)
class Ranks:
    """One process among `world`. With a world of one nothing here costs anything."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        if self.world > 1:
            torch.distributed.barrier()

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Every process gets the mean of all gradients, in one exchange."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, figures: Tensor) -> Tensor:
        """The mean of every process's figures."""
        if self.world > 1:
            torch.distributed.all_reduce(figures)
            figures /= self.world
        return figures

    def any(self, asked: bool) -> bool:
        """Whether any process was asked: all of them stop at the same step or none does."""
        if self.world == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.device)
        torch.distributed.all_reduce(flag)
        return bool(flag > 0)


def join(device: str) -> tuple[Ranks, str]:
    """Join the processes that `accelerate launch` (or torchrun) started, if it did; and the device of this one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks(), device
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if cuda:
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    return Ranks(rank, world, device if cuda else "cpu"), device


def leave() -> None:
    """Part from the others at the end of the program."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
