"""Why a session has no winner, and the best that can be said all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bracket.domain import Outcome, Round, TrialResult
from bracket.report.summary import Ranked, Summary
from bracket.report.words import counted, score

_FAILED = {
    Outcome.DIVERGED: "melted",
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.CRASHED: "crashed",
    Outcome.HUNG: "hung",
    Outcome.STOPPED: "stopped",
    Outcome.NO_SAMPLES: "left no pictures that could be judged",
}


def nothing_judged(summary: Summary) -> bool:
    """Whether trials ended and not one of them has a score."""
    found = _all(summary)
    return bool(found) and all(r.score is None for r in found)


def why_undecided(summary: Summary) -> str:
    """Why there is no winner: one to three sentences; "" while the session may still find one."""
    searched = [r for ranked in summary.rounds.get(Round.SEARCH, ()) for r in ranked.results]
    finals = summary.rounds.get(Round.FINALS, ())
    if nothing_judged(summary):
        return f"None of {counted(len(searched), 'trial')} could be judged: {_failures(searched)}."
    if finals:
        return _of_finals(finals)
    others = [r for r in searched if r.trial.origin != "baseline"]
    if searched and not others:
        return "There was a single config, the baseline, and nothing to compare it with."
    if others and all(r.score is None for r in others):
        return f"Only the baseline could be judged; of the others {_failures(others)}."
    return ""


def _of_finals(finals: Sequence[Ranked]) -> str:
    baseline = next((r for r in finals if r.origin == "baseline"), None)
    scored = [r for r in finals if r.total is not None]
    if baseline is None or baseline.total is not None or not scored:
        return ""
    best = scored[0]
    return (
        f"The baseline failed in the finals: {_failures(baseline.results)}. Nothing could be compared with it, so "
        f"nothing is proved. The best of the others is {best.label}, with a score of {score(best.total)}."
    )


def _failures(results: Sequence[TrialResult]) -> str:
    """ "4 crashed, 1 melted (the first cause)"."""
    failed = [r for r in results if r.outcome is not Outcome.OK]
    counts = Counter(_FAILED[r.outcome] for r in failed)
    cause = next((r.cause.partition("\n")[0] for r in failed if r.cause), "")
    words = ", ".join(f"{n} {what}" for what, n in counts.most_common())
    return f"{words} ({cause.rstrip('.')})" if cause else words


def _all(summary: Summary) -> list[TrialResult]:
    return [r for ranking in summary.rounds.values() for ranked in ranking for r in ranked.results]
