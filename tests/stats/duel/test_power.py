from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bracket.stats import detectable_difference, pairs_needed, prompts_needed, sign_flip


def test_five_pairs_by_hand() -> None:
    # Five pairs reject only when all are positive: Φ(d)^5 = 0.8 gives d = Φ⁻¹(0.8^0.2) = 1.710 spreads.
    expected = norm.ppf(0.8**0.2)
    assert detectable_difference(1.0, 5) == pytest.approx(expected, abs=0.02)
    assert detectable_difference(0.04, 5) == pytest.approx(0.04 * expected, abs=0.001)


def test_many_pairs_approach_the_normal_formula() -> None:
    # (z.95 + z.80)/√n = 2.4865/√400, and two-sided (1.95996 + 0.84162)/√400.
    assert detectable_difference(1.0, 400) == pytest.approx(2.4865 / 20, rel=0.005)
    assert detectable_difference(1.0, 400, two_sided=True) == pytest.approx(2.8016 / 20, rel=0.005)


def test_too_few_pairs_can_find_nothing() -> None:
    assert detectable_difference(1.0, 4) is None
    assert detectable_difference(1.0, 5, two_sided=True) is None


@pytest.mark.parametrize("two_sided", [False, True])
def test_detectable_shrinks_with_every_pair(two_sided: bool) -> None:
    sizes = [detectable_difference(1.0, n, two_sided=two_sided) for n in range(6, 40)]
    assert all(size is not None for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: -(size or 0))


def test_stated_power_is_the_real_power() -> None:
    size = detectable_difference(1.0, 9, two_sided=True)
    assert size is not None
    rng = np.random.default_rng(1)
    found = [sign_flip(rng.normal(size, 1, 9)).p_two_sided <= 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_pairs_needed_has_the_exact_tests_floor() -> None:
    assert pairs_needed(10.0, 1.0) == 5
    assert pairs_needed(0.01, 0.0) == 5
    assert prompts_needed(10.0, 1.0) == 6


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0, 1.5])
def test_needed_is_the_least_that_detects(ratio: float) -> None:
    n = pairs_needed(ratio, 1.0)
    enough, short = detectable_difference(1.0, n), detectable_difference(1.0, n - 1)
    assert enough is not None and enough <= ratio
    assert short is None or short > ratio


def test_prompts_needed_by_hand() -> None:
    # (2.8016 · 0.1 / 0.03)² = 87.2 normal, two or so more for Student's.
    assert prompts_needed(0.03, 0.1) in (89, 90)


@pytest.mark.parametrize(
    ("effect", "sd", "says"), [(0.0, 1.0, "above 0"), (1.0, -1.0, "spread"), (1e-6, 1.0, "more than 100000")]
)
def test_bad_questions_are_named(effect: float, sd: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pairs_needed(effect, sd)
