from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bracket.stats import DESCRIPTIVE, mean_and_interval, welch


def test_two_runs_each_by_hand() -> None:
    # a: 0.40, 0.50 (variance 0.005, u = 0.0025); b: 0.60, 0.64 (variance 0.0008, v = 0.0004).
    # t = (0.45 - 0.62)/√0.0029 = -3.1568; df = 0.0029² / (0.0025² + 0.0004²) = 8.41e-6/6.41e-6 = 1.3120.
    found = welch([0.40, 0.50], [0.60, 0.64])
    assert found.t == pytest.approx(-3.1568, abs=1e-4)
    assert found.df == pytest.approx(1.3120, abs=1e-4)
    # A table rounded up to two degrees would say ±0.232; 1.31 degrees say ±0.397.
    assert found.high is not None and found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 1.31201) * 0.0029**0.5, rel=1e-4)
    assert (found.high - found.low) / 2 > 0.35
    assert found.label == DESCRIPTIVE


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 5), (10, 4)])
def test_agrees_with_scipy(n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(n_a)
    a, b = rng.normal(0.5, 0.1, n_a), rng.normal(0.6, 0.3, n_b)
    ours, theirs = welch(a, b, alpha=0.1), stats.ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval(0.9)
    assert (ours.t, ours.df, ours.p_two_sided) == pytest.approx((theirs.statistic, theirs.df, theirs.pvalue))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))


def test_one_side_without_spread_leaves_the_others_degrees() -> None:
    assert welch([0.5, 0.5, 0.5], [0.1, 0.2, 0.4]).df == pytest.approx(2)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [([0.5], [0.4, 0.6], "two training runs of each, got 1 and 2"), ([0.1] * 3, [0.3] * 3, "neither side varies")],
)
def test_what_cannot_be_computed_is_none_with_the_reason(a: list[float], b: list[float], says: str) -> None:
    found = welch(a, b)
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.t, found.df, found.p_two_sided, found.low, found.high) == (None,) * 5
    assert says in found.reason


def test_mean_and_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, sd 1, half width 4.3027/√3 = 2.4841.
    found = mean_and_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.low, found.high) == pytest.approx((2, 1, 2 - 2.4841, 2 + 2.4841), abs=1e-4)
    one = mean_and_interval([0.7])
    assert (one.mean, one.sd, one.low, one.high) == (0.7, None, None, None) and one.reason
