"""The sign-flip test of a mean difference, and the interval that agrees with it.

If neither arm is better, each paired difference was as likely to have the other sign. Flipping the subset A turns the
sum S of the differences into S - 2·sum(A), so a flip reaches the observed sum exactly when mean(A) ≤ 0. The means of
all non-empty subsets therefore give both the p-value (how many are ≤ 0) and, by testing every shift in place of 0, the
interval (their order statistics): Hartigan, "Using subsample values as typical values", JASA 64 (1969). Test and
interval can't contradict each other, and neither assumes a normal distribution, only one symmetric about its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bracket.stats.duel.record import Record

Floats = NDArray[np.float64]

EXACT_LIMIT = 16
"""Up to so many differences all 2^n flips are counted; above, flips are drawn."""
DRAWS = 9_999
"""Flips drawn above the limit. With the observed order that makes 10,000, so 2.5 % is a whole number of them."""


@dataclass(frozen=True)
class SignFlip(Record):
    """p-values of the sign-flip test, and an interval for the mean by inverting it.

    Attributes:
        n: differences.
        p_greater: one-sided, against "the mean is above 0".
        p_less: one-sided, against "the mean is below 0".
        p_two_sided: twice the smaller, at most 1.
        exact: all 2^n flips were counted; otherwise `flips` of them, drawn from `seed`.
        flips: flips counted, the observed order included.
        low, high: interval for the mean; None with fewer than two differences.
        level: the interval's coverage. For few differences the nearest that 2^n flips allow, e.g. 15/16 for five.
        method: "sign_flip"; "t" when 2^n flips are too few (this one assumes normal differences); "none".
    """

    n: int
    p_greater: float
    p_less: float
    p_two_sided: float
    exact: bool
    flips: int
    low: float | None
    high: float | None
    level: float
    method: str


def sign_flip(differences: ArrayLike, *, alpha: float = 0.05, seed: int = 0, draws: int = DRAWS) -> SignFlip:
    """Tests whether the mean of paired differences is 0, exactly where that is possible.

    Drawn flips count the observed order as one of them (Phipson and Smyth 2010), so p is never 0.

    Args:
        differences: shape (n,), n ≥ 1, finite; independent units, e.g. prompts or training seeds.
        alpha: the interval covers at least about 1 - alpha.
        seed: of the drawn flips; unused up to `EXACT_LIMIT` differences.
        draws: flips drawn above the limit.

    Raises:
        ValueError: wrong shape, no differences, values that are not finite, or alpha outside (0, 0.5).
    """
    d = as_floats(differences, ndim=1)
    check_alpha(alpha)
    exact, means = d.size <= EXACT_LIMIT, _means(d, seed, draws)
    flips = means.size + 1
    p_greater = (1 + int(np.count_nonzero(means <= 0))) / flips
    p_less = (1 + int(np.count_nonzero(means >= 0))) / flips
    low, high, level, method = _interval(d, means, alpha)
    p_two_sided = min(1.0, 2 * min(p_greater, p_less))
    return SignFlip(d.size, p_greater, p_less, p_two_sided, exact, flips, low, high, level, method)


def ends(
    differences: ArrayLike, *, low: float, high: float, seed: int = 0, draws: int = DRAWS
) -> tuple[float | None, float | None]:
    """Below and above which values the one-sided tests at these levels exclude the mean; arguments as `sign_flip`.

    The lower end is above 0 exactly where p_greater ≤ `low`, the upper below 0 exactly where p_less ≤ `high`. None for
    an end that so few differences can't give.
    """
    means = _means(as_floats(differences, ndim=1), seed, draws)
    below, above = (math.floor(level * (means.size + 1) + 1e-9) for level in (low, high))
    means.sort()
    return float(means[below - 1]) if below else None, float(means[-above]) if above else None


def ratio_ends(
    ours: ArrayLike, theirs: ArrayLike, *, alpha: float, seed: int = 0, draws: int = DRAWS
) -> tuple[float | None, float | None, float]:
    """Between which values the ratio of two means lies, and the interval's level; arguments as `sign_flip`.

    A ratio r is excluded where the two-sided test of ours - r * theirs is. A subset's mean of these is above 0 exactly
    where the ratio of its own means is above r, so the ends are order statistics of the subsets' ratios. None for both
    where units are too few for that level, and where the other mean of a subset is 0 for the upper.

    Args:
        ours, theirs: shape (n,), n ≥ 1, 0 or more; entry by entry the same unit.
    """
    a, b = as_floats(ours, ndim=1), as_floats(theirs, ndim=1)
    members = _subsets(a.size, seed, draws)
    above, below = members @ a, members @ b
    ratios = np.sort(np.divide(above, below, out=np.full(above.shape, np.inf), where=below > 0))
    flips = ratios.size + 1
    rank = math.floor(alpha / 2 * flips + 1e-9)
    if not rank:
        return None, None, 1 - alpha
    low, high = (float(end) if np.isfinite(end) else None for end in (ratios[rank - 1], ratios[-rank]))
    return low, high, 1 - 2 * rank / flips


def rank_for(flips: int, alpha: float) -> int:
    """Which subset mean, counted from the outside, ends the two-sided interval (0: even the outermost is too little).

    The outermost is taken as soon as a one-sided test could reject, at the coverage it has then.
    """
    rank = math.floor(alpha / 2 * flips + 1e-9)
    return max(rank, 1) if alpha * flips >= 1 else 0


def smallest_n(alpha: float, *, two_sided: bool) -> int:
    """Differences needed before the exact test can reach alpha at all: one-sided 5 for 5 %, two-sided 6."""
    return math.ceil(math.log2((2 if two_sided else 1) / alpha) - 1e-9)


@lru_cache(maxsize=32)
def all_subsets(n: int) -> Floats:
    """Membership of every non-empty subset, shape (2^n - 1, n), as 0.0 and 1.0."""
    members: Floats = ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    members.setflags(write=False)
    return members


def subset_means(d: Floats, members: Floats) -> Floats:
    """Means of the subsets: differences (..., n) and membership (subsets, n) give (..., subsets)."""
    means: Floats = d @ members.T / members.sum(axis=1)
    return means


def t_half_width(d: Floats, level: float) -> float:
    """Half the width of Student's interval for the mean of d, shape (n,), n ≥ 2."""
    from scipy.special import stdtrit

    return float(stdtrit(d.size - 1, (1 + level) / 2) * d.std(ddof=1) / math.sqrt(d.size))


