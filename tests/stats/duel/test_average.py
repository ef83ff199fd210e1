"""What betting on bounded differences shows of their mean, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bracket.stats.duel.average import average_ends


def test_the_ends_of_one_difference_by_hand() -> None:
    # The seven λ are 3.1/7 on average, so one unit has made 1 + 3.1/7 · r with r = (d - m) / (1 + m); 20 where r is
    # 19 · 7/3.1 = 42.9, 40 where it is 39 · 7/3.1 = 88.06. Solved for the mean: m = (d - r) / (1 + r).
    twenty, forty = 19 * 7 / 3.1, 39 * 7 / 3.1
    low, high = average_ends([0.5], low=0.05, high=0.025)
    assert low == pytest.approx((0.5 - twenty) / (1 + twenty), abs=1e-8)
    assert high == pytest.approx(-(-0.5 - forty) / (1 + forty), abs=1e-8)
    assert average_ends([1.0], low=0.05, high=0.05)[1] == 1.0, "the largest mean there is can't be excluded"


def test_betting_compounds_and_its_best_moment_counts() -> None:
    # Two units make 1 + 2 · 3.1/7 · r + 2.115/7 · r² at λ's mean and mean square: 20 where r = 6.594.
    a, b = 2.115 / 7, 2 * 3.1 / 7
    r = (-b + (b * b + 4 * a * 19) ** 0.5) / (2 * a)
    two = average_ends([0.4, 0.4], low=0.05, high=0.05)[0]
    assert two == pytest.approx((0.4 - r) / (1 + r), abs=1e-8)
    assert average_ends([0.4, 0.4, -1.0, -1.0], low=0.05, high=0.05)[0] == two, "what comes later does not undo it"
    assert average_ends([-1.0, -1.0, 0.4, 0.4], low=0.05, high=0.05)[0] < two


def test_the_arms_swapped_swap_the_ends() -> None:
    d = np.array([0.6, -0.2, 0.5, 0.7, 0.6, 0.1])
    low, high = average_ends(d, low=0.05, high=0.02)
    assert average_ends(-d, low=0.02, high=0.05) == (-high, -low)
    assert low < d.mean() < high


def test_scores_that_cannot_be_are_named_and_a_rounded_one_is_not() -> None:
    average_ends([1 + 1e-10, -1 - 1e-10], low=0.05, high=0.05)
    for d in ([1.001, 0.0], [0.0, -1.001]):
        with pytest.raises(ValueError, match="between -1 and 1"):
            average_ends(d, low=0.05, high=0.05)
