"""The two kinds of claim a duel can support. They answer different questions and are never pooled.

A *checkpoint* claim is about two trained files: which draws better pictures, on prompts like these? Its unit is the
prompt, and it costs pictures only. A *config* claim is about two settings: which trains better files, over training
seeds? Its unit is a pair of training runs. Pictures are never the unit of either: pictures of one prompt, and prompts
of one run, rise and fall together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.power import detectable_difference
from bracket.stats.record import Record
from bracket.stats.signflip import DRAWS, Floats, as_floats, sign_flip, smallest_n

POWER = 0.8
"""The power at which a detectable difference is stated."""


@dataclass(frozen=True)
class CheckpointClaim(Record):
    """The winner's file against the baseline's on fresh prompts. Differences are winner minus baseline.

    Attributes:
        prompts, sample_seeds, pairs: pairs = prompts × sample_seeds; the unit is the prompt.
        alpha, seed: as asked; `seed` draws the flips when `exact` is False.
        mean_difference, sd: over prompts, in the judge's score (0..1); sd is None for one prompt.
        difference_low, difference_high, interval_level, interval_method: of the mean difference, see `SignFlip`.
        win_rate, win_rate_low, win_rate_high: share of pairs the winner takes, ties half, with a 1 - alpha interval.
        effective_pairs: independent pairs that the prompts' spread makes them worth, see `win_rate_interval`.
        improvement_probability: see `improvement_probability`.
        p_greater, p_less, p_two_sided, exact, flips: the sign-flip test over prompts.
        detectable, power: the smallest true mean difference that the two-sided test would have found with this power.
        can_support, prompts_needed: whether so few prompts can reach alpha two-sided, and how many more can.
    """

    prompts: int
    sample_seeds: int
    pairs: int
    alpha: float
    seed: int
    mean_difference: float
    sd: float | None
    difference_low: float | None
    difference_high: float | None
    interval_level: float
    interval_method: str
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    effective_pairs: float
    improvement_probability: float
    p_greater: float
    p_less: float
    p_two_sided: float
    exact: bool
    flips: int
    detectable: float | None
    power: float
    can_support: bool
    prompts_needed: int


@dataclass(frozen=True)
class ConfigClaim(Record):
    """The winner's settings against the baseline's over fresh paired training seeds, winner minus baseline.

    Attributes:
        pairs: paired training runs; the unit.
        alpha: as asked.
        mean_difference, sd: over pairs, in the judge's score (0..1); sd is None for one pair.
        difference_low, difference_high, interval_level, interval_method: of the mean difference, see `SignFlip`.
        p_greater, p_less, p_two_sided, exact, flips: the sign-flip test over pairs.
        detectable, power: the smallest true mean difference that the one-sided test would have found with this power.
        can_support, pairs_needed: whether so few pairs can reach alpha one-sided (p is never below 1/2^pairs), and
            how many pairs more can.
    """

    pairs: int
    alpha: float
    mean_difference: float
    sd: float | None
    difference_low: float | None
    difference_high: float | None
    interval_level: float
    interval_method: str
    p_greater: float
    p_less: float
    p_two_sided: float
    exact: bool
    flips: int
    detectable: float | None
    power: float
    can_support: bool
    pairs_needed: int


def checkpoint_claim(
    winner: ArrayLike, baseline: ArrayLike, *, alpha: float = 0.05, seed: int = 0, draws: int = DRAWS
) -> CheckpointClaim:
    """Compares two checkpoints' judged pictures of the same fresh prompts and sample seeds.

    It says nothing of the settings: another training seed gives another file. It holds for prompts like these, as this
    judge sees them.

    Args:
        winner, baseline: scores, higher is better, 0..1; shape (prompts, sample_seeds), or (prompts,) for one seed;
            entry by entry the same prompt and starting noise.
        alpha: error rate of the two-sided test, and 1 - coverage of the intervals.
        seed, draws: of the drawn flips above 16 prompts.

    Raises:
        ValueError: shapes that differ or have other dimensions, scores that are not finite, or alpha out of range.
    """
    ours, theirs = _paired(winner, baseline)
    prompts, sample_seeds = ours.shape
    differences = (ours - theirs).mean(axis=1)
    test = sign_flip(differences, alpha=alpha, seed=seed, draws=draws)
    won = (np.sign(ours - theirs) + 1) / 2
    low, high, effective = win_rate_interval(won, alpha=alpha)
    sd = _spread(differences)
    least = smallest_n(alpha, two_sided=True)
    return CheckpointClaim(
        prompts=prompts,
        sample_seeds=sample_seeds,
        pairs=prompts * sample_seeds,
        alpha=alpha,
        seed=seed,
        mean_difference=float(differences.mean()),
        sd=sd,
        difference_low=test.low,
        difference_high=test.high,
        interval_level=test.level,
        interval_method=test.method,
        win_rate=float(won.mean()),
        win_rate_low=low,
        win_rate_high=high,
        effective_pairs=effective,
        improvement_probability=improvement_probability(ours, theirs),
        p_greater=test.p_greater,
        p_less=test.p_less,
        p_two_sided=test.p_two_sided,
        exact=test.exact,
        flips=test.flips,
        detectable=_detectable(sd, prompts, alpha, two_sided=True),
        power=POWER,
        can_support=prompts >= least,
        prompts_needed=max(0, least - prompts),
    )


def config_claim(differences: ArrayLike, *, alpha: float = 0.05) -> ConfigClaim:
    """Compares two configs over fresh training seeds, each seed training both.

    One-sided, because "the winner beats the baseline" was named before the seeds were drawn; fewer than five pairs
    can't support it at 5 %.

    Args:
        differences: shape (pairs,): winner's minus baseline's mean score, one a training seed, prompts averaged inside.
        alpha: error rate of the one-sided test, and about 1 - coverage of the interval.

    Raises:
        ValueError: wrong shape, no pairs, values that are not finite, or alpha out of range.
    """
    d = as_floats(differences, ndim=1)
    test = sign_flip(d, alpha=alpha)
    sd = _spread(d)
    least = smallest_n(alpha, two_sided=False)
    return ConfigClaim(
        pairs=d.size,
        alpha=alpha,
        mean_difference=float(d.mean()),
        sd=sd,
        difference_low=test.low,
        difference_high=test.high,
        interval_level=test.level,
        interval_method=test.method,
        p_greater=test.p_greater,
        p_less=test.p_less,
        p_two_sided=test.p_two_sided,
        exact=test.exact,
        flips=test.flips,
        detectable=_detectable(sd, d.size, alpha, two_sided=False),
        power=POWER,
        can_support=d.size >= least,
        pairs_needed=max(0, least - d.size),
    )


def win_rate_interval(won: ArrayLike, *, alpha: float = 0.05) -> tuple[float, float, float]:
    """Wilson's interval for a win rate whose pairs come in prompts.

    With one sample seed and no ties this is Wilson's interval (1927), which stays inside 0..1 and holds its coverage
    near the ends, where a bootstrap of few prompts collapses. With several seeds, pairs of one prompt are no longer
    independent: they count as r(1 - r) / variance-of-the-mean pairs (Kish's effective sample size), scaled by (z/t)²
    since that variance is estimated from few prompts (Korn and Graubard 1998). All won or all lost counts one a
    prompt.

    Args:
        won: 1 for won, 0 for lost, 0.5 for a tie; shape (prompts, sample_seeds).

    Returns:
        Lower end, upper end, effective pairs.
    """
    from scipy.special import ndtri, stdtrit

    array = as_floats(won, ndim=2)
    prompts, seeds = array.shape
    rates = array.mean(axis=1)
    rate, variance = float(rates.mean()), float(rates.var()) / prompts
    z = float(ndtri(1 - alpha / 2))
    effective = float(prompts)
    if 0 < rate < 1 and prompts > 1 and (seeds > 1 or np.any(array == 0.5)):
        shrink = (z / float(stdtrit(prompts - 1, 1 - alpha / 2))) ** 2
        effective = min(max(rate * (1 - rate) / max(variance, 1e-12) * shrink, 1.0), float(array.size))
    centre = (rate + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * math.sqrt(rate * (1 - rate) / effective + z**2 / (4 * effective**2))
    return max(0.0, centre - half), min(1.0, centre + half), effective


def improvement_probability(winner: ArrayLike, baseline: ArrayLike) -> float:
    """Chance that a picture of the winner's scores above one of the baseline's of the same prompt, ties half.

    Within a prompt every sample seed of one meets every seed of the other (Mann and Whitney's U over seeds²), then
    prompts are averaged (Agarwal et al. 2021, "probability of improvement"). With one sample seed it equals
    the win rate.

    Args:
        winner, baseline: scores, shape (prompts, sample_seeds).
    """
    ours, theirs = _paired(winner, baseline)
    return float(((np.sign(ours[:, :, None] - theirs[:, None, :]) + 1) / 2).mean())


def _paired(winner: ArrayLike, baseline: ArrayLike) -> tuple[Floats, Floats]:
    arms = [np.asarray(arm, dtype=np.float64) for arm in (winner, baseline)]
    if arms[0].shape != arms[1].shape:
        raise ValueError(f"paired scores must have one shape, got {arms[0].shape} and {arms[1].shape}")
    ours, theirs = (as_floats(arm[:, None] if arm.ndim == 1 else arm, ndim=2) for arm in arms)
    return ours, theirs


def _spread(d: Floats) -> float | None:
    return float(d.std(ddof=1)) if d.size > 1 else None


def _detectable(sd: float | None, n: int, alpha: float, *, two_sided: bool) -> float | None:
    return None if sd is None else detectable_difference(sd, n, alpha=alpha, power=POWER, two_sided=two_sided)
