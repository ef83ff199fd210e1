"""Figures people expect beside a search's table. They describe the search, they prove nothing.

The data that chose the best config can't also test it: with eight equal configs, an interval of best against baseline
excludes 0 several times too often, and best against runner-up almost never does (`tests/benchmarks/bench_verdict.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import as_floats, check_alpha, t_half_width

DESCRIPTIVE = "Descriptive only: the data that chose the winner are also the data shown here."


@dataclass(frozen=True)
class Mean(Record):
    """A mean with Student's interval. For one value `sd`, `low` and `high` are None, and `reason` says why."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    level: float
    reason: str


@dataclass(frozen=True)
class Welch(Record):
    """Welch's comparison of two means, a minus b. What can't be computed is None, and `reason` says why."""

    n_a: int
    n_b: int
    difference: float
    t: float | None
    df: float | None
    p_two_sided: float | None
    low: float | None
    high: float | None
    level: float
    reason: str
    label: str = DESCRIPTIVE


def mean_and_interval(values: ArrayLike, *, alpha: float = 0.05) -> Mean:
    """Mean of values, shape (n,), n ≥ 1, with Student's 1 - alpha interval.

    Raises:
        ValueError: wrong shape, no values, values that are not finite, or alpha out of range.
    """
    x = as_floats(values, ndim=1)
    check_alpha(alpha)
    mean = float(x.mean())
    if x.size < 2:
        return Mean(1, mean, None, None, None, 1 - alpha, "one value has no spread")
    half = t_half_width(x, 1 - alpha)
    return Mean(x.size, mean, float(x.std(ddof=1)), mean - half, mean + half, 1 - alpha, "")


def welch(a: ArrayLike, b: ArrayLike, *, alpha: float = 0.05) -> Welch:
    """Welch's t test and interval for the difference of two means, unpaired, spreads not assumed equal.

    Degrees of freedom by Welch and Satterthwaite, not rounded: (u + v)² / (u²/(n_a - 1) + v²/(n_b - 1)) with u and v
    the squared standard errors. Two runs of each give one to two degrees, where rounding up would narrow the interval
    badly.

    Args:
        a, b: scores, one per training run, shapes (n_a,) and (n_b,).

    Raises:
        ValueError: wrong shape, no values, values that are not finite, or alpha out of range.
    """
    x, y = as_floats(a, ndim=1), as_floats(b, ndim=1)
    check_alpha(alpha)
    difference = float(x.mean() - y.mean())
    reason = ""
    if min(x.size, y.size) < 2:
        reason = f"needs at least two training runs of each, got {x.size} and {y.size}"
    elif np.ptp(x) == 0 and np.ptp(y) == 0:
        reason = "neither side varies, so there is no spread to compare the difference with"
    if reason:
        return Welch(x.size, y.size, difference, None, None, None, None, None, 1 - alpha, reason)
    from scipy.special import stdtr, stdtrit

    u, v = (float(np.var(z, ddof=1)) / z.size for z in (x, y))
    error = math.sqrt(u + v)
    t, df = difference / error, (u + v) ** 2 / (u**2 / (x.size - 1) + v**2 / (y.size - 1))
    half = float(stdtrit(df, 1 - alpha / 2)) * error
    p = 2 * float(stdtr(df, -abs(t)))
    return Welch(x.size, y.size, difference, t, df, p, difference - half, difference + half, 1 - alpha, "")
