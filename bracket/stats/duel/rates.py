"""How often one arm's pictures win against the other's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.signflip import Floats, as_floats


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
    ours, theirs = paired(winner, baseline)
    return float(((np.sign(ours[:, :, None] - theirs[:, None, :]) + 1) / 2).mean())


def by_theme(scores: Floats, prompts: Sequence[str], themes: Mapping[str, str]) -> Floats:
    """Scores of shape (prompts, sample_seeds) as one mean a theme, shape (themes, 1), in the order in which the first
    prompt of each comes; as they are where no prompts share a theme.

    Args:
        prompts: of the rows; themes: of those that share theirs with another, by their text.
    """
    if not themes:
        return scores
    rows: dict[str, list[Floats]] = {}
    for prompt, row in zip(prompts, scores, strict=True):
        rows.setdefault(themes.get(prompt, prompt), []).append(row)
    return np.array([[np.mean(of_theme)] for of_theme in rows.values()])


def paired(winner: ArrayLike, baseline: ArrayLike) -> tuple[Floats, Floats]:
    """Scores of two arms as (prompts, sample seeds). Raises ValueError where their shapes differ."""
    arms = [np.asarray(arm, dtype=np.float64) for arm in (winner, baseline)]
    if arms[0].shape != arms[1].shape:
        raise ValueError(f"paired scores must have one shape, got {arms[0].shape} and {arms[1].shape}")
    ours, theirs = (as_floats(arm[:, None] if arm.ndim == 1 else arm, ndim=2) for arm in arms)
    return ours, theirs
