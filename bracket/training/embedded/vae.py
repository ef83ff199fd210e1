"""Train the embedded base's VAE on drawn pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from tqdm import trange

from bracket.demo.shapes import SHAPES, all_specs, draw, random_pictures
from bracket.training.embedded.models import make_vae


def pixels(rng: np.random.Generator, n: int) -> Tensor:
    """`n` drawn pictures of every shape, float32 (n, 3, 64, 64) in -1..1."""
    images = draw(random_pictures(rng, n, all_specs(SHAPES)))
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def patchify(latents: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4C, H/2, W/2), channel 4c + 2dy + dx: Klein's 2x2 patches."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, c * 4, h // 2, w // 2)


def train_vae(out: Path, steps: int, batch: int = 16, seed: int = 0) -> float:
    """Train, fill the batch-norm statistics the pipeline normalises with, save; returns the PSNR in dB."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vae = make_vae().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    bar = trange(steps, desc="vae", mininterval=5)
    for _ in bar:
        x = pixels(rng, batch).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        rebuilt = vae.decode(posterior.sample()).sample
        edges = sum(F.l1_loss(rebuilt.diff(dim=d), x.diff(dim=d)) for d in (2, 3))
        kl = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - 1 - posterior.logvar).mean()
        loss = F.l1_loss(rebuilt, x) + F.mse_loss(rebuilt, x) + edges + 1e-4 * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
    vae = vae.to(memory_format=torch.contiguous_format).eval()
    _fill_statistics(vae, rng)
    vae.save_pretrained(out)
    return psnr(vae)


@torch.no_grad()
def _fill_statistics(vae: AutoencoderKLFlux2, rng: np.random.Generator) -> None:
    latents = torch.cat([patchify(vae.encode(pixels(rng, 64)).latent_dist.mode()) for _ in range(20)])
    vae.bn.running_mean.copy_(latents.mean((0, 2, 3)))
    vae.bn.running_var.copy_(latents.var((0, 2, 3)))


@torch.no_grad()
def psnr(vae: AutoencoderKLFlux2) -> float:
    """Peak signal-to-noise ratio of the rebuilt pictures, in dB (range -1..1, so the peak is 2)."""
    x = pixels(np.random.default_rng(5), 64)
    rebuilt = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return float(10 * torch.log10(4 / F.mse_loss(rebuilt, x)))
