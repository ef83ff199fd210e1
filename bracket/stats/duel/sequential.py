"""Watching a duel after every unit, and ending it as soon as it is decided or hopeless, at no cost in error.

The null hypothesis is the sign-flip test's: given their magnitudes, the differences' signs are fair coins. Somebody
who bets a share λw of their fortune on the next sign then multiplies it by 1 + λw or 1 - λw with equal chances, so it
is 1 on average after any number of units and ever reaches c with a probability of at most 1/c (Ville 1939). The
fortune, averaged over a fixed grid of λ, is the e-value: how well betting on one arm has paid (Shafer 2021, "Testing by
betting"; Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference"; Waudby-Smith and Ramdas
2024, "Estimating means of bounded random variables by betting"). Stakes w depend on magnitudes alone, up to the
current one, which the null leaves independent of the signs.

Alpha is split beforehand: `live_share` of it goes to the e-process, the rest to one exact sign-flip test once all
planned units are there. A false claim needs a false alarm of either, so by the union bound both together keep to alpha,
whoever looks after every unit and stops when pleased. A duel that stops before, neither decided nor complete, claims
nothing.

Where the planned units are so few that winning all of them at full stake leaves the e-process below what decides for
the winner, it can give no alarm, and the exact test keeps the whole of alpha. That spends no more than alpha, as the
baseline's side needs as much or more: the test alone then claims, with at most alpha for the winner, and half of alpha
for the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import DRAWS, Floats, as_floats, check_alpha, sign_flip, smallest_n

LIVE_SHARE = 0.2
"""Part of alpha that watching may spend. The exact test keeps 0.04 of 0.05 from 8 pairs or 9 prompts on, and all of it
with fewer: they can't decide early."""
EDITION = 3
"""Of these rules, fixed with each plan. By the first, the exact test went without watching's share also where watching
could decide nothing, and the interval of a duel that ended early was its confidence sequence. By the second, intervals
had two ends also where the test had one side, a training that crashed left its pair out, and alpha was shared out
among comparisons by Holm's adjustment, which no interval follows."""
INVERTING = 3
"""The edition from which on intervals are those of the very test that decides."""
BETS = (0.6, 0.8, 1.0)
"""λ, each with a third of the fortune. Of a dozen grids and eight ways to stake, this one with stakes by the median was
among the best both for 8 to 12 pairs and for 16 to 64 prompts."""
SLACK = 1e-12
"""p and alpha are ratios; one that is exactly reached may be rounded to either side."""
_FAR = 1e4
_POINTS = 100
_ROUNDS = 2


class Terms(TypedDict, total=False):
    """What a plan fixed for its claims, for those who only pass it on; see `watch`."""

    alpha: float
    comparisons: int
    live_share: float
    edition: int
    seed: int
    draws: int


@dataclass(frozen=True)
class Split:
    """Alpha as it is shared out before the first unit; see `Watched.live_alpha` and `Watched.final_alpha`."""

    live: float
    final: float


@dataclass(frozen=True, kw_only=True)
class Watched(Record):
    """How a duel stands after the units it has, winner minus baseline.

    Attributes:
        units, planned: paired differences that are there, and how many the plan has.
        alpha, two_sided: of the whole claim; one-sided speaks for the winner only.
        comparisons: how many duels of this kind were named beforehand, this one included.
        live_alpha: what one direction of the e-process may spend: alpha · live_share / comparisons, halved where
            two-sided. An e-value of 1 / live_alpha decides; for the baseline of a one-sided duel, which nobody named
            beforehand, twice that. 0 where so few units are planned that no e-value can get there.
        final_alpha: for the exact test on all planned units: alpha · (1 - live_share), or all of it where live_alpha
            is 0.
        e_winner, e_baseline: e-values now, of "the winner is better" and of "the baseline is better"; 1 is no evidence.
        path: e_winner after each unit.
        decided: for whom the e-process crossed its threshold first; what comes later does not undo it.
        decided_at: after how many units; None while it has not.
        hopeless: too few units are left for the exact test to end in a claim, whatever they show.
        ended: decided, hopeless, or all planned units are there.
        low, high, level: confidence sequence for the mean difference (their centre of symmetry): it covers at every
            moment at once. None at an end where nothing is excluded yet; that takes seven units at 5 %.
    """

    units: int
    planned: int
    alpha: float
    two_sided: bool
    comparisons: int
    live_alpha: float
    final_alpha: float
    e_winner: float
    e_baseline: float
    path: tuple[float, ...]
    decided: Literal["", "winner", "baseline"]
    decided_at: int | None
    hopeless: bool
    ended: bool
    low: float | None
    high: float | None
    level: float

    @property
    def complete(self) -> bool:
        """All planned units are there, so the exact test may speak."""
        return self.units == self.planned

    @property
    def e_needed(self) -> float:
        """The e-value that decides for the winner; infinite where none can."""
        return 1 / self.live_alpha if self.live_alpha else float("inf")