def as_floats(values: ArrayLike, *, ndim: int) -> Floats:
    """A finite, non-empty float array of so many dimensions.

    Raises:
        ValueError: it is not.
    """
    array: Floats = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"expected a non-empty array of {ndim} dimension(s), got shape {array.shape}")
    if bad := int(np.count_nonzero(~np.isfinite(array))):
        raise ValueError(f"{bad} of {array.size} values are not finite; leave those pairs out first")
    return array


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless 0 < alpha < 0.5."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}")


def _means(d: Floats, seed: int, draws: int) -> Floats:
    """Of the non-empty subsets: all of them up to `EXACT_LIMIT` differences, else of drawn ones."""
    means = subset_means(d, _subsets(d.size, seed, draws))
    # Sums that cancel in exact arithmetic must count as ties, whatever the rounding.
    means[np.abs(means) <= 1e-12 * np.abs(d).max()] = 0.0
    return means


def _subsets(n: int, seed: int, draws: int) -> Floats:
    return all_subsets(n) if n <= EXACT_LIMIT else _drawn_subsets(n, draws, seed)


@lru_cache(maxsize=8)
def _drawn_subsets(n: int, draws: int, seed: int) -> Floats:
    packed = np.frombuffer(np.random.default_rng(seed).bytes(draws * -(-n // 8)), dtype=np.uint8).reshape(draws, -1)
    members = np.unpackbits(packed, axis=1, count=n).astype(np.float64)
    # The empty subset is the observed order, which is counted once already.
    kept = members[members.any(axis=1)]
    kept.setflags(write=False)
    return kept


def _interval(d: Floats, means: Floats, alpha: float) -> tuple[float | None, float | None, float, str]:
    flips = means.size + 1
    if rank := rank_for(flips, alpha):
        ends = np.partition(means, [rank - 1, means.size - rank])
        return float(ends[rank - 1]), float(ends[-rank]), 1 - 2 * rank / flips, "sign_flip"
    if d.size < 2:
        return None, None, 1 - alpha, "none"
    half = t_half_width(d, 1 - alpha)
    return float(d.mean() - half), float(d.mean() + half), 1 - alpha, "t"
