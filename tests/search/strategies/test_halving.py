"""Who goes on: hand-worked, and as Optuna's own loop decides it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import optuna
import pytest

from bracket.domain import Outcome, Round, Score, Trial, TrialResult
from bracket.errors import SettingsError
from bracket.search.rungs import Rung
from bracket.search.strategies.halving import Competition, expected
from bracket.search.strategies.protocol import rungs_of, whole_reduction
from tests.search.simulated import Simulated, strategy

MELTED, CRASHED = math.inf, math.nan


def _trial(number: int, rung: int = 0) -> Trial:
    name = f"search-{rung + 1}-{number:03d}" if rung else f"search-{number:03d}"
    return Trial(name, Round.SEARCH, "asha", {"x": number}, 0, 2**rung, Path(name), rung=rung)


def _result(trial: Trial, value: float) -> TrialResult:
    if math.isfinite(value):
        return TrialResult(trial, Outcome.OK, score=Score(value, value, value))
    return TrialResult(trial, Outcome.DIVERGED if value == MELTED else Outcome.CRASHED)


def _through(*values: float | None, name: str = "asha") -> list[int]:
    """Numbers of those that go on from the first rung, by its scores in the order they began; None still runs."""
    told = [_result(_trial(n), v) for n, v in enumerate(values) if v is not None]
    open_ = [_trial(n) for n, v in enumerate(values) if v is None]
    found = Competition(name, rungs=3, reduction=2, seed=0).through(told, open_)
    return sorted(int(trial.rsplit("-", 1)[1]) for trial in found)


def test_a_result_goes_on_when_it_is_in_the_better_half_of_those_before_it() -> None:
    # Places of the newcomer among n, the better n // 2 (at least one) go on:
    # 0.5 is 1st of 1, 0.4 1st of 2, 0.6 3rd of 3, 0.3 1st of 4, 0.45 3rd of 5, 0.35 2nd of 6.
    assert _through(0.5, 0.4, 0.6, 0.3, 0.45, 0.35) == [0, 1, 3, 5]


def test_what_melts_is_the_worst_there_is_and_what_crashes_does_not_count() -> None:
    # 0.55 is 2nd of 4 with the melted one, which makes two go on, and 2nd of 3 without the crashed one.
    assert _through(0.5, MELTED, 0.6, 0.55) == [0, 3]
    assert _through(0.5, CRASHED, 0.6, 0.55) == [0]
    assert _through(MELTED, MELTED) == []


def test_who_ends_late_counts_where_it_began() -> None:
    # 0.45 is 1st of 2 while the second runs; once that has 0.4, it is 2nd of 3.
    assert _through(0.5, None, 0.45) == [0, 2]
    assert _through(0.5, 0.4, 0.45) == [0, 1]


def test_one_competition_sees_what_a_new_one_does_whatever_order_things_end_in() -> None:
    values = [0.5, 0.4, 0.6, 0.3, 0.45, 0.35, 0.2]
    late = Competition("hyperband", rungs=3, reduction=2, seed=1)
    for ended in ([2], [2, 0], [2, 0, 3], [2, 0, 3, 1, 6], [2, 0, 3, 1, 6, 5, 4]):
        told = [_result(_trial(n), values[n]) for n in sorted(ended)]
        told += [_result(_trial(n, 1), values[n] / 2) for n in sorted(ended)[1:]]
        open_ = [_trial(n) for n in range(7) if n not in ended]
        anew = Competition("hyperband", rungs=3, reduction=2, seed=1)
        assert late.through(told, open_) == anew.through(told, open_)


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_it_decides_as_optunas_own_loop_does(name: str) -> None:
    rungs, seed = 4, 3
    competition = Competition(name, rungs=rungs, reduction=2, seed=seed)
    pruner = competition._pruner()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=f"{name}-{seed}", pruner=pruner)
    reached: list[int] = []

    def value(number: int, rung: int) -> float:
        return (number * 37 % 41) / 41 + (number * 11 % 13) / 40 / (rung + 1)

    def objective(trial: optuna.Trial) -> float:
        for rung in range(rungs):
            trial.report(value(trial.number, rung), 2**rung)
            if rung == rungs - 1 or trial.should_prune():
                reached.append(rung)
                break
        return 0.0

    study.optimize(objective, n_trials=40)
    told: list[TrialResult] = []
    numbers = range(40)
    for rung in range(rungs):
        assert [n for n, last in enumerate(reached) if last >= rung] == list(numbers)
        told += [_result(_trial(n, rung), value(n, rung)) for n in numbers]
        through = competition.through(told, [])
        numbers = [n for n in numbers if _trial(n, rung).id in through]


def test_about_how_many_reach_each_rung() -> None:
    rungs = (Rung(21, 25), Rung(11, 50), Rung(6, 100))
    assert [r.configs for r in expected("asha", rungs, 2)] == [21, 11, 6]
    # Brackets have 4, 3 and 3 of ten configs: 0.4/2 + 0.6 reach the second rung, 0.4/4 + 0.3/2 + 0.3 the third.
    assert [r.configs for r in expected("hyperband", rungs, 2)] == [21, 17, 12]
    assert [r.about for r in expected("asha", rungs, 2)] == [False, True, True]


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_as_many_go_on_as_planned_where_no_config_is_better_for_being_later(name: str) -> None:
    rng, numbers, told = np.random.default_rng(0), list(range(200)), list[TrialResult]()
    competition = Competition(name, rungs=3, reduction=2, seed=0)
    for planned in expected(name, [Rung(201, 25), Rung(101, 50), Rung(51, 100)], 2):
        assert len(numbers) + 1 == pytest.approx(planned.configs, rel=0.15)
        here = [_result(_trial(n, rung=len({r.trial.rung for r in told})), rng.random()) for n in numbers]
        told += here
        through = competition.through(told, [])
        numbers = [n for n, r in zip(numbers, here, strict=True) if r.trial.id in through]


def test_free_workers_always_get_something_while_configs_are_left() -> None:
    made, ledger = strategy("asha"), Simulated()
    wanted = made.propose([], [], 20)
    assert len(wanted) == 9, "all at once, where there is room"
    for one in wanted[:4]:
        ledger.begin(one, ())
    assert len(made.propose([], ledger.open_trials(Round.SEARCH), 2)) == 2


def test_nobody_passes_the_baseline() -> None:
    made, ledger = strategy("asha"), Simulated()
    first, *others = [ledger.begin(w, ()) for w in made.propose([], [], 9)]
    for trial in others:
        ledger.finish(_result(trial, 0.5))
    assert made.propose(ledger.results(Round.SEARCH), ledger.open_trials(Round.SEARCH), 4) == []
    ledger.finish(_result(first, 0.9))
    wanted = made.propose(ledger.results(Round.SEARCH), [], 3)
    assert [(w.origin == "baseline", w.rung, w.continues) for w in wanted[:2]] == [
        (True, 1, first.id), (False, 1, others[0].id),
    ]  # fmt: skip


def test_a_reduction_that_is_no_whole_number_is_refused() -> None:
    assert whole_reduction(3.0) == 3
    for reduction in (1.5, 2.5):
        with pytest.raises(SettingsError, match="whole number"):
            rungs_of("asha", configs=8, steps=100, rounds=3, reduction=reduction, finalists=2)