def watch(
    differences: ArrayLike,
    *,
    planned: int,
    two_sided: bool,
    alpha: float = 0.05,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
    seed: int = 0,
    draws: int = DRAWS,
) -> Watched:
    """Says how a duel stands.

    Hopeless is what can be shown: if all units to come were arbitrarily large in the winner's favour, only flips that
    leave them alone would reach the observed sum, so p would be p_greater / 2^(units to come), and less it can't be.
    Where that exceeds final_alpha (twice it, for both directions, where two-sided), more units change nothing. So it
    is from the start where too few units are planned for any claim: below 5 one-sided, below 6 two-sided, at 5 %.

    Args:
        differences: shape (units,): winner's minus baseline's score in the order of the plan; may be empty. Zeros count
            as units and move nothing.
        planned: units the plan has, fixed before the first.
        two_sided: whether a claim for the baseline was named beforehand as well.
        alpha: error rate of the whole claim, watching and final test together.
        comparisons: how many duels of this kind were named beforehand; each is watched at its part of alpha.
        live_share: part of alpha for watching, from 0 (no early decision) to below 1.
        edition: of the rules, as the plan has it.
        seed, draws: of flips drawn above 16 units, see `sign_flip`.

    Raises:
        ValueError: values that are not finite, more units than planned, or a share or alpha out of range.
    """
    d = _differences(differences, planned)
    split = split_alpha(planned, two_sided, alpha, comparisons, live_share, edition)
    ours, theirs = e_values(d), e_values(-d)
    decided, decided_at = first_crossing(ours, theirs, split.live, two_sided=two_sided)
    hopeless = decided == "" and _hopeless(d, planned, split.final, comparisons, two_sided, edition, seed, draws)
    low, high = _confidence_sequence(d, alpha)
    return Watched(
        units=d.size,
        planned=planned,
        alpha=alpha,
        two_sided=two_sided,
        comparisons=comparisons,
        live_alpha=split.live,
        final_alpha=split.final,
        e_winner=float(ours[-1]) if d.size else 1.0,
        e_baseline=float(theirs[-1]) if d.size else 1.0,
        path=tuple(float(value) for value in ours),
        decided=decided,
        decided_at=decided_at,
        hopeless=hopeless,
        ended=decided != "" or hopeless or d.size == planned,
        low=low,
        high=high,
        level=1 - alpha,
    )


def conclusion(
    differences: ArrayLike,
    *,
    planned: int,
    two_sided: bool,
    alpha: float = 0.05,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
    seed: int = 0,
    draws: int = DRAWS,
) -> int:
    """What a duel taken by itself concludes: 1 for the winner, -1 for the baseline, 0 for neither.

    By the e-process where that decided, else by the exact test of all planned units; arguments and errors as `watch`.
    """
    d = _differences(differences, planned)
    split = split_alpha(planned, two_sided, alpha, comparisons, live_share, edition)
    decided, _ = first_crossing(e_values(d), e_values(-d), split.live, two_sided=two_sided)
    if decided:
        return 1 if decided == "winner" else -1
    if d.size < planned or not d.size:
        return 0
    test = sign_flip(d, seed=seed, draws=draws)
    final = split.final / (comparisons if edition >= INVERTING else 1) + SLACK
    if (test.p_two_sided if two_sided else test.p_greater) <= final:
        return int(np.sign(d.mean()))
    return -1 if test.p_two_sided <= final and d.mean() < 0 else 0


def split_alpha(
    planned: int,
    two_sided: bool,
    alpha: float = 0.05,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
) -> Split:
    """What watching and the exact test of so many planned units may spend; arguments and errors as `watch`."""
    _check(alpha, comparisons, live_share)
    live = alpha * live_share / comparisons / (2 if two_sided else 1)
    if edition > 1 and largest_e_value(planned) * live < 1:
        return Split(0.0, alpha)
    return Split(live, alpha * (1 - live_share))


def fewest_units(
    two_sided: bool, alpha: float = 0.05, comparisons: int = 1, live_share: float = LIVE_SHARE, edition: int = EDITION
) -> int:
    """The fewest planned units whose exact test can end in a claim; arguments and errors as `watch`."""
    units = smallest_n(alpha / comparisons, two_sided=two_sided)
    while units < smallest_n(
        split_alpha(units, two_sided, alpha, comparisons, live_share, edition).final / comparisons, two_sided=two_sided
    ):
        units += 1
    return units


def interval_alpha(alpha: float, final_alpha: float, edition: int = EDITION) -> float:
    """What the intervals of a duel are made at; see `claims.PairedClaim`."""
    return alpha if edition == 1 else final_alpha


