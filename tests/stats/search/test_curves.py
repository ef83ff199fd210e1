from __future__ import annotations

import json

import numpy as np
import pytest

from bracket.stats import Curve, Knee, failure_knee, lr_curve


def _truth(x: np.ndarray) -> np.ndarray:
    curve: np.ndarray = 0.2 + 0.5 * (np.log10(x) + 4) ** 2
    return curve


def test_the_curve_finds_the_valley() -> None:
    rng = np.random.default_rng(0)
    lrs = 10 ** rng.uniform(-5, -3, 16)
    curve = lr_curve(lrs, _truth(lrs) + rng.normal(0, 0.03, 16))
    assert curve is not None
    assert curve.x[0] == pytest.approx(lrs.min()) and curve.x[-1] == pytest.approx(lrs.max())
    assert 0.5e-4 < curve.best_x < 2e-4
    assert curve.best_low <= curve.best_x <= curve.best_high
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))
    assert Curve.from_dict(json.loads(json.dumps(curve.as_dict()))) == curve


@pytest.mark.slow
def test_the_band_covers_the_true_curve() -> None:
    rng = np.random.default_rng(1)
    covered, best = [], []
    for _ in range(200):
        lrs = 10 ** rng.uniform(-5, -3, int(rng.integers(8, 20)))
        curve = lr_curve(lrs, _truth(lrs) + rng.normal(0, 0.05, lrs.size))
        assert curve is not None
        truth = _truth(np.array(curve.x))
        covered.append(np.mean((np.array(curve.low) <= truth) & (truth <= np.array(curve.high))))
        best.append(curve.best_low <= 1e-4 <= curve.best_high)
    assert 0.92 <= np.mean(covered) <= 0.99
    assert np.mean(best) >= 0.95


def test_the_band_widens_away_from_trials() -> None:
    lrs = np.array([1e-5, 1.2e-5, 1.5e-5, 9e-4, 1e-3])
    curve = lr_curve(lrs, [0.5, 0.52, 0.49, 0.2, 0.22])
    assert curve is not None
    width = np.array(curve.high) - np.array(curve.low)
    assert width[len(width) // 2] > 1.5 * max(width[0], width[-1])


def test_pure_noise_leaves_the_best_value_open() -> None:
    rng = np.random.default_rng(4)
    curve = lr_curve(np.geomspace(1e-5, 1e-3, 12), rng.normal(0.5, 0.1, 12))
    assert curve is not None
    assert curve.best_high / curve.best_low > 30


def test_equal_scores_and_repeats_are_no_trouble() -> None:
    curve = lr_curve([1e-5, 1e-5, 1e-4, 1e-4, 1e-3], [0.4] * 5)
    assert curve is not None and np.allclose(curve.mean, 0.4)


def test_too_few_trials_have_no_curve() -> None:
    assert lr_curve([1e-4, 2e-4, 3e-4], [0.1, 0.2, 0.3]) is None
    assert lr_curve([1e-4, 1e-4, 3e-4, 3e-4], [0.1, 0.2, 0.3, 0.2]) is None
    with pytest.raises(ValueError, match="above 0"):
        lr_curve([0.0, 1e-4, 2e-4, 3e-4], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="4 learning rates but 1 scores"):
        lr_curve([1e-5, 1e-4, 2e-4, 3e-4], [0.1])


def test_the_knee_lies_between_the_last_that_held_and_the_first_that_melted() -> None:
    lrs = [1e-5, 3e-5, 1e-4, 1e-4, 2e-4, 3e-4, 8e-4, 1e-3, 2e-3, 3e-3]
    knee = failure_knee(lrs, [lr > 5e-4 for lr in lrs])
    assert knee is not None
    assert (knee.safe, knee.failing, knee.trials, knee.failures) == (3e-4, 8e-4, 10, 4)
    assert knee.value == pytest.approx((3e-4 * 8e-4) ** 0.5)
    # One of 10!/(6!·4!) = 210 arrangements; drawn.
    assert knee.p == pytest.approx(1 / 210, abs=0.005)


def test_the_knee_pools_violators_by_hand() -> None:
    # Failures 0 0 0 0 1 0 1 1 1 1 pool to 0 0 0 0 ½ ½ 1 1 1 1: half fail from the fifth value on.
    knee = failure_knee(np.arange(1.0, 11.0), [0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    assert knee is not None and (knee.safe, knee.failing) == (4, 5)


def test_the_knee_of_separated_trials_is_known_as_far_as_its_neighbours() -> None:
    knee = failure_knee([1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1], [0, 0, 0, 0, 1, 1, 1])
    assert knee is not None and knee.separated and knee.clear
    assert (knee.held, knee.below, knee.melted, knee.above) == (4, 4, 3, 3)
    # A knee beyond k trials makes each of them a coin's throw: deviance k·2·log 2, so two more on either side.
    assert (knee.low, knee.high) == (1e-4, 3e-1)
    assert Knee.from_dict(json.loads(json.dumps(knee.as_dict()))) == knee


def test_few_failures_leave_the_knees_end_open_and_may_be_chance() -> None:
    knee = failure_knee(np.arange(1.0, 9.0), [0, 0, 0, 0, 0, 0, 0, 1])
    assert knee is not None
    assert (knee.low, knee.high, knee.clear) == (5, None, False)
    assert knee.p == pytest.approx(1 / 8, abs=0.02)


def test_repeated_values_narrow_the_knee() -> None:
    knee = failure_knee(np.repeat([1.0, 2.0, 4.0, 8.0], 4), np.repeat([0, 0, 1, 1], 4))
    assert knee is not None and (knee.low, knee.high) == (2, 4)


def test_failures_at_the_bottom_are_no_clear_knee() -> None:
    knee = failure_knee(np.geomspace(1e-5, 1e-3, 8), [0, 1, 0, 0, 1, 0, 0, 1])
    assert knee is not None and not knee.clear and not knee.separated


@pytest.mark.parametrize("failed", [[0] * 8, [1] * 8, [1, 1, 1, 0, 0, 0, 0, 0]])
def test_no_knee_where_the_chance_never_crosses_one_half(failed: list[int]) -> None:
    assert failure_knee(np.geomspace(1e-5, 1e-3, 8), failed) is None


@pytest.mark.slow
@pytest.mark.parametrize("slope", [4, 20])
def test_the_knees_interval_covers(slope: int) -> None:
    rng, covered = np.random.default_rng(5), []
    for _ in range(300):
        x = rng.uniform(0.01, 1, 20)
        knee = failure_knee(x, rng.random(20) < 1 / (1 + np.exp(-slope * (x - 0.6))), permutations=9)
        if knee is not None:
            covered.append((knee.low or 0) <= 0.6 <= (knee.high or 1))
    assert np.mean(covered) >= 0.93
