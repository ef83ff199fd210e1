from __future__ import annotations

import numpy as np
import pytest

from bracket.stats.search.process import MOST, fit


def _bowl(p: np.ndarray) -> np.ndarray:
    found: np.ndarray = 0.2 + (p[:, 0] - 0.6) ** 2 + 0.3 * (p[:, 1] - 0.3) ** 2
    return found


def test_without_noise_it_goes_through_the_points_and_knows_it() -> None:
    x = np.linspace(0, 1, 9)[:, None]
    process = fit(x, 2 + 3 * (x[:, 0] - 0.4) ** 2)
    mean, sd = process.predict(np.array([[0.4], [0.55]]))
    np.testing.assert_allclose(mean, [2.0, 2.0675], atol=0.02)
    assert np.all(sd < 0.06) and process.noise < 0.06


def test_it_knows_its_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (80, 1))
    assert 0.15 < fit(x, np.sin(6 * x[:, 0]) + rng.normal(0, 0.2, 80)).noise < 0.27


def test_draws_have_the_processes_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (12, 2))
    process, points = fit(x, _bowl(x) + rng.normal(0, 0.05, 12)), rng.uniform(0, 1, (5, 2))
    mean, sd = process.predict(points)
    drawn = process.draws(points, 4_000, seed=1)
    assert drawn.shape == (4_000, 5)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.1)
    assert np.array_equal(drawn, process.draws(points, 4_000, seed=1))


def test_many_points_are_thinned() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (5_000, 1))
    assert fit(x, x[:, 0]).x.shape == (MOST, 1)


@pytest.mark.slow
def test_nineteen_of_twenty_places_lie_in_the_interval() -> None:
    """What setting the lengths to their likeliest values misses: it covers about 70 % here."""
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, 9)] * 2), axis=-1).reshape(-1, 2)
    covered = []
    for _ in range(80):
        x = rng.uniform(0, 1, (int(rng.integers(8, 24)), 2))
        mean, sd = fit(x, _bowl(x) + rng.normal(0, 0.05, len(x))).predict(grid)
        covered.append(np.mean(np.abs(mean - _bowl(grid)) < 1.96 * sd))
    assert 0.88 <= np.mean(covered) <= 0.99


def test_expected_improvement_by_hand_and_by_draws() -> None:
    x = np.linspace(0, 1, 6)[:, None]
    process = fit(x, 2 + 3 * (x[:, 0] - 0.4) ** 2)
    points = np.array([[0.05], [0.5], [0.95]])
    mean, sd = process.predict(points)
    lowest = process.predict(x)[0].min()
    draws = np.random.default_rng(0).normal(mean, sd, (200_000, 3))
    by_draws = np.maximum(lowest - draws, 0).mean(axis=0)
    assert process.improvement(x, points) == pytest.approx(by_draws, abs=2e-4)


def test_noisy_improvement_is_less_beside_what_still_runs() -> None:
    rng = np.random.default_rng(3)
    x = np.repeat(np.linspace(0, 0.5, 8), 2)[:, None]
    process = fit(x, (x[:, 0] - 0.7) ** 2 + 0.02 * rng.normal(size=16))
    gains = process.noisy_improvement(x, np.array([[0.05], [0.7]]), seed=0)
    assert gains.shape == (2,) and gains[1] > 10 * gains[0] >= 0
    beside = process.noisy_improvement(np.vstack([x, [[0.7]]]), np.array([[0.702]]), seed=0)
    assert beside[0] < 0.3 * gains[1]
