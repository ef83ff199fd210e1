"""Whether one prompt, or one judge of a panel, carries a verdict about two files by itself.

Each is left out in turn and the checkpoint claim made again from what is left: the same test of one unit less, or of
the same prompts as the other judges see them. A conclusion that turns with a single one is as weak as that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.sequential import EDITION, INVERTING, Terms, conclusion
from bracket.stats.duel.signflip import Floats, as_floats

Unit = Literal["prompt", "theme", "judge"]


@dataclass(frozen=True, kw_only=True)
class Flips(Record):
    """What leaving out one at a time does to the checkpoint claim.

    Attributes:
        unit: what was left out.
        names: those that were, in their order.
        flips: those without which the conclusion is another.
        concludes: what all together say: 1 the winner's file is better, -1 the baseline's, 0 neither.
        without: the conclusion without each, in the order of `names`.
    """

    unit: Unit
    names: tuple[str, ...]
    flips: tuple[str, ...]
    concludes: int
    without: tuple[int, ...]

    @property
    def count(self) -> str:
        """How many turn the conclusion, as "0 of 20"."""
        return f"{len(self.flips)} of {len(self.names)}"


def prompt_flips(
    winner: ArrayLike,
    baseline: ArrayLike,
    names: Sequence[str],
    *,
    unit: Unit = "prompt",
    planned: int | None = None,
    **terms: Unpack[Terms],
) -> Flips:
    """Leaves out each prompt (or theme, where those are the rows) in turn; the plan then has one prompt less, too.

    Args:
        winner, baseline: scores of shape (prompts, sample_seeds), as `checkpoint_claim` takes them.
        names: of the prompts.
        planned, terms: as the claim was made with.

    Raises:
        ValueError: shapes or lengths that differ, or scores that are not finite.
    """
    d = _differences(winner, baseline)
    if len(names) != d.size:
        raise ValueError(f"{len(names)} names for {d.size} prompts")
    whole = _whole(d.size, planned, terms)

    def concludes(differences: Floats, of: int) -> int:
        return conclusion(differences, planned=of, two_sided=True, **terms)

    without = [concludes(np.delete(d, i), whole - 1) for i in range(d.size)]
    return _flips(unit, names, concludes(d, whole), without)


def judge_flips(
    members: Mapping[str, tuple[ArrayLike, ArrayLike]],
    shares: Mapping[str, float],
    *,
    planned: int | None = None,
    **terms: Unpack[Terms],
) -> Flips:
    """Leaves out each judge of a panel in turn; the others keep their shares of what is left.

    Args:
        members: a judge's scores of the winner's and of the baseline's pictures, each (prompts, sample_seeds).
        shares: what each counts. Judges without a share count nothing and are not left out; a judge that alone counts
            leaves nothing to conclude from, so its conclusion without it is 0.
        planned, terms: as the claim was made with.

    Raises:
        ValueError: shapes that differ, scores that are not finite, or no judge that counts.
    """
    counting = {name: share for name, share in shares.items() if share > 0}
    if not counting or set(counting) - set(members):
        raise ValueError(f"no scores of the judges that count: {', '.join(counting) or 'none does'}")
    differences = {name: _differences(*members[name]) for name in counting}

    def concludes(names: Iterable[str]) -> int:
        kept = list(names)
        if not kept:
            return 0
        d = np.average([differences[name] for name in kept], axis=0, weights=[counting[name] for name in kept])
        return conclusion(d, planned=_whole(d.size, planned, terms), two_sided=True, **terms)

    without = [concludes(name for name in counting if name != left_out) for left_out in counting]
    return _flips("judge", list(counting), concludes(counting), without)


def _whole(units: int, planned: int | None, terms: Terms) -> int:
    """How many units the conclusion is of. A duel that ended early is taken as one of the units it has: against its
    plan, every unit less would leave it undecided, for it ended as soon as it could."""
    early = planned is None or terms.get("edition", EDITION) >= INVERTING
    return units if early or planned is None else planned


def _flips(unit: Unit, names: Sequence[str], whole: int, without: Sequence[int]) -> Flips:
    flips = tuple(name for name, side in zip(names, without, strict=True) if side != whole)
    return Flips(unit=unit, names=tuple(names), flips=flips, concludes=whole, without=tuple(without))


def _differences(winner: ArrayLike, baseline: ArrayLike) -> Floats:
    ours, theirs = (as_floats(arm, ndim=2) for arm in (winner, baseline))
    if ours.shape != theirs.shape:
        raise ValueError(f"paired scores must have one shape, got {ours.shape} and {theirs.shape}")
    found: Floats = (ours - theirs).mean(axis=1)
    return found
