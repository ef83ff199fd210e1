"""Flow matching in formulas: where timesteps are drawn, how they are weighted, and how an error is measured."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bracket.training.config.schema import LossSection

TIMESTEPS = 1000
SIGMA_SQRT_BOUND = 100.0
"""Largest weight of `sigma_sqrt`. Unbounded it reaches a million at the last timestep and one sample drowns a batch."""


def draw_sigmas(settings: LossSection, n: int) -> Tensor:
    """Noise levels (n,) in (0, 1], float32, from torch's global generator.

    The density is over u, 0 being pure noise (Esser et al. 2024, Scaling Rectified Flow Transformers, section 3.1):
    uniform; logit_normal sigmoid(N(mean, std)); mode 1 - v - s (cos^2(pi v / 2) - 1 + v) with v uniform.
    """
    if settings.weighting == "logit_normal":
        u = torch.sigmoid(settings.logit_mean + settings.logit_std * torch.randn(n))
    elif settings.weighting == "mode":
        u = mode_density(torch.rand(n), settings.mode_scale)
    else:
        u = torch.rand(n)
    return shift_sigmas(sigmas_of(u), settings.timestep_shift)


def mode_density(v: Tensor, scale: float) -> Tensor:
    """u = 1 - v - scale (cos^2(pi v / 2) - 1 + v), for v in 0..1."""
    return 1 - v - scale * (torch.cos(math.pi * v / 2) ** 2 - 1 + v)


def sigmas_of(u: Tensor) -> Tensor:
    """The scheduler's noise level at u: its 1000 timesteps run downward, so sigma = 1 - floor(1000 u) / 1000."""
    return 1 - (u * TIMESTEPS).floor().clamp(0, TIMESTEPS - 1) / TIMESTEPS


def shift_sigmas(sigma: Tensor, shift: float) -> Tensor:
    """sigma' = s sigma / (1 + (s - 1) sigma): s above 1 trains more on high noise. 1 leaves it as it is."""
    return sigma if shift == 1 else shift * sigma / (1 + (shift - 1) * sigma)


def weights_of(settings: LossSection, sigma: Tensor) -> Tensor | None:
    """A weight a sample, shape of `sigma`; None when all are 1.

    sigma_sqrt is sigma^-2, bounded; cosmap is 2 / (pi (1 - 2 sigma + 2 sigma^2)).
    """
    if settings.weighting == "sigma_sqrt":
        return (sigma**-2).clamp(max=SIGMA_SQRT_BOUND)
    if settings.weighting == "cosmap":
        return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))
    return None


def error(settings: LossSection, prediction: Tensor, target: Tensor) -> Tensor:
    """Elementwise error in float32, shape of `target`: mse d^2, l1 |d|, huber, logcosh log(cosh(d))."""
    prediction, target = prediction.float(), target.float()
    if settings.base == "mse":
        return F.mse_loss(prediction, target, reduction="none")
    if settings.base == "l1":
        return F.l1_loss(prediction, target, reduction="none")
    if settings.base == "huber":
        return F.huber_loss(prediction, target, reduction="none", delta=settings.huber_delta)
    difference = prediction - target
    # log(cosh(d)) = |d| + log((1 + exp(-2|d|)) / 2), which doesn't overflow for a large d.
    return difference.abs() + F.softplus(-2 * difference.abs()) - math.log(2)


def flow_loss(settings: LossSection, prediction: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
    """mean over samples of w(sigma) times the mean error of the sample: a scalar.

    Args:
        prediction: (B, tokens, channels).
        target: noise minus clean latents, same shape.
        sigma: (B,).
    """
    weights = weights_of(settings, sigma)
    if weights is None and settings.base == "mse":
        return F.mse_loss(prediction.float(), target)
    errors = error(settings, prediction, target)
    return errors.mean() if weights is None else (errors.mean((1, 2)) * weights).mean()
