from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bracket.stats import Corrected, corrected_rate
from bracket.stats.people.correction import wilson
from tests.benchmarks.bench_judges import corrected, pairs

FIRST = np.arange(16)
PERSON = np.repeat([1.0, 0.0], 8)


def test_a_faultless_judge_by_hand() -> None:
    # 16 votes, half for the winner, all as the judge; of 16 other pairs the judge gives the winner 12.
    found = corrected_rate([*PERSON, *[1.0] * 12, *[0.0] * 4], PERSON, FIRST)
    # With a quarter vote a corner, 17 votes: var(Y) = var(f) = 1/4, and the off corners undo the others in the
    # covariance, 16/17 · 1/4 = 4/17. Over all pairs 20 + 1/2 ones of 33: var(f) = 20.5 · 12.5 / 33².
    rest = 20.5 * 12.5 / 33**2 / 16
    weight = (4 / 17 / 16) / (1 / 4 / 16 + rest)
    assert found.weight == pytest.approx(weight) == pytest.approx(0.48484, abs=1e-5)
    assert found.estimate == pytest.approx(0.5 + weight * (0.75 - 0.5))
    share = (1 / 64 - weight * 4 / 17 / 16) / (1 / 64) * 15 / 14
    assert found.effective_votes == pytest.approx(16 / share) == pytest.approx(27.467, abs=1e-3)
    assert (found.low, found.high) == wilson(found.estimate, found.effective_votes)
    assert (found.judge_alone, found.votes_alone, found.bias) == (20 / 32, 0.5, 0.0)
    assert (found.pairs, found.votes, found.level) == (32, 16, 0.95)
    assert Corrected.from_dict(found.as_dict()) == found


def test_wilson_by_hand() -> None:
    # z² = 3.8415: half = 1.95996 / 1.24009 · √(1/64 + 3.8415/1024).
    assert wilson(0.5, 16) == pytest.approx((0.28, 0.72), abs=1e-4)
    assert wilson(1.0, 20) == (pytest.approx(1 / (1 + 3.8415 / 20), abs=1e-5), 1.0)
    assert wilson(0.0, 20)[0] == 0.0


def test_a_constant_bias_is_taken_off() -> None:
    # The judge gives 0.2 less than the person everywhere.
    said = np.tile([0.8, 0.0], 30)
    person = np.tile([1.0, 0.2], 8)
    found = corrected_rate(said, person, FIRST)
    assert found.bias == pytest.approx(-0.2)
    assert (found.judge_alone, found.estimate) == (pytest.approx(0.4), pytest.approx(0.6))


def test_the_voted_pairs_are_those_named() -> None:
    said = np.concatenate([np.zeros(16), PERSON])
    named = corrected_rate(said, PERSON, FIRST + 16)
    assert named.bias == 0 and named.weight > 0.3 and named.estimate < 0.5
    back = corrected_rate(said[::-1], PERSON[::-1], FIRST)
    assert back.as_dict() == pytest.approx(named.as_dict())


@pytest.mark.parametrize(
    "said",
    [
        np.ones(100),
        np.concatenate([1 - PERSON, np.ones(84)]),
        PERSON,
        np.concatenate([np.tile([1.0, 0.0, 0.0, 1.0], 4), np.ones(84)]),
    ],
    ids=["says one thing", "says the opposite", "saw only these pairs", "says anything"],
)
def test_a_judge_of_no_use_leaves_the_votes_alone(said: Any) -> None:
    found = corrected_rate(said, PERSON, FIRST)
    assert (found.weight, found.estimate, found.effective_votes) == (0.0, 0.5, 16.0)
    assert (found.low, found.high) == wilson(0.5, 16)


def test_fewer_than_ten_votes_stand_alone() -> None:
    said = np.tile([1.0, 0.0], 50)
    assert corrected_rate(said, said[:9], np.arange(9)).weight == 0
    assert corrected_rate(said, said[:10], np.arange(10)).weight > 0.5
    assert corrected_rate(said, [1.0], [0]).effective_votes == 1


def test_ties_make_votes_worth_more() -> None:
    # Four wins, four losses, eight ties vary half as much as 16 untied votes; (1.95996 / 2.13145)² for estimating it.
    found = corrected_rate([0.5] * 16, [1.0] * 4 + [0.0] * 4 + [0.5] * 8, FIRST)
    assert found.effective_votes == pytest.approx(32 * (1.95996 / 2.13145) ** 2, rel=1e-4)
    assert corrected_rate([0.5] * 16, [0.5] * 16, FIRST).effective_votes == 16
    # One tie saves less than estimating its part costs; no vote is worth less than one.
    assert corrected_rate([0.5] * 16, [1.0] * 8 + [0.0] * 7 + [0.5], FIRST).effective_votes == 16


def test_never_worse_than_the_votes_alone_and_never_outside() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        said, person = pairs(rng, 60, rng.choice([0.05, 0.5, 0.97]), rng.uniform(0.3, 1), rng.uniform(-0.5, 0.5))
        found = corrected_rate(said, person[:20], np.arange(20))
        assert found.effective_votes >= 20 and 0 <= found.weight <= 1
        assert 0 <= found.low <= found.estimate <= found.high <= 1


@pytest.mark.parametrize(("rate", "accuracy", "bias"), [(0.6, 0.6, 0.0), (0.75, 0.75, 0.3), (0.5, 0.85, -0.3)])
def test_the_interval_covers(rate: float, accuracy: float, bias: float) -> None:
    cover, width = corrected(np.random.default_rng(1), 300, (30, 120), rate, (accuracy, bias))
    assert 0.915 <= cover <= 0.985 and width <= 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 40), (40, 100), (60, 400)])
@pytest.mark.parametrize("judge", [(0.5, 0.0), (0.75, 0.3), (0.85, 0.0), (0.85, -0.3)])
@pytest.mark.parametrize("rate", [0.5, 0.75])
def test_the_interval_covers_in_2000_simulations(
    size: tuple[int, int], judge: tuple[float, float], rate: float
) -> None:
    cover, _ = corrected(np.random.default_rng(2), 2_000, size, rate, judge)
    assert 0.93 <= cover <= 0.97


def test_a_better_judge_makes_votes_worth_more() -> None:
    widths = [corrected(np.random.default_rng(0), 100, (40, 400), 0.6, (a, 0.0))[1] for a in (0.5, 0.75, 0.9)]
    assert widths[0] > 0.97 and widths[1] < 0.95 and widths[2] < 0.75


@pytest.mark.parametrize(
    ("judged", "votes", "voted", "message"),
    [
        ([1, 0], [], [], "non-empty"),
        ([1, 2], [1], [0], "between 0 and 1"),
        ([1, 0], [-1], [0], "between 0 and 1"),
        ([1, math.inf], [1], [0], "not finite"),
        ([1, 0], [1], [2], "different and lie in 0..1"),
        ([1, 0], [1], [-1], "different and lie in 0..1"),
        ([1, 0], [1, 1], [0, 0], "different and lie in 0..1"),
        ([1, 0], [1], [0.0], "indices of pairs"),
        ([1, 0], [1], [0, 1], "indices of pairs"),
        ([[1, 0]], [1], [0], "1 dimension"),
    ],
)
def test_what_does_not_fit_is_refused(judged: Any, votes: Any, voted: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrected_rate(judged, votes, voted)
