"""Do two measures of the same trials agree on which is better? Kendall's tau-b and what a choice by one costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.record import Record
from bracket.stats.signflip import as_floats, check_alpha

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
