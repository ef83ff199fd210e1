"""What a further duel is held to, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bracket.stats.duel.sequential import conclusion
from bracket.stats.duel.tries import MOST_ALPHA, can_claim, fewest_pairs, next_alpha


@pytest.mark.parametrize(
    ("alpha", "pairs"),
    [
        (0.05, 5),  # 1/32 = 0.031
        (0.025, 6),  # 1/32 is above it, 1/64 = 0.016 is not
        (0.0125, 7),  # 1/128 = 0.0078
        (0.00625, 8),  # 1/256 = 0.0039
        (0.04, 5),  # the first try
        (0.005, 8),  # the second
        (0.0025, 9),  # the third
    ],
)
def test_so_many_pairs_can_claim(alpha: float, pairs: int) -> None:
    assert fewest_pairs(alpha=alpha) == pairs
    assert can_claim(pairs, alpha=alpha) and not can_claim(pairs - 1, alpha=alpha)


def test_the_first_try_has_four_fifths_and_all_together_no_more_than_alpha() -> None:
    assert [next_alpha(0.05, able) for able in range(4)] == [0.04, 0.005, 0.0025, 0.00125]
    assert sum(next_alpha(0.05, able) for able in range(60)) == pytest.approx(0.05), "alpha is never passed"


@pytest.mark.parametrize("edition", [1, 2])
def test_by_the_earlier_editions_it_is_halved_for_every_try(edition: int) -> None:
    assert [next_alpha(0.05, able, edition) for able in range(4)] == [0.05, 0.025, 0.0125, 0.00625]
    total = sum(next_alpha(0.05, able, edition) for able in range(60))
    assert total == pytest.approx(MOST_ALPHA), "twice alpha is never passed"


def test_what_is_exactly_reached_claims() -> None:
    assert can_claim(5, alpha=1 / 32, live_share=0.0) and fewest_pairs() == 5


def test_no_pairs_claim_nothing() -> None:
    assert not can_claim(0)


def test_a_second_comparison_takes_a_pair_more() -> None:
    assert not can_claim(5, comparisons=2), "1/32 is above 0.05 / 2"
    assert can_claim(6, comparisons=2)


def test_watching_can_claim_where_the_exact_test_has_too_little_left() -> None:
    # 10 % of 0.05 for the exact test takes 8 pairs; six won at full stake make (1.6^6 + 1.8^6 + 2^6) / 3 = 38.3, and
    # 1 / 0.045 = 22.2 decides.
    assert can_claim(6, live_share=0.9)


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.01])
@pytest.mark.parametrize("live_share", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("pairs", range(1, 12))
def test_it_says_what_a_duel_that_is_won_throughout_concludes(pairs: int, live_share: float, alpha: float) -> None:
    won = conclusion(np.ones(pairs), planned=pairs, two_sided=False, alpha=alpha, live_share=live_share)
    assert can_claim(pairs, alpha=alpha, live_share=live_share) == (won == 1)


def test_two_sided_a_claim_takes_a_unit_more() -> None:
    assert can_claim(6, two_sided=True) and not can_claim(5, two_sided=True), "2/64 = 0.031, 2/32 is above 0.05"


@pytest.mark.slow
def test_going_on_until_it_claims_errs_no_more_often() -> None:
    """Equal settings, five pairs and then eight, nine, ten more for whoever found nothing: 1/32 + 1/256 + 1/512 +
    1/1024 is 0.038."""
    rng = np.random.default_rng(5)
    claims = 0
    for _ in range(4000):
        for able, pairs in enumerate((5, 8, 9, 10)):
            d = rng.normal(size=pairs)
            if conclusion(d, planned=pairs, two_sided=False, alpha=next_alpha(0.05, able)) == 1:
                claims += 1
                break
    assert claims / 4000 < 0.05
