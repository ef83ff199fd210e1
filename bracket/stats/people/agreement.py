"""How often a judge agrees with a person, and whether that is enough to let it crown a winner.

The unit is a pair of pictures a person voted on. Where the person saw no difference there is nothing to agree with, so
those pairs are left out. Where only the judge saw none it gets half credit: a coin would have earned as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bracket.stats.duel.record import Record
from bracket.stats.duel.signflip import Floats, as_floats, check_alpha

FEWEST = 20
"""Votes below which a judge counts as unchecked."""
PASS = 12.0
"""Evidence against chance at which a judge passes; see `gate` for what that amounts to."""
_PRIOR = (6.0, 3.0)
"""Beta prior of the agreement of a judge better than chance, cut to 0.5..1, where such judges are."""


@dataclass(frozen=True, kw_only=True)
class Agreement(Record):
    """How a judge did on the pairs on which a person preferred one picture.

    Attributes:
        votes: such pairs that the judge looked at; votes = agreed + opposed + judge_ties.
        agreed, opposed, judge_ties: the judge preferred the same, the other, or neither.
        person_ties: pairs left out because the person saw no difference.
        rate: (agreed + judge_ties / 2) / votes; None without votes.
        low, high, level: interval for the rate by Clopper and Pearson (1934). Exact without judge ties and wider than
            need be with them, since half credits vary less. For a number of votes fixed beforehand.
        p: one-sided exact binomial test of agreed against opposed, for a number of votes fixed beforehand.
        evidence: how much likelier the votes are under a judge better than chance, see `evidence`.
    """

    votes: int
    agreed: int
    opposed: int
    judge_ties: int
    person_ties: int
    rate: float | None
    low: float | None
    high: float | None
    level: float
    p: float
    evidence: float


@dataclass(frozen=True)
class Gate(Record):
    """Whether a judge may crown a winner.

    Attributes:
        state: `unchecked` with fewer than `FEWEST` votes (it may crown, and the report says it was not checked),
            `passed`, or `refused`.
        reason: one sentence for the report.
    """

    state: Literal["unchecked", "passed", "refused"]
    may_crown: bool
    reason: str


def agreement(judged: ArrayLike, voted: ArrayLike, *, alpha: float = 0.05) -> Agreement:
    """Compares a judge's choices with a person's, pair by pair.

    Args:
        judged, voted: shape (pairs,) each, entry by entry the same pair: above 0.5 prefers the first picture, below
            prefers the second, 0.5 is a tie. May be empty. Pairs count as independent.
        alpha: 1 - alpha is the interval's level.

    Raises:
        ValueError: shapes that differ, values outside 0..1, or alpha out of range.
    """
    check_alpha(alpha)
    ours, theirs = (_choices(values) for values in (judged, voted))
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.size} judged pairs but {theirs.size} voted ones")
    told = theirs != 0
    credit = (ours * theirs)[told]
    agreed, opposed, votes = int((credit > 0).sum()), int((credit < 0).sum()), int(told.sum())
    ties = votes - agreed - opposed
    low, high = clopper_pearson(agreed + ties / 2, votes, alpha=alpha) if votes else (None, None)
    return Agreement(
        votes=votes,
        agreed=agreed,
        opposed=opposed,
        judge_ties=ties,
        person_ties=int(theirs.size - votes),
        rate=(agreed + ties / 2) / votes if votes else None,
        low=low,
        high=high,
        level=1 - alpha,
        p=_upper_tail(agreed, agreed + opposed),
        evidence=evidence(agreed, opposed),
    )


def evidence(agreed: int, opposed: int) -> float:
    """Likelihood of these votes under a judge better than chance, over their likelihood under chance.

    The first is averaged over a Beta(6, 3) prior cut to 0.5..1. Under chance its expectation is 1 after any number of
    votes, so that it ever reaches c has a probability of at most 1/c however often one looks (Ville 1939; Ramdas et
    al. 2023, "Game-theoretic statistics and safe anytime-valid inference"). Judge ties multiply it by 1.
    """
    from scipy.special import betaincc, betaln

    a, b = _PRIOR
    above = float(betaincc(agreed + a, opposed + b, 0.5))
    if above == 0:  # underflow: the votes speak for the opposite of the person
        return 0.0
    logarithm = (agreed + opposed) * math.log(2) + float(betaln(agreed + a, opposed + b) - betaln(a, b))
    logarithm += math.log(above) - math.log(float(betaincc(a, b, 0.5)))
    return math.exp(min(logarithm, 700.0))


def gate(found: Agreement) -> Gate:
    """Says whether a judge may crown a winner, after any number of votes, looked at as often as one likes.

    It passes when at least `FEWEST` votes tell it from chance by an `evidence` of `PASS`. Looked at after each vote
    from the 20th on and stopped as soon as it passes, a chance judge does so in 3.5 % of cases within 100 votes, 4.7 %
    within 1,000 and 4.9 % within 2,000 (counted exactly, not simulated). A judge that agrees in 75 % passes in 82 % of
    cases at exactly 40 votes, in 86 % when looked at up to there, and in 97 % up to 60. The least that passes: 16 of
    20, 22 of 30, 28 of 40, 40 of 60, 64 of 100. More votes can take a pass back.
    """
    if found.votes < FEWEST:
        reason = f"the judge was not checked: {found.votes} votes told a difference, {FEWEST} are needed"
        return Gate("unchecked", True, reason)
    score = f"it agreed with {found.agreed} of your {found.votes} votes"
    if found.judge_ties:
        score += f" and saw no difference in {found.judge_ties}"
    decided = found.agreed + found.opposed
    if decided < FEWEST:
        reason = f"the judge may not crown a winner: it told only {decided} of your {found.votes} pairs apart"
        return Gate("refused", False, reason)
    if found.evidence < PASS:
        return Gate("refused", False, f"the judge may not crown a winner: {score}, which chance could do as well")
    return Gate("passed", True, f"the judge is better than chance: {score}")


def clopper_pearson(successes: float, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Exact 1 - alpha interval for a share, from the beta distribution's quantiles; `successes` may hold halves.

    Raises:
        ValueError: not 0 ≤ successes ≤ n, or n is 0.
    """
    from scipy.special import betaincinv

    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(f"{successes} successes of {n} are no share")
    low = float(betaincinv(successes, n - successes + 1, alpha / 2)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - alpha / 2)) if successes < n else 1.0
    return low, high


def _upper_tail(agreed: int, n: int) -> float:
    """Chance that a coin agrees this often or more; 1 for none of none."""
    from scipy.special import bdtrc

    return float(bdtrc(agreed - 1, n, 0.5)) if agreed else 1.0


def _choices(values: ArrayLike) -> Floats:
    """1, 0 or -1 a pair: first, neither, second."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape == (0,):
        return array
    array = as_floats(array, ndim=1)
    if array.min() < 0 or array.max() > 1:
        raise ValueError("choices lie between 0 and 1, with 0.5 for a tie")
    signs: Floats = np.sign(array - 0.5)
    return signs
