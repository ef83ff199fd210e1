"""A knob against the score, smoothed with its uncertainty, and the value above which trials fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bracket.stats.importance import average_ranks
from bracket.stats.record import Record
from bracket.stats.signflip import Floats, as_floats, check_alpha

_LENGTHS = (0.1, 0.2, 0.35, 0.6, 1.0)
_NOISES = (0.01, 0.05, 0.2, 0.5, 1.0, 3.0)


@dataclass(frozen=True)
class Curve(Record):
    """A smoothed curve for plotting; five sequences of equal length and where it is best.

    Attributes:
        x: learning rates, evenly spaced in their logarithm.
        mean, low, high: the expected score and the interval that holds it.
        level: the interval's nominal coverage of the mean curve (not of single trials).
        best_x: where the mean is lowest (scores: lower is better).
        best_low, best_high: the range of x whose interval reaches below the best mean's upper end, so that the best
            value may lie anywhere in it.
    """

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    best_x: float
    best_low: float
    best_high: float


@dataclass(frozen=True)
class Knee(Record):
    """Above `value`, half of the trials or more fail.

    Attributes:
        value: geometric mean of `safe` and `failing`.
        safe: the largest tried value at which fewer than half fail.
        failing: the smallest tried value at which half or more fail.
        trials, failures: how many there were.
        p: one-sided, that failures would sit this high by chance.
    """

    value: float
    safe: float
    failing: float
    trials: int
    failures: int
    p: float


def lr_curve(lrs: ArrayLike, scores: ArrayLike, *, alpha: float = 0.05, points: int = 81) -> Curve | None:
    """Smooths scores over the logarithm of the learning rate by a Gaussian process.

    Kernel exp(-r²/2·length²) plus a constant plus noise, on the tried range scaled to 0..1 and standardised scores.
    Length and noise ratio are averaged over a small grid by their marginal likelihood, the signal's variance maximised
    in closed form for each (Rasmussen and Williams 2006, chapters 2 and 5). Failed trials don't belong in it:
    they have no score.

    Args:
        lrs: shape (trials,), > 0; repeats allowed.
        scores: shape (trials,), lower is better.
        alpha: the band covers 1 - alpha of the curve's uncertainty.
        points: of the curve.

    Returns:
        None for fewer than four trials or fewer than three different learning rates.

    Raises:
        ValueError: shapes that differ, values that are not finite, a learning rate ≤ 0.
    """
    rates, y = _positive(lrs), as_floats(scores, ndim=1)
    check_alpha(alpha)
    if rates.size != y.size:
        raise ValueError(f"{rates.size} learning rates but {y.size} scores")
    if y.size < 4 or np.unique(rates).size < 3:
        return None
    from scipy.special import ndtri

    low, high = float(np.log(rates.min())), float(np.log(rates.max()))
    grid = np.linspace(0.0, 1.0, points)
    scale = float(y.std()) or 1.0
    mean, sd = _process((np.log(rates) - low) / (high - low), (y - y.mean()) / scale, grid)
    mean, half = y.mean() + scale * mean, float(ndtri(1 - alpha / 2)) * scale * sd
    x = np.exp(low + grid * (high - low))
    best = int(np.argmin(mean))
    near = np.flatnonzero(mean - half <= mean[best] + half[best])
    return Curve(
        _tuple(x),
        _tuple(mean),
        _tuple(mean - half),
        _tuple(mean + half),
        1 - alpha,
        float(x[best]),
        float(x[near[0]]),
        float(x[near[-1]]),
    )


def failure_knee(
    values: ArrayLike, failed: ArrayLike, *, alpha: float = 0.05, permutations: int = 1_999, seed: int = 0
) -> Knee | None:
    """Finds the value of a knob above which half of the trials fail, e.g. where high learning rates melt.

    The chance of failing is fitted as a non-decreasing step function (isotonic regression by pooling adjacent
    violators, Ayer et al. 1955) and the knee is where it reaches one half. A permutation of the rank sum says
    whether failures sit high at all.

    Args:
        values: shape (trials,), > 0.
        failed: shape (trials,), true for a trial that failed.
        alpha: no knee is named unless p is at most this.

    Returns:
        None when failures don't sit high, none or all failed, or the fit never crosses one half.

    Raises:
        ValueError: shapes that differ, or a value ≤ 0.
    """
    x, bad = _positive(values), np.asarray(failed, dtype=bool)
    check_alpha(alpha)
    if x.shape != bad.shape:
        raise ValueError(f"{x.size} values but failures of shape {bad.shape}")
    ranks = average_ranks(x)
    shuffled = np.random.default_rng(seed).permuted(np.tile(bad, (permutations, 1)), axis=1)
    # Half ranks are exact in binary, so equal rank sums compare equal.
    p = (1 + int(np.count_nonzero(shuffled @ ranks >= bad @ ranks))) / (1 + permutations)
    levels, counts = np.unique(x, return_counts=True)
    rates = np.array([bad[x == level].mean() for level in levels])
    fitted = _isotonic(rates, counts.astype(np.float64))
    above = np.flatnonzero(fitted >= 0.5)
    if p > alpha or above.size == 0 or above[0] == 0:
        return None
    safe, failing = float(levels[above[0] - 1]), float(levels[above[0]])
    return Knee(float(np.sqrt(safe * failing)), safe, failing, x.size, int(bad.sum()), p)


def _process(x: Floats, y: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and standard deviation of the noiseless curve on the grid, hyperparameters averaged."""
    fits = [_fit(x, y, grid, length, noise) for length in _LENGTHS for noise in _NOISES]
    evidence = np.array([fit[0] for fit in fits])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    means, variances = np.stack([fit[1] for fit in fits]), np.stack([fit[2] for fit in fits])
    mean = weights @ means
    return mean, np.sqrt(weights @ (variances + (means - mean) ** 2))


def _fit(x: Floats, y: Floats, grid: Floats, length: float, noise: float) -> tuple[float, Floats, Floats]:
    """Log marginal likelihood (up to a constant), posterior mean and variance for one length and noise ratio."""

    def kernel(a: Floats, b: Floats) -> Floats:
        # The constant keeps the level free of the standardised mean, of which few points know little.
        near: Floats = np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2) + 1.0
        return near

    chol = np.linalg.cholesky(kernel(x, x) + noise * np.eye(x.size))
    white, cross = np.linalg.solve(chol, y), np.linalg.solve(chol, kernel(x, grid))
    signal = max(float(white @ white) / x.size, 1e-12)
    likelihood = -0.5 * x.size * np.log(signal) - float(np.log(np.diag(chol)).sum())
    variance = signal * np.maximum(2.0 - (cross**2).sum(axis=0), 0.0)
    return likelihood, white @ cross, variance


def _isotonic(rates: Floats, weights: Floats) -> Floats:
    """Non-decreasing fit by pooling adjacent violators; shapes (n,)."""
    pools: list[tuple[float, float, int]] = []
    for rate, weight in zip(rates, weights, strict=True):
        pool = (float(rate), float(weight), 1)
        while pools and pools[-1][0] > pool[0]:
            r, w, n = pools.pop()
            pool = ((r * w + pool[0] * pool[1]) / (w + pool[1]), w + pool[1], n + pool[2])
        pools.append(pool)
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def _positive(values: ArrayLike) -> Floats:
    array = as_floats(values, ndim=1)
    if np.any(array <= 0):
        raise ValueError(f"values must be above 0, got {array.min()}")
    return array


def _tuple(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
