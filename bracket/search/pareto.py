"""Several objectives at once: axes of the judge, higher is better. The front is what nothing else beats on all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bracket.domain import Problem, TrialResult
from bracket.search.rungs import standing
from bracket.stats.search.pareto import nondominated

OBJECTIVES = ("likeness", "adherence")
"""What `nsga2` looks for unless told otherwise."""


def aims(result: TrialResult, objectives: Sequence[str]) -> tuple[float, ...] | None:
    """A trial's values on the objectives; None when it was not judged, or not on all of them."""
    if result.score is None or not all(name in result.axes for name in objectives):
        return None
    return tuple(result.axes[name] for name in objectives)


def pareto_front(results: Sequence[TrialResult], objectives: Sequence[str]) -> list[TrialResult]:
    """The trials that no other of them dominates, best total score first. They should be of one rung: trials of
    different length are not comparable."""
    placed = [(r, values) for r in results if (values := aims(r, objectives)) is not None]
    front = [placed[i][0] for i in nondominated([values for _, values in placed])]
    return sorted(front, key=lambda r: r.score.total if r.score else 1.0)


def finalists(results: Sequence[TrialResult], n: int, objectives: Sequence[str] = ()) -> list[TrialResult]:
    """The at most `n` configs of the search that go to the finals beside the baseline: by the longest rung each was
    trained in, within one by score. With objectives a rung's front comes before the others of that rung."""
    order = standing(results)
    if objectives:
        rungs = [[r for r in order if r.trial.rung == rung] for rung in {r.trial.rung for r in order}]
        front = {r.trial.id for rung in rungs for r in pareto_front(rung, objectives)}
        order.sort(key=lambda r: (-r.trial.rung, r.trial.id not in front))
    return [r for r in order if r.trial.origin != "baseline"][:n]


def objective_problems(objectives: Sequence[str], axes: Collection[str]) -> list[Problem]:
    """What keeps a search from having these objectives.

    Args:
        axes: what the session's judge looks at; those of a panel's members are called `member.axis`.
    """
    missing = [name for name in objectives if name not in axes]
    if not missing:
        return []
    named = ", ".join(missing)
    known = f"Its axes are {', '.join(sorted(axes))}." if axes else "It has no axes of its own; choose another judge."
    return [Problem("error", f"the judge does not look at {named}, which the search has as an objective", known)]
