"""The validation loss: one figure that every config of a round is measured by in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bracket.training.data.cache import Cache, read
from bracket.training.data.pictures import Item
from bracket.training.model.klein import Base, image_ids, pack, text_ids, velocity

_CHUNK = 8
"""Rows a pass, fixed: a config's batch size must not change the figure, not even its last bit."""


@dataclass(frozen=True)
class Validation:
    """Held-out pictures, each at the same noise levels with the same noise, whatever the config.

    Always the plain mean squared error, unweighted, at evenly spaced levels (2i + 1) / 2n: a config's own weighting,
    loss or timestep density would make its figure incomparable with another's.
    """

    items: Sequence[Item]
    timesteps: int
    cache: Cache
    base: Base

    @torch.no_grad()
    def loss(self, transformer: Any) -> float:
        """The mean over pictures and noise levels, with LoRA dropout off; the mode is put back afterwards."""
        was_training = transformer.training
        transformer.eval()
        losses = [self._picture(transformer, item) for item in self.items]
        transformer.train(was_training)
        return float(torch.cat(losses).double().mean())

    def _picture(self, transformer: Any, item: Item) -> Tensor:
        device = self.base.device
        latents = read(self.cache.latents(item, self.base))
        text = read(self.cache.text(item.caption, self.base)).to(device)
        ids = (image_ids(*latents.shape[1:]).to(device), text_ids(len(text)).to(device))
        clean = pack(latents[None]).float()
        generator = torch.Generator().manual_seed(_seed(item))
        noise = torch.randn(self.timesteps, *clean.shape[1:], generator=generator)
        sigma = (torch.arange(self.timesteps) + 0.5) / self.timesteps
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        losses = []
        for start in range(0, self.timesteps, _CHUNK):
            rows = slice(start, start + _CHUNK)
            part = noisy[rows].to(device, self.base.dtype)
            with torch.autocast(device.type, self.base.dtype, enabled=self.base.dtype != torch.float32):
                predicted = velocity(
                    transformer, part, text.expand(len(part), -1, -1), sigma[rows].to(device, self.base.dtype), ids
                )
            target = (noise[rows] - clean).to(device)
            losses.append(F.mse_loss(predicted.float(), target, reduction="none").mean((1, 2)).cpu())
        return torch.cat(losses)


def _seed(item: Item) -> int:
    """From the picture and its caption, so that neither the list's order nor its length chooses a picture's noise."""
    return int.from_bytes(sha256(f"{item.digest}/{item.caption}".encode()).digest()[:8], "big") >> 1
