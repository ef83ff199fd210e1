"""A model judge's win rate, corrected by a person's votes on some of the same pairs.

Prediction-powered inference: the judge looks at all pairs, the person at a random few, and what the judge gets wrong
there is taken off everywhere (Angelopoulos et al. 2023, "Prediction-powered inference", Science 382; power tuning from
Angelopoulos, Duchi and Zrnic 2023, "PPI++"). The better the judge, the more a vote is worth; a useless one changes
nothing, and a biased one biases nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import Floats, as_floats, check_alpha

FEWEST = 10
"""With fewer votes how far to trust the judge can't be told, so the votes stand alone."""
_CORNER = 0.25
"""Votes added to each corner when variances are taken."""


@dataclass(frozen=True, kw_only=True)
class Corrected(Record):
    """What a person would say of pairs like these: the share that the winner takes, ties half.

    Attributes:
        pairs, votes: pairs judged, and those of them that were voted on.
        estimate, low, high, level: the corrected share and its interval.
        judge_alone: the judge's own share over all pairs, uncorrected.
        votes_alone: the person's share over the voted pairs.
        bias: the judge's share minus the person's on the voted pairs.
        weight: how much of the judge is used, λ of PPI++, 0..1; 0 leaves the votes alone.
        effective_votes: untied votes that would tell as much without a judge.
    """

    pairs: int
    votes: int
    estimate: float
    low: float
    high: float
    level: float
    judge_alone: float
    votes_alone: float
    bias: float
    weight: float
    effective_votes: float


def corrected_rate(judged: ArrayLike, votes: ArrayLike, voted: ArrayLike, *, alpha: float = 0.05) -> Corrected:
    """The share of pairs that a person would give to the winner, from all judgements and some votes.

    With f the judgements and Y the votes, on n voted and m = pairs - n other pairs, the estimate is
    mean(Y - λf over voted) + λ·mean(f over others). Its variance is V(λ) = var(Y - λf)/n + λ²·var(f)/m, and λ is where
    that is least (PPI++ on power tuning), clipped to 0..1; since 0 is among these, V never exceeds the var(Y)/n of the
    votes alone. The variances are taken with a quarter of a vote added to each corner, (f, Y) of 0 and 1, else a judge
    that was right on all of 20 votes would pass for one that never errs; and V(λ) is scaled by (n - 1)/(n - 2), at most
    up to V(0), for having fitted the slope λ to the same votes, as in regression. The interval is Wilson's (1927) for
    as many votes as are worth the same, n·r(1 - r)/var(Y)·V(0)/V(λ) with r the mean of Y: shares of few votes are far
    from normal. In simulations of 20 to 60 votes (`tests/benchmarks/bench_judges.py`) it covers in 93 to 97 %, and in
    up to 99 % where 20 votes meet many pairs and a judge that hardly errs: it is too wide there.

    It speaks of pairs like these, not of these pairs alone, and takes pairs as independent: with several sample seeds
    a prompt give one value a prompt, the mean of its pairs. The voted ones must be a random choice.

    Args:
        judged: shape (pairs,): 1 the winner's picture is better, 0 the baseline's, 0.5 a tie; values between are fine.
        votes: shape (n,): the person's, on the same scale.
        voted: shape (n,): which pairs they are about, as indices into `judged`, none twice.

    Raises:
        ValueError: wrong shapes, no votes, values outside 0..1, indices that aren't such, or alpha out of range.
    """
    check_alpha(alpha)
    f, y = as_floats(judged, ndim=1), as_floats(votes, ndim=1)
    where = _indices(voted, y.size, f.size)
    if min(f.min(), y.min()) < 0 or max(f.max(), y.max()) > 1:
        raise ValueError("judgements and votes lie between 0 and 1, with 0.5 for a tie")
    seen, others = f[where], np.delete(f, where)
    weight, share = _tuned(f, seen, y)
    estimate = float(y.mean())
    if weight:
        estimate = min(max(float((y - weight * seen).mean() + weight * others.mean()), 0.0), 1.0)
    effective = y.size * _tie_factor(y, alpha) / share
    low, high = wilson(estimate, effective, alpha=alpha)
    return Corrected(
        pairs=f.size,
        votes=y.size,
        estimate=estimate,
        low=low,
        high=high,
        level=1 - alpha,
        judge_alone=float(f.mean()),
        votes_alone=float(y.mean()),
        bias=float(seen.mean() - y.mean()),
        weight=weight,
        effective_votes=effective,
    )


def wilson(rate: float, n: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's 1 - alpha interval for a share seen in n independent trials; n need not be whole."""
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2))
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _tuned(f: Floats, seen: Floats, y: Floats) -> tuple[float, float]:
    """λ and V(λ) / V(0); 0 and 1 with too few votes, or with nothing beyond them."""
    n, others = y.size, f.size - y.size
    if n < FEWEST or not others:
        return 0.0, 1.0
    corners = np.concatenate([np.ones(n), np.full(4, _CORNER)])
    both = np.cov(np.append(y, [0, 0, 1, 1]), np.append(seen, [0, 1, 0, 1]), aweights=corners, ddof=0)
    spread_y, spread_f, together = float(both[0, 0]), float(both[1, 1]), float(both[0, 1])
    everywhere = np.concatenate([np.ones(f.size), corners[n:]])
    rest = float(np.cov(np.append(f, [0, 1, 0, 1]), aweights=everywhere, ddof=0)) / others
    weight = min(max(together / n / (spread_f / n + rest), 0.0), 1.0)
    if weight == 0:
        return 0.0, 1.0
    tuned = (spread_y - 2 * weight * together + weight**2 * spread_f) / n + weight**2 * rest
    return weight, min(tuned / (spread_y / n) * (n - 1) / (n - 2), 1.0)


def _tie_factor(y: Floats, alpha: float) -> float:
    """How many untied votes one of these is worth: ties vary less. (z/t)² for having estimated by how much."""
    from scipy.special import ndtri, stdtrit

    rate, spread = float(y.mean()), float(y.var())
    if spread == 0 or not np.any((y > 0) & (y < 1)):
        return 1.0
    shrink = (float(ndtri(1 - alpha / 2)) / float(stdtrit(y.size - 1, 1 - alpha / 2))) ** 2
    return max(rate * (1 - rate) / spread * shrink, 1.0)


def _indices(voted: ArrayLike, votes: int, pairs: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    where = np.asarray(voted)
    if where.shape != (votes,) or not np.issubdtype(where.dtype, np.integer):
        raise ValueError(f"{votes} votes need as many indices of pairs, got {where.dtype} of shape {where.shape}")
    if where.min() < 0 or where.max() >= pairs or np.unique(where).size != votes:
        raise ValueError(f"the indices of votes must be different and lie in 0..{pairs - 1}")
    return where.astype(np.intp).reshape(votes)
