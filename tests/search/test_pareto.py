"""Fronts, hand-worked, and who goes to the finals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bracket.domain import Outcome, Round, Score, Trial, TrialResult
from bracket.search.pareto import finalists, objective_problems, pareto_front
from bracket.stats.search.pareto import nondominated

TWO = ("likeness", "adherence")


def _result(
    name: str, total: float | None, axes: Mapping[str, float], rung: int = 0, origin: str = "nsga2"
) -> TrialResult:
    trial = Trial(f"{name}-{rung}", Round.SEARCH, origin, {"name": name}, 0, 10, Path(name), rung=rung)
    score = None if total is None else Score(total, total, total)
    return TrialResult(trial, Outcome.DIVERGED if total is None else Outcome.OK, score=score, axes=axes)


def _at(name: str, total: float, likeness: float, adherence: float, rung: int = 0) -> TrialResult:
    return _result(name, total, {"likeness": likeness, "adherence": adherence}, rung)


def _names(results: list[TrialResult]) -> list[str]:
    return [str(r.trial.config["name"]) for r in results]


def test_a_point_is_dominated_by_one_that_is_nowhere_lower_and_somewhere_higher() -> None:
    # (0.5, 0.5) is beaten by (0.6, 0.5); (0.6, 0.5) stands beside (0.4, 0.9) and (0.9, 0.1); equals both stay.
    assert nondominated([(0.5, 0.5), (0.6, 0.5), (0.4, 0.9), (0.9, 0.1), (0.9, 0.1)]) == [1, 2, 3, 4]
    assert nondominated([]) == []
    assert nondominated([(1.0, 1.0, 0.0), (1.0, 1.0, 1.0)]) == [1]


def test_the_front_has_the_best_score_first_and_leaves_out_what_was_not_judged_on_both() -> None:
    results = [
        _at("kind", 0.4, 0.9, 0.2),
        _at("true", 0.3, 0.3, 0.9),
        _at("dull", 0.2, 0.3, 0.2),
        _result("half", 0.1, {"likeness": 1.0}),
        _result("melted", None, {}),
    ]
    assert _names(pareto_front(results, TWO)) == ["true", "kind"]


def test_the_front_goes_to_the_finals_first_then_others_by_score() -> None:
    results = [
        _result("base", 0.1, {"likeness": 0.1, "adherence": 0.1}, origin="baseline"),
        _at("dull", 0.2, 0.3, 0.2),
        _at("duller", 0.25, 0.2, 0.2),
        _at("true", 0.3, 0.3, 0.9),
        _at("kind", 0.4, 0.9, 0.2),
    ]
    assert _names(finalists(results, 3, TWO)) == ["true", "kind", "dull"]
    assert _names(finalists(results, 3)) == ["dull", "duller", "true"]
    assert _names(finalists(results, 1, TWO)) == ["true"]


def test_a_longer_rung_comes_before_a_shorter_ones_front() -> None:
    results = [_at("true", 0.1, 0.3, 0.9), _at("long", 0.5, 0.2, 0.2), _at("long", 0.6, 0.1, 0.1, rung=1)]
    assert _names(finalists(results, 2, TWO)) == ["long", "true"]


def test_an_objective_that_the_judge_does_not_look_at_is_named() -> None:
    assert objective_problems(TWO, ("adherence", "diversity", "likeness")) == []
    (problem,) = objective_problems(("clip.likeness", "beauty"), ("clip.likeness", "clip.adherence"))
    assert problem.level == "error"
    assert "look at beauty" in problem.message and "clip.adherence, clip.likeness" in problem.remedy
    (problem,) = objective_problems(TWO, ())
    assert "no axes" in problem.remedy
