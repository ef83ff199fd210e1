from __future__ import annotations

import numpy as np
import pytest

from bracket.stats.search.landscape import landscape


def _search(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Learning rate and rank; the best lies at 1e-3 and 8, a parabola in both logarithms."""
    rng = np.random.default_rng(seed)
    points = np.stack([10 ** rng.uniform(-5, -2, n), rng.choice([2, 4, 8, 16, 32], n)], axis=1)
    return points, 0.2 + 0.2 * (np.log10(points[:, 0]) + 3) ** 2 + 0.05 * (np.log2(points[:, 1]) - 3) ** 2


def test_the_lowest_place_of_a_noise_free_bowl_is_found() -> None:
    points, scores = _search(30)
    found = landscape(points, scores, log=(True, True))
    assert found is not None
    assert 7e-4 < found.best[0] < 1.4e-3 and 6.5 < found.best[1] < 10
    assert found.mean.shape == found.sd.shape == (41, 41)
    assert (found.x[0], found.x[-1]) == pytest.approx((points[:, 0].min(), points[:, 0].max()))
    assert (found.y[0], found.y[-1]) == pytest.approx((2, 32))
    # Rows are the second knob, columns the first: along a row the learning rate moves the score most.
    assert np.ptp(found.mean[20]) > 2 * np.ptp(found.mean[:, 26])
    assert found.noise < 0.05


def test_it_is_unsure_where_nothing_was_tried() -> None:
    points, scores = _search(40)
    cornered = points[(points[:, 0] < 2e-4) | (points[:, 1] < 8)]
    found = landscape(cornered, scores[(points[:, 0] < 2e-4) | (points[:, 1] < 8)], log=(True, True))
    assert found is not None
    assert found.sd[-1, -1] > 3 * found.sd[0, 0]


def test_noise_alone_is_unsure_nearly_everywhere() -> None:
    rng = np.random.default_rng(3)
    found = landscape(rng.uniform(0, 1, (10, 2)), rng.normal(0.5, 0.1, 10))
    assert found is not None and found.unsure > 0.8


def test_too_little_is_no_map() -> None:
    points, scores = _search(12)
    assert landscape(points[:7], scores[:7], log=(True, True)) is None
    points[:, 1] = [8, 16] * 6
    assert landscape(points, scores, log=(True, True)) is None


def test_bad_input_is_refused() -> None:
    points, scores = _search(12)
    with pytest.raises(ValueError, match="12 scores but points of shape"):
        landscape(points[:11], scores)
    with pytest.raises(ValueError, match="above 0"):
        landscape(points - 8, scores, log=(False, True))
