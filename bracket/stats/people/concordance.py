"""Two measures of the same trials: do they agree on which is better (Kendall's tau-b), what does a choice by one cost,
how are they put on one scale, and what does each carry of a weighted sum?"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import as_floats, check_alpha

NEEDED = 6
"""Trials that it takes: with fewer the interval holds nearly everything."""


@dataclass(frozen=True)
class Concordance(Record):
    """How far the validation loss and the judge rank trials alike.

    Attributes:
        tau: Kendall's tau-b; 1 ranks alike, 0 says nothing, -1 ranks the other way round.
        low, high: its interval; level: the interval's coverage.
        trials: how many were ranked.
        by_loss, by_judge: which trial has the lowest loss, and which the lowest judged part (places in the input; the
            first of equals).
        place: of the loss's choice in the judge's ranking, 1 the best; equals share the best place.
    """

    tau: float
    low: float
    high: float
    level: float
    trials: int
    by_loss: int
    by_judge: int
    place: int

    @property
    def agrees(self) -> bool:
        """The interval lies above 0."""
        return self.low > 0

    @property
    def opposes(self) -> bool:
        """The interval lies below 0."""
        return self.high < 0


def concordance(losses: ArrayLike, parts: ArrayLike, *, alpha: float = 0.05) -> Concordance | None:
    """Kendall's tau-b between two measures, both lower is better, with Fieller's interval.

    atanh(tau) is about normal with variance 0.437/(n - 4) (Fieller, Hartley and Pearson, Biometrika 44, 1957). A tau of
    ±1 is taken for half a pair less, so that a perfect order of few trials isn't said to be certain.

    Args:
        losses: shape (trials,), validation losses.
        parts: shape (trials,), one minus the judged score.
        alpha: the interval covers about 1 - alpha.

    Returns:
        None for fewer than `NEEDED` trials, or when one of the two is the same for all.

    Raises:
        ValueError: shapes that differ, or values that are not finite.
    """
    a, b = as_floats(losses, ndim=1), as_floats(parts, ndim=1)
    check_alpha(alpha)
    if a.size != b.size:
        raise ValueError(f"{a.size} losses but {b.size} judged parts")
    if a.size < NEEDED or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    from scipy.special import ndtri
    from scipy.stats import kendalltau

    tau = float(kendalltau(a, b).statistic)
    most = 1 - 2 / (a.size * (a.size - 1))
    z, half = math.atanh(min(max(tau, -most), most)), float(ndtri(1 - alpha / 2)) * math.sqrt(0.437 / (a.size - 4))
    by_loss, by_judge = int(np.argmin(a)), int(np.argmin(b))
    place = 1 + int(np.count_nonzero(b < b[by_loss]))
    low, high = max(-1.0, math.tanh(z - half)), min(1.0, math.tanh(z + half))
    return Concordance(tau, min(low, tau), max(high, tau), 1 - alpha, a.size, by_loss, by_judge, place)


def among_good(losses: ArrayLike, parts: ArrayLike, *, alpha: float = 0.1) -> Concordance | None:
    """`concordance` of the better half by loss: that both know the melted from the others says nothing of the good.

    Chosen by one of the two measures alone, as among the best by their sum both would seem to oppose each other. None
    for fewer than twice `NEEDED` trials.
    """
    a, b = as_floats(losses, ndim=1), as_floats(parts, ndim=1)
    good = np.argsort(a, kind="stable")[: a.size // 2]
    return concordance(a[good], b[good], alpha=alpha) if good.size >= NEEDED else None


def matched(values: Sequence[float], scale: Sequence[float]) -> list[float]:
    """`values` on another measure's scale by quantile normalisation (Bolstad et al., Bioinformatics 19, 2003): the k-th
    lowest becomes the k-th lowest of `scale`, equals become the middle of their places. Both have the same length."""
    order, parts = sorted(values), sorted(scale)
    twice = [bisect_left(order, v) + bisect_right(order, v) - 1 for v in values]  # the middle place, from 0, times 2
    return [(parts[k // 2] + parts[(k + 1) // 2]) / 2 for k in twice]


@dataclass(frozen=True)
class InEffect(Record):
    """What the loss carries of a score that is the weighted sum of a loss part and a samples' part; the samples carry
    the rest.

    Attributes:
        asked: its weight.
        among_all, among_best: its weight times its standard deviation, as a share of the two parts' sum of these: among
            all trials, and among the best third.
        trials, best: how many these are.
    """

    asked: float
    among_all: float
    among_best: float
    trials: int
    best: int


def in_effect(totals: ArrayLike, losses: ArrayLike, samples: ArrayLike) -> InEffect | None:
    """What each part carries of the score, lower is better; all of shape (trials,).

    None for fewer than `NEEDED` trials, where the loss does not count, or when neither part tells the best apart.
    """
    total, loss, sample = (as_floats(part, ndim=1) for part in (totals, losses, samples))
    apart = loss - sample
    if total.size < NEEDED or not apart.any():
        return None
    asked = float((total - sample) @ apart / (apart @ apart))
    best = np.argsort(total, kind="stable")[: max(3, total.size // 3)]
    parts = [(asked * loss[at].std(), (1 - asked) * sample[at].std()) for at in (slice(None), best)]
    if asked <= 0 or not all(a + b > 0 for a, b in parts):
        return None
    everywhere, among_best = (float(a / (a + b)) for a, b in parts)
    return InEffect(asked, everywhere, among_best, total.size, best.size)
