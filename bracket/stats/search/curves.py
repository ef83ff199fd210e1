"""A knob against the score, smoothed with its uncertainty, and the value above which trials fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import Floats, as_floats, check_alpha
from bracket.stats.search.importance import average_ranks
from bracket.stats.search.process import fit

_DEVIANCE = 2.8
"""A knee whose best fit has a deviance this much higher is ruled out. The likelihood ratio of a monotone function has
a limit of its own (Banerjee and Wellner 2001, 95 % at 2.28); at 10 to 40 trials that one covers 90 to 95 %, this one
95 to 99 %, in simulations of gentle and of sharp knees."""


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
        safe: the largest tried value at which fewer than half fail; of `below` trials up to it, `held` did not fail.
        failing: the smallest tried value at which half or more fail; of `above` trials from it on, `melted` failed.
        low, high: interval for where the chance of failing crosses one half; None where trials leave it open.
        level: its coverage.
        trials, failures: how many there were.
        p: one-sided, that failures would sit this high by chance.
        clear: p is at most alpha. Otherwise a report must say that the failures may be chance.
    """

    value: float
    safe: float
    failing: float
    low: float | None
    high: float | None
    level: float
    held: int
    below: int
    melted: int
    above: int
    trials: int
    failures: int
    p: float
    clear: bool

    @property
    def separated(self) -> bool:
        """Every trial up to `safe` held and every one from `failing` on failed: the trials know no more than that."""
        return self.held == self.below and self.melted == self.above


def lr_curve(lrs: ArrayLike, scores: ArrayLike, *, alpha: float = 0.05, points: int = 81) -> Curve | None:
    """Smooths scores over the logarithm of the learning rate by a Gaussian process.

    See `bracket.stats.search.process`. Failed trials don't belong in it: they have no score.

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
    mean, sd = fit(((np.log(rates) - low) / (high - low))[:, None], y).predict(grid[:, None])
    half = float(ndtri(1 - alpha / 2)) * sd
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
    whether failures sit high at all. The interval holds every place for the knee that the likelihood doesn't rule out:
    the fit with its knee there has chances up to one half below and from one half on above.

    Args:
        values: shape (trials,), > 0.
        failed: shape (trials,), true for a trial that failed.
        alpha: the knee is clear if p is at most this.

    Returns:
        None when the fit never crosses one half between two tried values, as when none or all failed.

    Raises:
        ValueError: shapes that differ, or a value ≤ 0.
    """
    x, bad = _positive(values), np.asarray(failed, dtype=bool)
    check_alpha(alpha)
    if x.shape != bad.shape:
        raise ValueError(f"{x.size} values but failures of shape {bad.shape}")
    levels, counts = np.unique(x, return_counts=True)
    failures = np.array([bad[x == level].sum() for level in levels], dtype=np.float64)
    fitted = _isotonic(failures / counts, counts.astype(np.float64))
    above = np.flatnonzero(fitted >= 0.5)
    if above.size == 0 or above[0] == 0:
        return None
    safe, failing = float(levels[above[0] - 1]), float(levels[above[0]])
    low, high = _knee_interval(levels, failures, counts.astype(np.float64), fitted)
    beneath = x <= safe
    p = _rank_sum_p(x, bad, permutations, seed)
    return Knee(
        value=float(np.sqrt(safe * failing)),
        safe=safe,
        failing=failing,
        low=low,
        high=high,
        level=0.95,
        held=int((~bad[beneath]).sum()),
        below=int(beneath.sum()),
        melted=int(bad[~beneath].sum()),
        above=int((~beneath).sum()),
        trials=x.size,
        failures=int(bad.sum()),
        p=p,
        clear=p <= alpha,
    )


def _rank_sum_p(x: Floats, bad: NDArray[np.bool_], permutations: int, seed: int) -> float:
    ranks, rng = average_ranks(x), np.random.default_rng(seed)
    # Half ranks are exact in binary, so equal rank sums compare equal.
    as_high = sum(int(rng.permutation(bad) @ ranks >= bad @ ranks) for _ in range(permutations))
    return (1 + as_high) / (1 + permutations)


def _knee_interval(levels: Floats, bad: Floats, counts: Floats, fitted: Floats) -> tuple[float | None, float | None]:
    """The outermost levels between which the knee may lie; None where it may lie beyond all of them."""
    from scipy.special import xlogy

    def likelihood(chances: Floats) -> float:
        return float((xlogy(bad, chances) + xlogy(counts - bad, 1 - chances)).sum())

    def bent(knee: int) -> Floats:
        return np.concatenate([np.minimum(fitted[:knee], 0.5), np.maximum(fitted[knee:], 0.5)])

    best = likelihood(fitted)
    allowed = [k for k in range(levels.size + 1) if 2 * (best - likelihood(bent(k))) <= _DEVIANCE]
    low = float(levels[allowed[0] - 1]) if allowed[0] else None
    high = float(levels[allowed[-1]]) if allowed[-1] < levels.size else None
    return low, high


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
