from __future__ import annotations

from pathlib import Path

from bracket.domain import Outcome, Round, Score, Trial, TrialResult
from bracket.stats.search.rungs import longest_rung, melted


def _result(
    rate: float, steps: int, total: float | None, *, seed: int = 1, origin: str = "tpe", loss: float | None = 0.4,
    outcome: Outcome = Outcome.OK,
) -> TrialResult:  # fmt: skip
    trial = Trial("search-000", Round.SEARCH, origin, {"lr": rate}, seed, steps, Path("none"))
    score = None if total is None else Score(total, 0.5, total)
    return TrialResult(trial, outcome, score=score, validation_loss=loss)


def test_the_longest_length_with_enough_configs_is_looked_at_alone() -> None:
    short = [_result(i + 1, 100, 0.9 - i / 100) for i in range(9)]
    middle = [_result(i + 1, 200, 0.5) for i in range(6)]
    long = [_result(i + 1, 400, 0.2) for i in range(2)]
    rung = longest_rung([*short, *middle, *long])
    assert (rung.steps, len(rung.tried), rung.others) == (200, 6, (100, 400))
    assert {one.total for one in rung.tried} == {0.5}


def test_without_enough_the_fullest_length_is_taken_and_the_longer_of_equals() -> None:
    results = [_result(i + 1, steps, 0.5) for steps, n in ((100, 3), (200, 3), (400, 1)) for i in range(n)]
    assert longest_rung(results).steps == 200
    assert longest_rung([]).tried == () == longest_rung([_result(1, 100, None)]).tried


def test_a_configs_seeds_are_averaged() -> None:
    results = [_result(1, 100, 0.2, seed=1), _result(1, 100, 0.4, seed=2, origin="baseline", loss=None)]
    (one,) = longest_rung(results).tried
    assert (round(one.total, 9), one.origin, one.validation_loss) == (0.3, "baseline", None)


def test_what_melted_at_any_length_melted_once_and_a_crash_says_nothing() -> None:
    results = [
        _result(1, 100, 0.3), _result(1, 200, None, outcome=Outcome.DIVERGED), _result(2, 100, 0.3),
        _result(3, 100, None, outcome=Outcome.OUT_OF_MEMORY), _result(4, 100, None, outcome=Outcome.DIVERGED),
    ]  # fmt: skip
    assert melted(results) == [({"lr": 1}, True), ({"lr": 2}, False), ({"lr": 4}, True)]
