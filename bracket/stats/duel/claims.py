"""The two kinds of claim a duel can support. They answer different questions and are never pooled.

A *checkpoint* claim is about two trained files: which draws better pictures, on prompts like these? Its unit is the
prompt, and it costs pictures only. A *config* claim is about two settings: which trains better files, over training
seeds? Its unit is a pair of training runs. Pictures are never the unit of either: pictures of one prompt, and prompts
of one run, rise and fall together.

Either kind may be watched while it grows and end early (`sequential`): a claim holds by its e-process, or by the exact
test once everything planned is there.

Intervals are those of the test that decides, one-sided where it is: over the units there are, each end at the level
that the exact test has at the planned end, so that interval and test can't contradict each other. Where watching
decided, the end that it decided for is also the e-process's, and excludes 0 as that did; where a duel ended early and
undecided, the interval holds 0. That the scores decide which unit is the last costs coverage; what watching may spend
of alpha is kept back for it. That this does is measured (tests/benchmarks/bench_verdict.py), not proven; `Watched.low`
and `high` hold at every moment, and are far wider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.average import average_ends
from bracket.stats.duel.power import detectable_difference
from bracket.stats.duel.rates import improvement_probability, paired, win_rate_interval
from bracket.stats.duel.record import Record
from bracket.stats.duel.sequential import (
    EDITION,
    INVERTING,
    LIVE_SHARE,
    Watched,
    conclusion,
    interval_alpha,
    lower_end,
    watch,
)
from bracket.stats.duel.signflip import DRAWS, Floats, as_floats, ends, sign_flip, smallest_n

POWER = 0.8
"""The power at which a detectable difference is stated."""
INVERSION = "inversion"
"""The method of intervals that are those of the test that decides."""
_SINCE_INVERTING = ("won", "lost", "average_low", "average_high", "says")


@dataclass(frozen=True, kw_only=True)
class PairedClaim(Record):
    """What both kinds of claim state of their paired differences, winner minus baseline, in the judge's score (0..1).

    Attributes:
        alpha: as asked.
        mean_difference, sd: over units (prompts, or pairs of training runs); sd is None for one unit.
        difference_low, difference_high, interval_level, interval_method: of the mean difference. "inversion": the ends
            of the test that decides, see above; of a one-sided claim the lower holds at 1 - alpha and the upper at
            1 - alpha / 2, both together at the level that is named; None for an end that so few units don't give. By
            edition 2 of the rules it was `SignFlip`'s at `final_alpha`, the level less by what watching may spend; by
            edition 1 made at alpha, and of a duel that ended early the "confidence_sequence", None where that excluded
            nothing.
        p_greater, p_less, p_two_sided, exact, flips: the sign-flip test over the units there are, see `SignFlip`. It
            decides only once all planned ones are there.
        detectable, power: the smallest true mean difference that the exact test of all planned units finds with this
            power; None when they can't find any.
        can_support: whether a duel of this plan that came this far could have ended in a claim: enough units were
            planned, and it was decided, hopeless or complete when it ended.
        watched: how it stood after its last unit; None in a certificate of version 2, when nothing was watched.
        won, lost: units that the winner and the other took.
        average_low, average_high: of the mean difference, by `average.average_ends`: whatever the differences' shape,
            at the levels of the interval's ends.
        says: what a claim of this may say beyond that the arms are not alike: "average", that the better one scores
            higher on average; "often", that it takes more units than it loses, which the same rules applied to the
            differences' signs have to show; "" for neither. All five are None before edition 3 of the rules.
    """

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
    watched: Watched | None
    won: int | None = None
    lost: int | None = None
    average_low: float | None = None
    average_high: float | None = None
    says: str | None = None

    @property
    def final_alpha(self) -> float:
        """What the exact test's p is held to: alpha without the part that watching may spend."""
        return self.watched.final_alpha if self.watched else self.alpha

    @property
    def complete(self) -> bool:
        """All planned units are there, so the exact test may speak."""
        return self.watched is None or self.watched.complete

    @property
    def decided(self) -> str:
        """For whom the e-process decided: "winner", "baseline", or "" for neither."""
        return self.watched.decided if self.watched else ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`.

        Raises:
            ValueError: a field is missing or unknown, here or in what was watched.
        """
        watched = data.get("watched")
        data = {**dict.fromkeys(_SINCE_INVERTING), **data}
        return super().from_dict({**data, "watched": Watched.from_dict(watched)} if watched else data)

    def as_dict(self) -> dict[str, Any]:
        """As `Record` does, without what its edition of the rules did not have."""
        found = super().as_dict()
        return found if self.says is not None else {k: v for k, v in found.items() if k not in _SINCE_INVERTING}


@dataclass(frozen=True, kw_only=True)
class CheckpointClaim(PairedClaim):
    """The winner's file against the baseline's on fresh prompts; tested two-sided over prompts.

    Attributes:
        unit: "prompt"; "theme" where prompts that stem from one caption or template count as one by their mean, and
            "prompts" below are themes.
        prompts, sample_seeds, pairs: pairs = prompts × sample_seeds; the unit is the prompt.
        prompts_needed: how many prompts more a claim needs at least; 0 where `can_support`.
        seed: of the drawn flips when `exact` is False.
        win_rate, win_rate_low, win_rate_high: share of pairs the winner takes, ties half, with a 1 - alpha interval
            (made at `final_alpha`, as the other).
        effective_pairs: independent pairs that the prompts' spread makes them worth, see `win_rate_interval`.
        improvement_probability: see `improvement_probability`.
    """

    prompts: int
    sample_seeds: int
    pairs: int
    prompts_needed: int
    seed: int
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    effective_pairs: float
    improvement_probability: float
    unit: Literal["prompt", "theme"] = "prompt"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """As `PairedClaim` does; earlier brackets knew no themes."""
        return super().from_dict({"unit": "prompt", **data})

    def as_dict(self) -> dict[str, Any]:
        """As `PairedClaim` does, without the unit where it is the prompt."""
        found = super().as_dict()
        return {k: v for k, v in found.items() if k != "unit" or v != "prompt"}


@dataclass(frozen=True, kw_only=True)
class ConfigClaim(PairedClaim):
    """The winner's settings against the baseline's over fresh paired training seeds; tested one-sided over pairs.

    Attributes:
        pairs: paired training runs; the unit. p is never below 1/2^pairs.
        pairs_needed: how many pairs more a claim needs at least; 0 where `can_support`.
    """

    pairs: int
    pairs_needed: int


def checkpoint_claim(
    winner: ArrayLike,
    baseline: ArrayLike,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    draws: int = DRAWS,
    unit: Literal["prompt", "theme"] = "prompt",
    planned: int | None = None,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
) -> CheckpointClaim:
    """Compares two checkpoints' judged pictures of the same fresh prompts and sample seeds.

    It says nothing of the settings: another training seed gives another file. It holds for prompts like these, as this
    judge sees them.

    Args:
        winner, baseline: scores, higher is better, 0..1; shape (prompts, sample_seeds), or (prompts,) for one seed;
            entry by entry the same prompt and starting noise; prompts in the plan's order.
        alpha: error rate of the two-sided claim, and 1 - coverage of the intervals.
        seed, draws: of the drawn flips above 16 prompts.
        unit: what the rows are.
        planned: prompts the plan has; None when these are all of them.
        comparisons, live_share, edition: see `sequential.watch`.

    Raises:
        ValueError: shapes that differ or have other dimensions, scores that are not finite, more prompts than planned,
            or alpha out of range.
    """
    ours, theirs = paired(winner, baseline)
    prompts, sample_seeds = ours.shape
    differences = (ours - theirs).mean(axis=1)
    won = (np.sign(ours - theirs) + 1) / 2
    watched = watch(
        differences,
        planned=prompts if planned is None else planned,
        two_sided=True,
        alpha=alpha,
        comparisons=comparisons,
        live_share=live_share,
        edition=edition,
        seed=seed,
        draws=draws,
    )
    low, high, effective = win_rate_interval(won, alpha=interval_alpha(alpha, watched.final_alpha, edition))
    return CheckpointClaim(
        **_tested(differences, watched, edition, seed=seed, draws=draws),
        prompts=prompts,
        sample_seeds=sample_seeds,
        pairs=prompts * sample_seeds,
        prompts_needed=_needed(watched),
        seed=seed,
        win_rate=float(won.mean()),
        win_rate_low=low,
        win_rate_high=high,
        effective_pairs=effective,
        improvement_probability=improvement_probability(ours, theirs),
        unit=unit,
    )


def config_claim(
    differences: ArrayLike,
    *,
    alpha: float = 0.05,
    planned: int | None = None,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
) -> ConfigClaim:
    """Compares two configs over fresh training seeds, each seed training both.

    One-sided, because "the winner beats the baseline" was named before the seeds were drawn; fewer than five pairs
    can't support it at 5 %.

    Args:
        differences: shape (pairs,): winner's minus baseline's mean score, one a training seed, prompts averaged inside;
            in the plan's order.
        alpha: error rate of the one-sided claim, and about 1 - coverage of the interval.
        planned: pairs the plan has; None when these are all of them.
        comparisons, live_share, edition: see `sequential.watch`.

    Raises:
        ValueError: wrong shape, no pairs, more than planned, values that are not finite, or alpha out of range.
    """
    d = as_floats(differences, ndim=1)
    watched = watch(
        d,
        planned=d.size if planned is None else planned,
        two_sided=False,
        alpha=alpha,
        comparisons=comparisons,
        live_share=live_share,
        edition=edition,
    )
    return ConfigClaim(**_tested(d, watched, edition), pairs=d.size, pairs_needed=_needed(watched))


def _tested(d: Floats, watched: Watched, edition: int, *, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """The fields of `PairedClaim` for differences of shape (units,)."""
    at = interval_alpha(watched.alpha, watched.final_alpha, edition)
    test = sign_flip(d, alpha=at, seed=seed, draws=draws)
    interval = (test.low, test.high, test.level - (watched.alpha - at), test.method)
    if edition == 1 and not watched.complete:
        interval = (watched.low, watched.high, watched.level, "confidence_sequence")
    said: dict[str, Any] = {}
    if edition >= INVERTING:
        level = 1 - watched.alpha * (1 if watched.two_sided else 1.5)
        interval = (*_inverted(d, watched, seed, draws), level, INVERSION)
        said = _said(d, watched, edition, seed, draws)
    sd = float(d.std(ddof=1)) if d.size > 1 else None
    able = _needed(watched) == 0
    detectable = None
    if sd is not None and able:
        detectable = detectable_difference(
            sd,
            watched.planned,
            alpha=watched.final_alpha / watched.comparisons,
            power=POWER,
            two_sided=watched.two_sided,
        )
    return {
        "alpha": watched.alpha,
        "mean_difference": float(d.mean()),
        "sd": sd,
        "difference_low": interval[0],
        "difference_high": interval[1],
        "interval_level": interval[2],
        "interval_method": interval[3],
        "p_greater": test.p_greater,
        "p_less": test.p_less,
        "p_two_sided": test.p_two_sided,
        "exact": test.exact,
        "flips": test.flips,
        "detectable": detectable,
        "power": POWER,
        "can_support": able,
        "watched": watched,
        **said,
    }


def _said(d: Floats, watched: Watched, edition: int, seed: int, draws: int) -> dict[str, Any]:
    """What a claim may say: see `PairedClaim`."""
    share = watched.alpha / watched.comparisons
    low, high = average_ends(d, low=share / 2 if watched.two_sided else share, high=share / 2)
    live_share = 1 - watched.final_alpha / watched.alpha
    often = conclusion(
        np.sign(d),
        planned=watched.planned,
        two_sided=watched.two_sided,
        alpha=watched.alpha,
        comparisons=watched.comparisons,
        live_share=live_share,
        edition=edition,
        seed=seed,
        draws=draws,
    )
    side = int(np.sign(d.mean()))
    says = "average" if low > 0 or high < 0 else "often" if often == side != 0 else ""
    won, lost = int(np.count_nonzero(d > 0)), int(np.count_nonzero(d < 0))
    return {"won": won, "lost": lost, "average_low": low, "average_high": high, "says": says}


def _inverted(d: Floats, watched: Watched, seed: int, draws: int) -> tuple[float | None, float | None]:
    """The ends of the test that decides: where the mean difference is not excluded."""
    share = watched.final_alpha / watched.comparisons
    low, high = ends(d, low=share / 2 if watched.two_sided else share, high=share / 2, seed=seed, draws=draws)
    if watched.decided == "winner":
        low = max(end for end in (low, lower_end(d, watched.e_needed), 0.0) if end is not None)
        high = None if high is None else max(low, high)
    elif watched.decided:
        needed = watched.e_needed * (1 if watched.two_sided else 2)
        other = lower_end(-d, needed)
        high = min(end for end in (high, None if other is None else -other, 0.0) if end is not None)
        low = None if low is None else min(low, high)
    elif not watched.complete:  # it claims nothing, so nothing else may either
        low, high = None if low is None else min(low, 0.0), None if high is None else max(high, 0.0)
    return low, high


def _needed(watched: Watched) -> int:
    """Units that are missing before a duel could have ended in a claim; 0 when it could have."""
    least = smallest_n(watched.final_alpha / watched.comparisons, two_sided=watched.two_sided)
    if watched.planned < least:
        return least - watched.units
    return 0 if watched.ended else watched.planned - watched.units
