"""Trainings of the duel of the settings that melted or were lost: a result of their own, and what a claim owes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bracket.domain import Outcome
from bracket.report.claims.evidence import plan_of, runs_of
from bracket.report.claims.scores import Rules
from bracket.report.summary import Pair, Summary
from bracket.report.words import counted
from bracket.stats.duel.sequential import conclusion
from bracket.stats.duel.verdict import Verdict

_ENDS = {
    Outcome.DIVERGED: "melted",
    Outcome.CRASHED: "crashed",
    Outcome.HUNG: "hung",
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.NO_SAMPLES: "without pictures that could be judged",
}


def ends_of(summary: Summary, pairs: Sequence[Pair]) -> str:
    """How often winner's and baseline's trainings of these pairs ended badly, "" where none did."""
    found: dict[str, Counter[str]] = {"winner": Counter(), "baseline": Counter()}
    for pair in pairs:
        for side, run in runs_of(summary, pair.seed).items():
            if side in found and run.outcome in _ENDS:
                found[side][_ENDS[run.outcome]] += 1
    told = (", ".join(f"{n} of {len(pairs)} {end}" for end, n in ends.items()) for ends in found.values())
    said = [f"{side}: {words or f'none of {len(pairs)}'}" for side, words in zip(found, told, strict=True)]
    return "; ".join(said) if any(found.values()) else ""


def sensitivity(summary: Summary, verdict: Verdict, pairs: Sequence[Pair]) -> str:
    """Whether the claim stands if what was lost counts as badly for its side as it can; "" where nothing was lost."""
    lost, claim = [pair for pair in pairs if pair.lost], verdict.config
    if not lost or claim is None or claim.watched is None or verdict.about != "config":
        return ""
    side = 1 if claim.mean_difference > 0 else -1
    worst = [_against(pair, side) for pair in pairs]
    rules = Rules.of(plan_of(summary))
    terms = {"two_sided": False, **rules.terms, "alpha": claim.alpha, "comparisons": claim.watched.comparisons}
    holds = conclusion(worst, planned=claim.watched.planned, **terms) == side
    return (
        f"{counted(len(lost), 'pair')} had a training that was lost, which counts as 0. If each of these counts as "
        f"badly for the claim as it can, it {'holds still' if holds else 'no longer holds'}."
    )


def _against(pair: Pair, side: int) -> float:
    """The winner's lead where what was lost counts against the side that the claim is for: its own as the worst and the
    other's as the best."""
    scores = {"winner": pair.winner, "baseline": pair.baseline}
    for name in set(pair.lost) & set(scores):
        scores[name] = 0.0 if (name == "winner") == (side > 0) else 1.0
    return scores["winner"] - scores["baseline"]
