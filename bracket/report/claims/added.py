"""Duels of the settings that were added to a finished session: what they claim, and what the certificate holds of them.

`stats.duel.tries` says what each of them is held to, and why it counts its own pairs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bracket.report.claims.scores import Claims, Rules, claims_of
from bracket.report.summary import Addition, Pair, Summary
from bracket.stats.duel.claims import ConfigClaim
from bracket.stats.duel.verdict import Verdict, decide

Try = tuple[Mapping[str, Any], ConfigClaim | None]
"""A duel of the settings: its plan as it was written down, and what it claims; None without a pair."""


def claim_of(addition: Addition) -> ConfigClaim | None:
    """What an added duel claims so far; None without a pair."""
    return claims_of(None, addition.pairs, Rules.of(addition.plan, addition.left_out)).config


def weigh(winner: str, baseline: str, claims: Claims, additions: Sequence[Addition], **terms: Any) -> Verdict:
    """`decide`, by the newest duel of the settings that has pairs. Comparisons with others than the baseline are the
    confirmation's alone, and stay what they were there.

    Args:
        claims: of the confirmation. terms: what else `decide` takes.
    """
    first = decide(winner, baseline, **claims.arguments, **terms)
    later = [claim for addition in additions if (claim := claim_of(addition))]
    if not later:
        return first
    newest = decide(
        winner,
        baseline,
        checkpoint=claims.checkpoint,
        other_checkpoints=claims.other_checkpoints,
        config=later[-1],
        config_alpha=later[-1].alpha,
        **terms,
    )
    return replace(newest, others=first.others)


def newest_pairs(summary: Summary) -> tuple[Pair, ...]:
    """The pairs that the verdict's claim about the settings rests on."""
    return next((a.pairs for a in reversed(summary.additions) if a.pairs), summary.pairs)


def tries(summary: Summary) -> list[Try]:
    """Every duel of the settings, in their order."""
    first = [] if summary.plan is None else [Addition(summary.plan, summary.pairs, summary.left_out)]
    return [(a.plan, claim_of(a)) for a in (*first, *summary.additions)]


def p_at(summary: Summary, place: int) -> float | None:
    """The exact test's p of the duel at this place of `tries`, adjusted over the comparisons that were named with it;
    None where the test never ran."""
    _, claim = tries(summary)[place]
    if claim is None:
        return None
    others = {o.name: o.claim for o in summary.verdict.others if isinstance(o.claim, ConfigClaim) and place == 0}
    return decide("winner", "baseline", config=claim, other_configs=others, config_alpha=claim.alpha).config_p
