"""What a try is held to, so that trying again can't make up for itself.

Whoever found nothing may ask again: a session on the same data with another seed, or more pairs for one that ended.
The decision to go on depends on what was seen before, so to pool the differences would test the same ones once more,
with a second chance for chance. Therefore every try is a duel of its own: fresh seeds only, a plan of its own, fixed
and hashed before its first training, and a test that sees its own units alone.

Whatever was seen before, such a duel between equals then ends in a false claim with a probability of at most its own
alpha, and by the union bound all tries together err at most the sum of theirs. The first has 0.8 of alpha, the second a
tenth, every further one half of the last: 0.8 + 0.1 + 0.05 + … = 1, so that all together keep to alpha however long
somebody goes on. One that could not have ended in a claim, because too few units were planned, spent nothing. How many
units the next one gets may depend on everything seen so far.

The first try's 0.04 of 0.05 still lets five pairs of five claim (1/32), so a first session finds nearly what it would
with all of alpha. Pooling the pairs of all tries in one e-process, with the fifth of alpha that the series keeps for
later ones, found less than fresh pairs do in 8 of 9 cases (5 pairs and then 8 to 12, leads of 0.6 to 1.5 sd).
"""

from __future__ import annotations

import itertools

from bracket.stats.duel.sequential import EDITION, LIVE_SHARE, SLACK, largest_e_value, split_alpha

FIRST, LATER = 0.8, 0.2
"""Shares of alpha: of the first try, and of all later ones together."""
SERIES = 3
"""The edition of the rules from which on all tries together keep to alpha."""
MOST_ALPHA = 0.1
"""What a session may be held to at most: more than one false claim in ten is no evidence."""


def can_claim(
    units: int,
    *,
    two_sided: bool = False,
    alpha: float = 0.05,
    comparisons: int = 1,
    live_share: float = LIVE_SHARE,
    edition: int = EDITION,
) -> bool:
    """Whether a duel of so many planned units can end in a claim for the winner: it does if the winner leads in all.

    Args:
        two_sided, alpha, comparisons, live_share, edition: as `sequential.watch` takes them.
    """
    if units < 1:
        return False
    split = split_alpha(units, two_sided, alpha, comparisons, live_share, edition)
    by_watching = largest_e_value(units) * split.live >= 1
    # One of the comparisons must reach its part: by Holm's adjustment before any other can hold at the whole.
    return by_watching or (2 if two_sided else 1) * 0.5**units <= split.final / comparisons + SLACK


def fewest_pairs(*, alpha: float = 0.05, live_share: float = LIVE_SHARE, edition: int = EDITION) -> int:
    """The fewest planned pairs that can end in a claim, of the winner against the baseline alone."""
    able = (n for n in itertools.count(1) if can_claim(n, alpha=alpha, live_share=live_share, edition=edition))
    return next(able)


def next_alpha(alpha: float, able: int, edition: int = EDITION) -> float:
    """What the next try is held to.

    Args:
        alpha: of all tries together.
        able: earlier ones that could have ended in a claim.
        edition: of the rules. By the first two the first try had all of alpha, and each further one half of the last:
            together they erred at most twice as often.
    """
    if edition < SERIES:
        return float(alpha / 2**able)
    return float(f"{alpha * (LATER * 0.5**able if able else FIRST):.12g}")
