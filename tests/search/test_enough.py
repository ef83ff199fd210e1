"""When the search may end: on functions whose best is known, and as a pure function of what was told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult
from bracket.search.enough import Enough, encoded, expected_gain
from bracket.search.rungs import Rung
from bracket.search.strategies.protocol import make_strategy

LR = Knob("learning_rate", "float", low=1e-5, high=1e-1, log=True)
RANK = Knob("rank", "choice", choices=(2, 4, 8, 16))
NAMES = Knob("optimizer", "choice", choices=("adamw", "prodigy", "adafactor"))


def bowl(config: Config) -> float:
    """Best at 1e-3: 0.2; 0.6 far away."""
    return 0.6 - 0.4 * math.exp(-((math.log10(float(config["learning_rate"])) + 3) ** 2) / 1.2)


def flat(config: Config) -> float:
    return 0.4


def result(number: int, config: Config, score: float | None, outcome: Outcome = Outcome.OK) -> TrialResult:
    name = f"search-{number:03d}"
    trial = Trial(name, Round.SEARCH, "tpe", config, 0, 100, Path(name))
    return TrialResult(trial, outcome, score=None if score is None else Score(score, score, score))


def spread_out(f: Callable[[Config], float], count: int, low: float = -5, high: float = -1) -> list[TrialResult]:
    """Trials evenly spaced in the logarithm of the learning rate, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.003, count)
    configs = [{"learning_rate": 10.0**e} for e in np.linspace(low, high, count)]
    return [result(i, c, f(c) + noise[i]) for i, c in enumerate(configs)]


def test_nothing_is_said_of_too_few() -> None:
    told = spread_out(bowl, 10)
    assert expected_gain([LR], told[:7], 5) is None
    assert expected_gain([LR, RANK, NAMES], [*told[:8]], 5) is None, "three trials a knob"
    assert Enough([LR], configs=20, below=1.0).look(told, 10) is None, "four estimates are wanted"


def test_a_bowl_that_was_searched_all_over_has_little_left() -> None:
    gain = expected_gain([LR], spread_out(bowl, 13), 10)
    assert gain is not None and gain < 0.02


def test_where_scores_still_fall_there_is_more_to_gain() -> None:
    left_half = spread_out(bowl, 13, low=-5, high=-4)
    gain = expected_gain([LR], left_half, 10)
    assert gain is not None and gain > 0.05, "it gets better towards the unknown"


def test_one_more_gains_no_more_than_ten() -> None:
    told = spread_out(bowl, 13, high=-3.5)
    one, ten = expected_gain([LR], told, 1), expected_gain([LR], told, 10)
    assert one is not None and ten is not None and one <= ten


def test_a_space_used_up_has_nothing_left() -> None:
    told = [result(i, {"rank": r}, 0.3 + 0.01 * i) for i, r in enumerate((2, 4, 8, 16) * 3)]
    assert expected_gain([RANK], told, 5) == 0.0


def test_melted_settings_count_as_bad_and_crashes_as_nothing() -> None:
    told = spread_out(bowl, 9, high=-3.5)
    melted = [
        result(20 + i, {"learning_rate": 10.0**e}, None, Outcome.DIVERGED) for i, e in enumerate((-3.2, -2.5, -2))
    ]
    crashed = [result(30, {"learning_rate": 0.05}, None, Outcome.CRASHED)]
    open_end, knee = expected_gain([LR], told, 10), expected_gain([LR], [*told, *melted], 10)
    assert open_end is not None and knee is not None and knee < open_end
    assert expected_gain([LR], [*told, *crashed], 10) == pytest.approx(open_end)


def test_configs_are_points_of_the_cube() -> None:
    rank8 = math.log(8 / 2) / math.log(16 / 2)
    config = {"learning_rate": 1e-3, "rank": 8, "optimizer": "prodigy"}
    assert encoded(config, [LR, RANK, NAMES]) == pytest.approx([0.5, rank8, 0.0, 1.0, 0.0])
    single = Knob("batch", "choice", choices=(4,))
    only = Knob("decay", "float", low=0.0, high=1.0, when={"optimizer": ("adamw",)})
    assert encoded({**config, "batch": 4}, [NAMES, single, only]) == [0.0, 1.0, 0.0, 0.5]


def test_below_zero_never_stops() -> None:
    assert not Enough([LR], configs=40, below=0.0)(spread_out(flat, 16), 16)
    assert Enough([LR], configs=40, below=0.05)(spread_out(flat, 16), 16)


def test_it_is_a_pure_function_of_what_was_told() -> None:
    told = spread_out(bowl, 16)
    asked = Enough([LR], configs=24, below=0.02)
    grown = [asked.look(told[:n], n) for n in range(17)]
    assert grown[16] == Enough([LR], configs=24, below=0.02).look(told, 16)
    late = [*told[:9], *told[10:]]
    asked.look(late, 16)
    assert asked.look(told, 16) == grown[16], "a trial that ends late changes what came after it"


def simulated(
    f: Callable[[Config], float], knobs: Sequence[Knob], seed: int, configs: int, below: float
) -> list[float]:
    """True scores of the configs that a TPE search tries until it stops."""
    enough = Enough(knobs, configs=configs, below=below)
    base = {"learning_rate": 1e-4, "rank": 8}
    strategy = make_strategy(
        "tpe",
        rungs=(Rung(configs, 100),),
        knobs=knobs,
        baseline={k.name: base[k.name] for k in knobs},
        curated=[],
        seed=seed,
        training_seed=0,
        enough=enough,
    )
    noise, told = np.random.default_rng(seed), list[TrialResult]()
    while wanted := strategy.propose(told, [], 1):
        config = wanted[0].config
        told.append(result(len(told), config, f(config) + noise.normal(0, 0.005)))
    return [f(r.trial.config) for r in told]


@pytest.mark.slow
def test_a_search_stops_after_it_found_the_region() -> None:
    def two(config: Config) -> float:
        return bowl(config) + 0.02 * abs(math.log2(float(config["rank"])) - 3)

    tried = [simulated(two, [LR, RANK], seed, 24, 0.01) for seed in range(4)]
    assert sum(len(t) < 24 for t in tried) >= 2, "it does stop early"
    assert sum(min(t) > 0.2 + 0.03 for t in tried) == 0, "and never before the best region was found"


def test_a_flat_search_stops_as_soon_as_it_may() -> None:
    assert len(simulated(flat, [LR], 1, 30, 0.02)) < 20
