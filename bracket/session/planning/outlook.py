"""When the search may end early, and what is said of it: in the log, while it runs, and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from bracket.domain import Trial, TrialResult
from bracket.report.words import counted, judged
from bracket.search.enough import Enough, Outlook
from bracket.session.job import Context


def enough_of(context: Context) -> Enough:
    """What decides whether the first rung may end."""
    s = context.settings
    return Enough(context.knobs, configs=s.search_rungs()[0].configs, below=s.search.stop_below)


def ahead(enough: Enough, told: Sequence[TrialResult], open_: Sequence[Trial]) -> str:
    """What the rest of the first rung promises, or that it has ended early; "" when that can't be said or nothing is
    left.

    Args:
        told, open_: the search's trials that ended and that run.
    """
    first = [r for r in told if r.trial.rung == 0]
    begun = len(first) + sum(t.rung == 0 for t in open_)
    outlook = enough.look(first, begun)
    if outlook is None or not outlook.left:
        return ""
    if enough(first, begun):
        return _stopped(outlook)
    rest = "next config is" if outlook.left == 1 else f"next {outlook.left} configs are"
    return f"The {rest} expected to gain {_amount(outlook.gain)} at most"


def ended_early(context: Context, searched: Sequence[TrialResult]) -> str:
    """That the search ended before it had tried all configs, and why; "" if it did not.

    Args:
        searched: every ended trial of the search.
    """
    if context.settings.search.stop_below <= 0:
        return ""
    enough, first = enough_of(context), [r for r in searched if r.trial.rung == 0]
    outlook = enough.look(first, len(first)) if enough(first, len(first)) else None
    return _stopped(outlook) if outlook and outlook.left else ""


def _stopped(outlook: Outlook) -> str:
    return (
        f"The search stopped after {outlook.begun} of {counted(outlook.begun + outlook.left, 'config')}: the other "
        f"{outlook.left} were expected to improve the best score by {_amount(outlook.gain)} at most"
    )


def _amount(gain: float) -> str:
    return f"{judged(gain)} points" if gain >= 0.0005 else "less than 0.1 points"
