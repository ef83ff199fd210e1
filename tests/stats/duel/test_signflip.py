from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bracket.stats import sign_flip
from bracket.stats.duel.signflip import all_subsets, rank_for, smallest_n


def test_five_positive_pairs_give_one_in_thirty_two() -> None:
    test = sign_flip([0.01, 0.02, 0.005, 0.03, 0.04])
    assert (test.p_greater, test.p_less, test.p_two_sided) == (1 / 32, 1.0, 2 / 32)
    # 15 of 16 is the nearest to 95 % that 32 flips allow: the outermost subset means are the outermost values.
    assert (test.low, test.high, test.level, test.method) == (0.005, 0.04, 15 / 16, "sign_flip")


def test_three_prompts_with_mixed_signs_by_hand() -> None:
    # Differences 3, 2, -1 sum to 4. Sums over all signs: ±3±2±1 = 6, 4, 2, 0, 0, -2, -4, -6.
    # At least 4: two of eight. At most 4: seven of eight. As far from 0 as 4: four of eight.
    test = sign_flip([3.0, 2.0, -1.0])
    assert (test.p_greater, test.p_less, test.p_two_sided, test.flips) == (2 / 8, 7 / 8, 4 / 8, 8)
    # Eight flips can't reach 5 %, so the interval is Student's: 4/3 ± 4.3027 · 2.0817/√3.
    assert test.method == "t"
    assert (test.low, test.high) == pytest.approx((4 / 3 - 5.1712, 4 / 3 + 5.1712), abs=1e-3)


def test_sums_that_cancel_count_as_ties() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in binary; by hand ±0.1±0.2±0.3 is 0.6, 0.4, 0.2, 0, 0, -0.2, -0.4, -0.6.
    test = sign_flip([0.1, 0.2, -0.3])
    assert (test.p_greater, test.p_less, test.p_two_sided) == (5 / 8, 5 / 8, 1.0)


def test_interval_ends_are_ordered_subset_means() -> None:
    # Of 1, 2, 4, 8, 16, 32 at 10 %: rank floor(0.05 · 64) = 3, and the subset means begin 1, 1.5, 2 and end 32, 24, 20.
    # (The mean of {8, 16, 32} is 18.67 and that of {4, 32} is 18, so 20 = {8, 32} is third.)
    test = sign_flip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], alpha=0.1)
    assert (test.low, test.high, test.level) == (2.0, 20.0, 1 - 6 / 64)


@pytest.mark.parametrize("n", [2, 5, 6, 9, 16, 30])
def test_swapping_the_arms_flips_everything(n: int) -> None:
    d = np.random.default_rng(n).normal(0.3, 1, n)
    one, other = sign_flip(d, seed=4), sign_flip(-d, seed=4)
    assert (one.p_greater, one.p_less, one.p_two_sided) == (other.p_less, other.p_greater, other.p_two_sided)
    assert one.low is not None and one.high is not None
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))


@pytest.mark.parametrize("n", [6, 8, 12, 24])
def test_interval_excludes_zero_exactly_when_the_two_sided_test_rejects(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(60):
        test = sign_flip(rng.normal(0.7, 1, n), draws=999)
        assert test.low is not None and test.high is not None
        assert (test.p_two_sided <= 0.05) == (test.low > 0 or test.high < 0)


def test_agrees_with_scipy_exact() -> None:
    d = np.random.default_rng(0).normal(0.4, 1, 10)
    theirs = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="greater", vectorized=False
    )
    assert sign_flip(d).p_greater == pytest.approx(theirs.pvalue)


def test_drawn_flips_agree_with_student_and_with_themselves() -> None:
    d = np.random.default_rng(3).normal(0.25, 1, 60)
    test = sign_flip(d, seed=1)
    assert not test.exact and test == sign_flip(d, seed=1) != sign_flip(d, seed=2)
    # Standard error of a drawn p near 0.05 is 0.002.
    assert test.p_two_sided == pytest.approx(float(stats.ttest_1samp(d, 0).pvalue), abs=0.01)
    assert (test.low, test.high) == pytest.approx(stats.ttest_1samp(d, 0).confidence_interval(), abs=0.02)


def test_drawn_flips_agree_with_all_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(5).normal(0.4, 1, 14)
    exact = sign_flip(d)
    monkeypatch.setattr("bracket.stats.duel.signflip.EXACT_LIMIT", 8)
    drawn = sign_flip(d)
    assert exact.exact and not drawn.exact
    assert drawn.p_greater == pytest.approx(exact.p_greater, abs=0.01)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.05)


def test_drawn_p_is_never_zero() -> None:
    assert sign_flip(np.full(40, 0.1)).p_greater == 1 / 10_000


def test_all_zero_is_no_evidence() -> None:
    test = sign_flip(np.zeros(8))
    assert (test.p_greater, test.p_less, test.p_two_sided, test.low, test.high) == (1, 1, 1, 0, 0)


def test_subsets_are_kept_for_whoever_asks_next_so_nobody_writes_to_them() -> None:
    assert all_subsets(2).tolist() == [[1, 0], [0, 1], [1, 1]]
    with pytest.raises(ValueError, match="read-only"):
        all_subsets(2)[0, 0] = 0


def test_one_difference_has_no_interval() -> None:
    test = sign_flip([0.2])
    assert (test.p_greater, test.p_two_sided, test.low, test.high, test.method) == (0.5, 1.0, None, None, "none")


def test_least_numbers_for_a_claim() -> None:
    # 1/2^4 = 0.0625 > 0.05 ≥ 1/2^5; two-sided one more. 1/2^6 > 0.01 ≥ 1/2^7.
    assert [smallest_n(0.05, two_sided=side) for side in (False, True)] == [5, 6]
    assert smallest_n(0.01, two_sided=False) == 7
    assert smallest_n(1 / 32, two_sided=False) == 5
    assert smallest_n(0.0312, two_sided=False) == 6, "1/32 = 0.03125 is above it"
    assert [rank_for(2**n, 0.05) for n in (4, 5, 6, 7, 8)] == [0, 1, 1, 3, 6]
    assert rank_for(10_000, 0.05) == 250


@pytest.mark.parametrize(
    ("values", "alpha", "says"),
    [([], 0.05, "non-empty"), ([[1.0]], 0.05, "dimension"), ([1.0, np.nan], 0.05, "1 of 2"), ([1.0], 0.7, "alpha")],
)
def test_bad_input_is_named(values: list[float], alpha: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sign_flip(values, alpha=alpha)
