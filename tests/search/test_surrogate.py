"""Proposals by a Gaussian process: what it makes of few trials, of melted ones and of knobs that don't always count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.search import surrogate
from bracket.search.sampling import Proposer
from bracket.search.space import effective, random_config
from bracket.search.surrogate import Surrogate
from tests.search.simulated import CONDITIONAL, PLAIN

RATE = (Knob("learning_rate", "float", ("lr",), low=1e-5, high=1e-1, log=True),)


def _told(number: int, config: Config, total: float | None) -> TrialResult:
    trial = Trial(f"search-{number:03d}", Round.SEARCH, "tournament", config, 0, 10, Path())
    if total is None:
        return TrialResult(trial, Outcome.DIVERGED)
    return TrialResult(trial, Outcome.OK, score=Score(total, total, total))


def _search(proposer: Proposer, count: int, melts: float = 1.0) -> list[float]:
    """The logarithms of the rates it proposes where 1e-3 is best and rates above `melts` melt."""
    told: list[TrialResult] = []
    for number in range(count):
        config = proposer.next(number, told, [])
        assert config is not None
        rate = float(config["learning_rate"])
        told.append(_told(number, config, None if rate > melts else 0.2 + abs(math.log10(rate) + 3) / 5))
    return [math.log10(float(r.trial.config["learning_rate"])) for r in told]


def test_it_comes_nearer_to_the_best_than_chance_and_than_tpe() -> None:
    def off(proposers: list[Proposer]) -> float:
        return float(np.median([min(abs(rate + 3) for rate in _search(p, 12)) for p in proposers]))

    by_process = off([Surrogate(RATE, seed=s, configs=12) for s in range(5)])
    by_tpe = off([Proposer("tpe", RATE, seed=s, configs=12) for s in range(5)])
    by_chance = off([Proposer("random", RATE, seed=s, configs=12) for s in range(5)])
    assert by_process < by_tpe < by_chance and by_process < 0.05


def test_it_keeps_away_from_where_settings_melt() -> None:
    late = [rate for seed in range(3) for rate in _search(Surrogate(RATE, seed=seed, configs=12), 12, melts=2e-3)[4:]]
    assert np.mean(np.array(late) > math.log10(2e-3)) < 0.3, "more than a third of the range melts"


def test_knobs_that_do_not_count_everywhere_are_learnt_too() -> None:
    rng = np.random.default_rng(0)
    told: list[TrialResult] = []
    proposer = Surrogate(CONDITIONAL, seed=0, configs=24)
    for number in range(24):
        config = proposer.next(number, told, []) if number > 8 else random_config(CONDITIONAL, rng)
        assert config is not None and effective(config, CONDITIONAL) == config
        warm = abs(float(config["warmup"]) - 80) / 100 if "warmup" in config else 1.0
        told.append(_told(number, config, warm))
    late = [r.trial.config for r in told[16:]]
    assert np.mean([c["scheduler"] == "cosine" for c in late]) > 0.6
    assert np.median([abs(float(c["warmup"]) - 80) for c in late if "warmup" in c]) < 15


def test_what_trains_is_not_proposed_again_beside_it() -> None:
    told = [_told(n, {"learning_rate": 10.0**rate}, abs(rate + 3)) for n, rate in enumerate((-5, -4.2, -3.4, -2, -1))]
    alone = Surrogate(RATE, seed=0, configs=12)
    first = alone.next(5, told, [])
    assert first is not None
    beside = Trial("search-005", Round.SEARCH, "tournament", first, 0, 10, Path())
    second = alone.next(6, told, [beside])
    assert second is not None
    gap = abs(math.log10(float(second["learning_rate"])) - math.log10(float(first["learning_rate"])))
    assert gap > 0.05
    assert alone.next(6, told, [], [first]) not in (None, first), "nor in the same batch"


def test_a_long_search_goes_on_with_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogate, "MOST", 8)
    rng = np.random.default_rng(1)
    told = [_told(n, random_config(PLAIN, rng), float(rng.random())) for n in range(9)]
    made, tpe = Surrogate(PLAIN, seed=3, configs=12), Proposer("tpe", PLAIN, seed=3, configs=12)
    assert made.next(9, told, []) == tpe.next(9, told, [])
    assert made.next(8, told[:8], []) != tpe.next(8, told[:8], [])


def test_a_fit_that_breaks_down_leaves_the_proposal_to_tpe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> object:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr("bracket.stats.search.process.fit", breaks)
    told = [_told(n, {"learning_rate": 10.0**-n}, 0.5) for n in range(2, 6)]
    tpe = Proposer("tpe", RATE, seed=0, configs=12)
    assert Surrogate(RATE, seed=0, configs=12).next(4, told, []) == tpe.next(4, told, [])
    assert "so TPE proposes config 4: not positive definite" in caplog.text


def test_scores_that_move_with_their_round_are_told_anew() -> None:
    rng = np.random.default_rng(1)
    configs = [random_config(PLAIN, rng) for _ in range(12)]
    before, after = ([_told(n, config, float(rng.random())) for n, config in enumerate(configs)] for _ in range(2))
    asked_before, fresh = (Proposer("tpe", PLAIN, seed=3, configs=12) for _ in range(2))
    asked_before.next(10, before[:10], [])
    assert asked_before.next(12, after, []) == fresh.next(12, after, [])


def test_only_the_order_of_scores_counts() -> None:
    rng = np.random.default_rng(2)
    configs, totals = [random_config(PLAIN, rng) for _ in range(12)], rng.random(12)
    asked = [
        Surrogate(PLAIN, seed=3, configs=24).next(12, [_told(n, c, t) for n, (c, t) in enumerate(told)], [])
        for told in (list(zip(configs, totals, strict=True)), list(zip(configs, np.exp(9 * totals), strict=True)))
    ]
    assert asked[0] == asked[1]
