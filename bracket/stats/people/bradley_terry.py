"""A ranking from pairwise choices: Bradley and Terry's model (1952), for display beside the scores.

Item i wins against j with probability 1 / (1 + exp(s_j - s_i)). The strengths s are fitted by maximum likelihood
(`choix`, iterated Luce spectral ranking, Maystre and Grossglauser 2015). It isn't a verdict: which pairs were asked
was chosen by looking at earlier answers, and a handful of answers can turn the top of a ranking without its intervals
showing it, hence the check of every prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import Floats, check_alpha

FEWEST_PROMPTS = 5
"""Fewer prompts can't be resampled with any sense: no intervals then."""
DRAWS = 1_000
_EQUAL = 1e-6
"""Strengths nearer than this are equal: the fit isn't more exact."""
_ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Ranking(Record):
    """Items by strength, the strongest first; every sequence in that order.

    Attributes:
        items: their names.
        strengths: logarithmic, 0 for an average opponent; a lead of 1.1 wins three times in four. None for an item that
            no one compared.
        low, high, level: bootstrap interval of a strength, by resampling prompts; None with fewer than
            `FEWEST_PROMPTS` prompts.
        top_share: in what share of the resamples the item leads (several leaders share it); None as above.
        comparisons: how many choices each item was in.
        groups: a number an item. Items of different groups were never compared, not even through others: who of them
            is stronger isn't known, whatever the strengths.
        leaders: items with the largest strength; more than one when they tie.
        flips: prompts without which the leaders are others, in order of appearance.
        prompts: how many there were.
    """

    items: tuple[str, ...]
    strengths: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    level: float
    top_share: tuple[float | None, ...]
    comparisons: tuple[int, ...]
    groups: tuple[int, ...]
    leaders: tuple[str, ...]
    flips: tuple[str, ...]
    prompts: int

    @property
    def connected(self) -> bool:
        """Whether every item can be ranked against every other."""
        return len(set(self.groups)) <= 1


def rank_pairs(
    items: Sequence[str],
    comparisons: Sequence[tuple[str, str, float]],
    prompts: Sequence[str],
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    seed: int = 0,
) -> Ranking:
    """Ranks items by choices between two of them.

    A tie is half a win for each. Every item also plays one virtual tie against an average opponent, whose strength is
    0: without it an item that always won would have no finite strength. It draws strengths a little towards 0 and
    links items that were never compared, which `groups` gives away.

    Args:
        items: names, each once.
        comparisons: (a, b, value): 1 prefers a, 0 prefers b, 0.5 is a tie; values between count in parts.
        prompts: the prompt of each comparison. Choices on one prompt rise and fall together, so prompts are resampled.
        alpha: 1 - alpha is the intervals' level.
        draws, seed: of the bootstrap.

    Raises:
        ValueError: names that repeat or aren't known, an item compared with itself, a value outside 0..1, lengths that
            differ, or alpha out of range.
    """
    check_alpha(alpha)
    names = list(dict.fromkeys(prompts))
    wins = _wins(items, comparisons, prompts, names)
    total = wins.sum(axis=0)
    played = np.rint(total.sum(axis=0) + total.sum(axis=1)).astype(int)
    groups = _groups(total + total.T > 0)
    fitted = _fit(total)
    order = np.argsort(-np.where(played > 0, fitted, -np.inf), kind="stable")
    lead = _leading(fitted, played)
    drawn = _resampled(wins, draws, seed) if len(names) >= FEWEST_PROMPTS else None
    ends = None if drawn is None else np.quantile(drawn, [alpha / 2, 1 - alpha / 2], axis=0)
    share = (
        None if drawn is None else np.mean([row / row.sum() for row in (_leading(s, played) for s in drawn)], axis=0)
    )

    def column(values: Floats | None) -> tuple[float | None, ...]:
        return tuple(None if values is None or not played[i] else float(values[i]) for i in order)

    return Ranking(
        items=tuple(items[i] for i in order),
        strengths=column(fitted),
        low=column(None if ends is None else ends[0]),
        high=column(None if ends is None else ends[1]),
        level=1 - alpha,
        top_share=column(share),
        comparisons=tuple(int(played[i]) for i in order),
        groups=tuple(int(groups[i]) for i in order),
        leaders=tuple(items[i] for i in order if lead[i]),
        flips=tuple(n for n, own in zip(names, wins, strict=True) if _flips(total - own, lead, fitted)),
        prompts=len(names),
    )


def _wins(
    items: Sequence[str], comparisons: Sequence[tuple[str, str, float]], prompts: Sequence[str], names: Sequence[str]
) -> Floats:
    """Shape (prompts, items, items): how often the row's item won against the column's."""
    if len(set(items)) != len(items):
        raise ValueError("items must have different names")
    if len(comparisons) != len(prompts):
        raise ValueError(f"{len(comparisons)} comparisons but {len(prompts)} prompts")
    place, row = {item: i for i, item in enumerate(items)}, {name: i for i, name in enumerate(names)}
    wins: Floats = np.zeros((len(names), len(items), len(items)))
    for (a, b, value), prompt in zip(comparisons, prompts, strict=True):
        if a not in place or b not in place or a == b:
            raise ValueError(f"{a!r} against {b!r}: a comparison takes two different ones of the items")
        if not 0 <= value <= 1:
            raise ValueError(f"a choice lies between 0 and 1, got {value}")
        wins[row[prompt], place[a], place[b]] += value
        wins[row[prompt], place[b], place[a]] += 1 - value
    return wins


def _fit(wins: Floats, start: Floats | None = None) -> Floats:
    """Strengths (items,) by wins (items, items) of the row's against the column's, with one virtual tie an item."""
    import choix

    n = len(wins)
    played = np.full((n + 1, n + 1), 0.5)
    played[:n, :n], played[n, n] = wins, 0.0
    guess = None if start is None else np.append(start, 0.0)
    found: Floats = choix.ilsr_pairwise_dense(played, initial_params=guess, max_iter=_ROUNDS)
    strengths: Floats = found[:n] - found[n]
    return strengths


def _resampled(wins: Floats, draws: int, seed: int) -> Floats:
    """Strengths (draws, items) of so many resamples of the prompts."""
    prompts = len(wins)
    counts = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=draws)
    start = _fit(wins.sum(axis=0))
    return np.stack([_fit(np.tensordot(count, wins, 1), start) for count in counts])


def _leading(strengths: Floats, played: np.ndarray) -> np.ndarray:
    """Membership (items,) of those in front, among those that played."""
    if not played.any():
        return np.zeros(len(strengths), bool)
    front: np.ndarray = (played > 0) & (strengths >= strengths[played > 0].max() - _EQUAL)
    return front


def _flips(left: Floats, lead: np.ndarray, start: Floats) -> bool:
    """Whether others lead by the wins (items, items) that are left; `start` are strengths near those."""
    played = left.sum(axis=0) + left.sum(axis=1) > 1e-9
    return bool(played.any() and np.any(_leading(_fit(left, start), played) != lead))


def _groups(met: np.ndarray) -> np.ndarray:
    """A number (items,) an item, the same for those linked by who met whom (items, items)."""
    groups = np.arange(len(met))
    for _ in range(len(met)):
        groups = np.min(np.where(met | np.eye(len(met), dtype=bool), groups, len(met)), axis=1, initial=len(met))
    numbered: np.ndarray = np.unique(groups, return_inverse=True)[1]
    return numbered
