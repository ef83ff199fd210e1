"""What a file still can draw of what the bare base could, on prompts that don't ask for what was learnt.

A share of the base's mean score, over prompts that both drew with the same sample seeds. It is a result of its own,
beside the claims: it spends none of their alpha, and no claim rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import ArrayLike

from bracket.stats.duel.rates import paired
from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import check_alpha, ratio_ends, smallest_n

FEWEST = smallest_n(0.05, two_sided=True)
"""Prompts from which on a share has an interval at 95 % and more."""


@dataclass(frozen=True, kw_only=True)
class Keep(Record):
    """What one file keeps.

    Attributes:
        prompts, sample_seeds: the unit is the prompt.
        base, file: mean judged score of the bare base's pictures and of the file's, 0..1.
        share: file / base; None where the base could nothing.
        low, high, level: interval of the share, see `ratio_ends`; None for an end that so few prompts don't give.
    """

    prompts: int
    sample_seeds: int
    base: float
    file: float
    share: float | None
    low: float | None
    high: float | None
    level: float


@dataclass(frozen=True, kw_only=True)
class Kept(Record):
    """What winner and baseline keep; None where that was not told. `at_least`: the percentage of what the base could
    that a winner has to keep to be recommended, 0 for none."""

    winner: Keep | None
    baseline: Keep | None
    at_least: float = 0.0

    @property
    def enough(self) -> bool:
        """Whether the winner keeps what was asked. Where that can't be told, it does not."""
        if not self.at_least:
            return True
        return self.winner is not None and (self.winner.share is None or 100 * self.winner.share >= self.at_least)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. Raises ValueError: a field is missing or unknown."""
        arms = {arm: Keep.from_dict(data[arm]) for arm in ("winner", "baseline") if data.get(arm)}
        return super().from_dict({**data, **arms})


def keep_of(file: ArrayLike, base: ArrayLike, *, alpha: float = 0.05) -> Keep:
    """What a file keeps.

    Args:
        file, base: scores, 0..1; shape (prompts, sample_seeds), entry by entry the same prompt and starting noise.

    Raises:
        ValueError: shapes that differ or have other dimensions, scores that are not finite, or alpha out of range.
    """
    check_alpha(alpha)
    ours, theirs = paired(file, base)
    could = float(theirs.mean())
    low, high, level = ratio_ends(ours.mean(axis=1), theirs.mean(axis=1), alpha=alpha)
    return Keep(
        prompts=len(ours),
        sample_seeds=ours.shape[1],
        base=could,
        file=float(ours.mean()),
        share=float(ours.mean()) / could if could > 0 else None,
        low=low,
        high=high,
        level=level,
    )
