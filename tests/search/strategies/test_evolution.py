"""Two objectives: what evolution spreads over, and what it makes of failures."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np

from bracket.domain import Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.search.space import effective
from bracket.search.strategies.evolution import Evolution
from tests.search.simulated import CONDITIONAL, Simulated, run, strategy

KNOBS = (Knob("x", "float", ("x",), low=0.0, high=1.0), Knob("y", "float", ("y",), low=0.0, high=1.0))
TWO = ("likeness", "adherence")


def _told(number: int, x: float, y: float, axes: dict[str, float]) -> TrialResult:
    trial = Trial(f"search-{number:03d}", Round.SEARCH, "nsga2", {"x": x, "y": y}, 0, 10, Path())
    return TrialResult(trial, Outcome.OK, score=Score(0.5, 0.5, 0.5), axes=axes)


def _searched(objectives: tuple[str, str], seed: int) -> np.ndarray:
    """The last half of sixty proposals, where likeness wants y at 0.8 and x high, adherence y at 0.8 and x low."""
    proposer = Evolution(KNOBS, seed=seed, configs=60, objectives=objectives)
    told: list[TrialResult] = []
    for number in range(60):
        config = proposer.next(number, told, [])
        assert config is not None
        x, y = float(config["x"]), float(config["y"])
        off = abs(y - 0.8)
        told.append(_told(number, x, y, {"likeness": x - off, "adherence": 1 - x - off, "nothing": 0.0}))
    return np.array([[r.trial.config["x"], r.trial.config["y"]] for r in told[30:]], dtype=float)


def test_it_closes_in_on_the_front_and_stays_spread_along_it() -> None:
    late = np.concatenate([_searched(TWO, seed) for seed in range(3)])
    # By chance |y - 0.8| has a median of 0.4 and x a standard deviation of 0.29.
    assert np.median(np.abs(late[:, 1] - 0.8)) < 0.2
    assert late[:, 0].std() > 0.2


def test_with_a_value_missing_on_an_objective_it_only_draws_by_chance() -> None:
    proposer, blind = (Evolution(KNOBS, seed=1, configs=12, objectives=TWO) for _ in range(2))
    half = [_told(n, n / 10, n / 10, {"likeness": n / 10}) for n in range(8)]
    whole = [_told(n, n / 10, n / 10, {"likeness": n / 10, "adherence": 0.5}) for n in range(8)]
    failed = [TrialResult(r.trial, Outcome.CRASHED) for r in whole]
    assert proposer.next(8, half, []) == blind.next(8, failed, [])
    seeing = Evolution(KNOBS, seed=1, configs=12, objectives=TWO)
    assert seeing.next(8, whole, []) != proposer.next(8, half, [])


def test_conditional_knobs_are_inherited_too() -> None:
    """Optuna crosses what all parents have; a knob that some of them lack must not be left to chance."""
    begun = run(partial(strategy, "nsga2", CONDITIONAL, configs=48), Simulated(), CONDITIONAL)
    assert all(effective(t.config, CONDITIONAL) == t.config for t in begun)
    rates = [math.log10(float(t.config["learning_rate"])) for t in begun[24:] if t.config["optimizer"] == "adamw"]
    # Likeness is best at 1e-3 and adherence away from it: chance would put a third below 1e-4.
    assert rates and np.isfinite(rates).all()