def e_values(differences: ArrayLike) -> Floats:
    """The e-value of "above 0" after each unit; of "below 0" when given the negated differences.

    The mean over `BETS` of Π(1 + λ sign(d) w), where w is |d| over the median of the non-zero magnitudes so far, at
    most 1: sizes below the usual stake less, and one giant can't make the others worthless.

    Args:
        differences: shape (..., units), duels along the leading axes.

    Returns:
        Shape (..., units).
    """
    d = np.asarray(differences, dtype=np.float64)
    bets = np.sign(d) * _stakes(np.abs(d))
    found: Floats = np.mean([np.cumprod(1 + bet * bets, axis=-1) for bet in BETS], axis=0)
    return found


def largest_e_value(units: int) -> float:
    """Of so many units, all won at full stake."""
    with np.errstate(over="ignore"):
        return float(np.mean(np.power(1 + np.array(BETS), units)))


def _stakes(magnitudes: Floats) -> Floats:
    """min(1, |d| / median of the non-zero magnitudes up to and including this one); 0 for 0."""
    stakes = np.zeros_like(magnitudes)
    some_zero = bool(np.any(magnitudes == 0))
    for t in range(magnitudes.shape[-1]):
        now = magnitudes[..., t]
        so_far = np.sort(magnitudes[..., : t + 1], axis=-1)
        if some_zero:
            zeros = np.count_nonzero(so_far == 0, axis=-1)[..., None]
            middle = [np.minimum(zeros + (t + 1 - zeros - odd) // 2, t) for odd in (1, 0)]
            lower, upper = (np.take_along_axis(so_far, i, axis=-1)[..., 0] for i in middle)
        else:
            lower, upper = so_far[..., t // 2], so_far[..., (t + 1) // 2]
        scale = (lower + upper) / 2
        stakes[..., t] = np.minimum(1.0, now / np.where(now > 0, scale, 1.0))
    return stakes


def first_crossing(
    ours: Floats, theirs: Floats, live_alpha: float, *, two_sided: bool
) -> tuple[Literal["", "winner", "baseline"], int | None]:
    """For whom, and after how many units, an e-process crossed its threshold first.

    Args:
        ours, theirs: e-values after each unit, shape (units,), for the winner and for the baseline.
        live_alpha, two_sided: see `Watched`.
    """
    crossed = {
        "winner": ours * live_alpha >= 1,
        "baseline": theirs * (live_alpha if two_sided else live_alpha / 2) >= 1,
    }
    first = {side: int(hits.argmax()) + 1 for side, hits in crossed.items() if hits.any()}
    if not first:
        return "", None
    units = min(first.values())
    return ("winner" if first.get("winner") == units else "baseline"), units


def _hopeless(
    d: Floats, planned: int, final: float, comparisons: int, two_sided: bool, edition: int, seed: int, draws: int
) -> bool:
    left, sides = planned - d.size, 2 if two_sided else 1
    # One of the comparisons must reach its part: by Holm's adjustment before any other can hold at the whole.
    if planned < smallest_n(final / comparisons, two_sided=two_sided):
        return True
    final /= comparisons if edition >= INVERTING else 1
    if not left or sides / 2**left <= final:  # p is at most 1, which is small enough then
        return False
    test = sign_flip(d, seed=seed, draws=draws)
    p = min(test.p_greater, test.p_less) if two_sided else test.p_greater
    return bool(sides * p / 2**left > final)


def _confidence_sequence(d: Floats, alpha: float) -> tuple[float | None, float | None]:
    """Every centre of symmetry that betting on either side of it has not made 2/alpha yet."""
    low, high = lower_end(d, 2 / alpha), lower_end(-d, 2 / alpha)
    return low, None if high is None else -high


def lower_end(d: Floats, threshold: float) -> float | None:
    """A value that is excluded, as near below the sequence's end as a ten-thousandth of the spread or so."""
    if not d.size or largest_e_value(d.size) < threshold:
        return None
    least, spread = float(d.min()), float(np.ptp(d))
    if spread <= 1e-12 * abs(least):
        return least
    below = least - spread * np.geomspace(_FAR, 1 / _POINTS, _POINTS)
    points = np.concatenate([below, np.linspace(least, float(d.max()), _POINTS)])
    for _ in range(_ROUNDS):
        excluded = (e_values(d - points[:, None]) >= threshold).any(axis=-1)
        reached = int(np.argmin(excluded))  # the first that is not
        if reached == 0:
            return None
        points = np.linspace(points[reached - 1], points[reached], _POINTS)
    return float(points[0])


def _differences(values: ArrayLike, planned: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    d = array if array.shape == (0,) else as_floats(array, ndim=1)
    if d.size > planned:
        raise ValueError(f"{d.size} units, but only {planned} were planned")
    return d


def _check(alpha: float, comparisons: int, live_share: float) -> None:
    check_alpha(alpha)
    if comparisons < 1:
        raise ValueError(f"at least one comparison is needed, got {comparisons}")
    if not 0 <= live_share < 1:
        raise ValueError(f"the share of alpha for watching must lie between 0 and 1, got {live_share}")
