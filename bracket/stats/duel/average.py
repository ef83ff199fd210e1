"""What may be said of an average: a confidence sequence for the mean of bounded differences, by betting.

The sign-flip test's null is that the arms are exchangeable, so it can reject where both have the same mean and one,
say, melts now and then and is better else. A claim about the average needs a method for the average. Somebody who bets
a share λ of their fortune that differences, which lie in -1..1, are above m multiplies it by 1 + λ (d - m) / (1 + m),
which is at most 1 on average if the mean is m or less, whatever the shape. The fortune, averaged over a grid of λ, ever
reaches 1 / alpha with a probability of at most alpha (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting"), so it holds whatever ended the duel. It can't know that nothing melts, so it takes many units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.signflip import Floats, as_floats

BETS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
"""λ, each with an equal part of the fortune."""
_HALVINGS = 30


def average_ends(differences: ArrayLike, *, low: float, high: float) -> tuple[float, float]:
    """Where the mean difference lies: below the first it is with a probability of at most `low`, above the second with
    one of at most `high`, after any number of units.

    Args:
        differences: shape (units,), each in -1..1, in the order in which they were looked at.

    Raises:
        ValueError: wrong shape, or values that are not finite or out of range.
    """
    d = as_floats(differences, ndim=1)
    if np.abs(d).max() > 1 + 1e-9:
        raise ValueError("differences of scores lie between -1 and 1")
    return _lower(d, 1 / low), -_lower(-d, 1 / high)


def _lower(d: Floats, needed: float) -> float:
    """The largest mean that betting above it has made `needed` of; -1 where there is none. The less the mean, the more
    betting makes, so the interval is halved."""
    excluded, held = -1.0, float(d.max())
    for _ in range(_HALVINGS):
        middle = (excluded + held) / 2
        if _fortune(d, middle) >= needed:
            excluded = middle
        else:
            held = middle
    return excluded


def _fortune(d: Floats, mean: float) -> float:
    """The most that betting above this mean has ever made."""
    with np.errstate(over="ignore", invalid="ignore"):  # 0/0 at a mean of -1: excluded by nothing
        gains = np.log1p(np.multiply.outer(BETS, (d - mean) / (1 + mean)))
        return float(np.exp(gains.cumsum(axis=-1)).mean(axis=0).max())
