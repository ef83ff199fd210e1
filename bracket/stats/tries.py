"""What one more duel of the same settings is held to, so that trying again can't make up for itself.

Somebody whose session ended without a claim about the settings may train more pairs. Nobody asked them to before they
had seen the first, so the decision to go on depends on what those showed, and to pool them would test the same
differences once more, with a second chance for chance. Therefore every addition is a duel of its own: fresh training
seeds only, a plan of its own, fixed and hashed before its first training, and a test that sees its own pairs alone.

Whatever was seen before, a duel of fresh seeds between equal settings then ends in a false claim with a probability of
at most its own alpha. By the union bound all tries together err at most the sum of theirs. Alpha is halved once for
every earlier duel that could have ended in a claim, so that sum is at most alpha · (1 + 1/2 + 1/4 + …) = 2 · alpha,
however long somebody goes on. One that could not, because no pair or too few were planned, spent nothing: with a single
try that could, all together keep to alpha. How many pairs the next one gets may depend on everything seen so far.
"""

from __future__ import annotations

import itertools

import numpy as np

from bracket.stats.sequential import EDITION, LIVE_SHARE, SLACK, e_values, split_alpha

MOST_ALPHA = 0.1
"""What a session may be held to at most: more than one false claim in ten is no evidence."""


def can_claim(
    pairs: int, *, alpha: float = 0.05, comparisons: int = 1, live_share: float = LIVE_SHARE, edition: int = EDITION
) -> bool:
    """Whether a duel of so many planned pairs can end in a claim for the winner: it does if the winner leads in all.

    Args:
        alpha, comparisons, live_share, edition: as `sequential.watch` takes them.
    """
    if pairs < 1:
        return False
    split = split_alpha(pairs, False, alpha, comparisons, live_share, edition)
    by_watching = bool(e_values(np.ones(pairs))[-1] * split.live >= 1)
    # One of the comparisons must reach its part: by Holm's adjustment before any other can hold at the whole.
    return by_watching or 0.5**pairs <= split.final / comparisons + SLACK


def fewest_pairs(*, alpha: float = 0.05, live_share: float = LIVE_SHARE, edition: int = EDITION) -> int:
    """The fewest planned pairs that can end in a claim, of the winner against the baseline alone."""
    able = (n for n in itertools.count(1) if can_claim(n, alpha=alpha, live_share=live_share, edition=edition))
    return next(able)


def next_alpha(alpha: float, able: int) -> float:
    """What the next duel is held to.

    Args:
        alpha: the session's.
        able: earlier duels of the settings that could have ended in a claim.
    """
    return float(alpha / 2**able)
