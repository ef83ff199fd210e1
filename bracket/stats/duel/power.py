"""How large a difference a paired duel can find, and how many pairs a difference needs.

A sign-flip test rejects once a difference lifts the lower end of its interval above 0 (see `signflip`). For normal
differences of spread 1 and mean 0, minus that end is the mean that would just have been found, so its quantile at the
wanted power is the detectable mean. Up to `SIMULATED_LIMIT` pairs, where the steps of an exact test matter, that
quantile is simulated from a fixed seed; above it the sign-flip test has the power of Student's, taken from the
non-central t distribution.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from bracket.stats.duel.signflip import all_subsets, check_alpha, smallest_n, subset_means

SIMULATED_LIMIT = 8
_REPLICATES = 20_000
_MOST = 100_000


def detectable_difference(
    sd: float, n: int, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = False
) -> float | None:
    """The smallest true mean difference found with this power by n pairs, in the unit of sd.

    Args:
        sd: standard deviation of the paired differences (n - 1 in its denominator), ≥ 0.
        n: pairs.

    Returns:
        None when so few pairs can't reach alpha whatever the difference.

    Raises:
        ValueError: a negative or non-finite sd, or alpha or power out of range.
    """
    _check(sd, alpha, power)
    factor = _factor(n, alpha, power, two_sided)
    return None if factor is None else sd * factor


def pairs_needed(effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Paired training seeds needed to find `effect` by the one-sided sign-flip test; at least log2(1/alpha), so 5.

    Args:
        effect: true mean difference, > 0, in the unit of sd.
        sd: standard deviation of the paired differences.

    Raises:
        ValueError: an effect ≤ 0, a negative sd, or one so large that 100,000 pairs would not do.
    """
    return _needed(effect, sd, alpha, power, two_sided=False)


def prompts_needed(effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Fresh prompts needed to find `effect` between two checkpoints by the two-sided test; arguments as `pairs_needed`.

    sd is over prompts, sample seeds averaged inside.
    """
    return _needed(effect, sd, alpha, power, two_sided=True)


def _needed(effect: float, sd: float, alpha: float, power: float, *, two_sided: bool) -> int:
    _check(sd, alpha, power)
    if not effect > 0:
        raise ValueError(f"the effect must be above 0, got {effect}")

    def finds(n: int) -> bool:
        factor = _factor(n, alpha, power, two_sided)
        return factor is not None and sd * factor <= effect

    low = high = smallest_n(alpha, two_sided=two_sided)
    while not finds(high):
        low, high = high + 1, high * 2
        if high > _MOST:
            raise ValueError(f"an effect of {effect} at a spread of {sd} would need more than {_MOST} pairs")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle + 1, high)
    return low


@lru_cache(maxsize=1024)
def _factor(n: int, alpha: float, power: float, two_sided: bool) -> float | None:
    """Detectable mean in standard deviations."""
    if n < smallest_n(alpha, two_sided=two_sided):
        return None
    tail = alpha / 2 if two_sided else alpha
    if n <= SIMULATED_LIMIT:
        noise = np.random.default_rng(0).standard_normal((_REPLICATES, n))
        rank = math.floor(tail * 2**n + 1e-9)
        lower_ends = np.partition(subset_means(noise, all_subsets(n)), rank - 1, axis=1)[:, rank - 1]
        return float(np.quantile(-lower_ends, power))
    from scipy.special import nctdtrinc, stdtrit

    return float(nctdtrinc(n - 1, 1 - power, stdtrit(n - 1, 1 - tail)) / math.sqrt(n))


def _check(sd: float, alpha: float, power: float) -> None:
    check_alpha(alpha)
    if not (math.isfinite(sd) and sd >= 0):
        raise ValueError(f"the spread must be 0 or more, got {sd}")
    if not alpha < power < 1:
        raise ValueError(f"power must lie between alpha and 1, got {power}")
