from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from bracket.stats import (
    CheckpointClaim,
    ConfigClaim,
    checkpoint_claim,
    config_claim,
    decide,
    detectable_difference,
    improvement_probability,
    sign_flip,
    win_rate_interval,
)
from bracket.stats.duel.average import average_ends
from bracket.stats.duel.signflip import ends


def test_three_prompts_two_seeds_by_hand() -> None:
    winner = [[0.9, 0.7], [0.5, 0.5], [0.2, 0.6]]
    baseline = [[0.5, 0.7], [0.4, 0.2], [0.6, 0.4]]
    # Pair differences 0.4, 0; 0.1, 0.3; -0.4, 0.2; prompt means 0.2, 0.2, -0.1, whose mean is 0.1.
    # Wins 1, ½, 1, 1, 0, 1 = 4.5 of 6. Signs ±0.2±0.2±0.1: 0.5, 0.3, 0.1, 0.1, ...; at least 0.3: two of eight.
    # Across seeds: prompt 1: 0.9 beats both, 0.7 beats 0.5 and ties: 3.5/4; prompt 2: 4/4; prompt 3: 0.2 loses both,
    # 0.6 ties and beats 0.4: 1.5/4. Mean 9/12.
    claim = checkpoint_claim(winner, baseline)
    assert (claim.prompts, claim.sample_seeds, claim.pairs) == (3, 2, 6)
    assert claim.mean_difference == pytest.approx(0.1)
    assert claim.sd == pytest.approx(0.03**0.5)
    assert claim.win_rate == 0.75
    assert claim.improvement_probability == pytest.approx(0.75)
    assert (claim.p_greater, claim.p_two_sided) == (2 / 8, 4 / 8)
    assert (claim.can_support, claim.prompts_needed, claim.detectable) == (False, 3, None)


def test_pictures_of_one_prompt_are_not_a_sample_size() -> None:
    # Six prompts that all win: p is 2/64 whether each was drawn once or fifty times.
    base = np.linspace(0.3, 0.6, 6)[:, None]
    once, often = checkpoint_claim(base + 0.1, base), checkpoint_claim(base + np.full(50, 0.1), base + np.zeros(50))
    assert once.p_two_sided == often.p_two_sided == 2 / 64
    assert once.win_rate_low == often.win_rate_low


@pytest.mark.parametrize("prompts", [4, 9, 40])
def test_swapping_the_arms_flips_the_checkpoint_claim(prompts: int) -> None:
    rng = np.random.default_rng(prompts)
    a, b = rng.uniform(size=(2, prompts, 3))
    one, other = checkpoint_claim(a, b, seed=7), checkpoint_claim(b, a, seed=7)
    assert one.mean_difference == pytest.approx(-other.mean_difference)
    assert (one.p_greater, one.p_less) == (other.p_less, other.p_greater)
    assert one.win_rate == pytest.approx(1 - other.win_rate)
    assert one.win_rate_low == pytest.approx(1 - other.win_rate_high)
    assert one.improvement_probability == pytest.approx(1 - other.improvement_probability)
    assert one.detectable == (None if other.detectable is None else pytest.approx(other.detectable))


def test_one_seed_and_no_ties_is_wilson() -> None:
    won = np.array([1.0] * 32 + [0.0] * 8)[:, None]
    wilson = binomtest(32, 40).proportion_ci(method="wilson")
    low, high, effective = win_rate_interval(won)
    assert (low, high, effective) == pytest.approx((wilson.low, wilson.high, 40))


def test_effective_pairs_by_hand() -> None:
    # Prompts won whole or lost whole are worth no more than prompts: r(1-r)/(r(1-r)/n) = n, times (1.96/2.262)².
    whole = np.repeat([[1.0], [0.0]], 5, axis=0) * np.ones(4)
    assert win_rate_interval(whole)[2] == pytest.approx(10 * (1.95996 / 2.26216) ** 2, rel=1e-4)
    # Prompts that all won two of four don't vary at all, so every pair counts.
    assert win_rate_interval(np.tile([1.0, 0.0, 1.0, 0.0], (10, 1)))[2] == 40


def test_win_rate_interval_stays_within_bounds() -> None:
    for won in (np.ones((3, 2)), np.zeros((3, 2)), np.full((3, 2), 0.5), np.ones((1, 1))):
        low, high, _ = win_rate_interval(won)
        assert 0 <= low <= won.mean() <= high <= 1
        assert high - low > 0.3


def test_improvement_probability_of_one_seed_is_the_win_rate() -> None:
    a, b = np.array([[0.1], [0.5], [0.7]]), np.array([[0.2], [0.5], [0.6]])
    assert improvement_probability(a, b) == checkpoint_claim(a, b).win_rate == 0.5


def test_five_pairs_support_a_config_claim_and_four_do_not() -> None:
    five, four = config_claim([0.01, 0.02, 0.03, 0.02, 0.01]), config_claim([0.01, 0.02, 0.03, 0.02])
    assert (five.p_greater, five.p_two_sided, five.can_support, five.pairs_needed) == (1 / 32, 2 / 32, True, 0)
    assert (four.p_greater, four.can_support, four.pairs_needed, four.detectable) == (1 / 16, False, 1, None)
    # All of five wins reach 1/32, so what lies below the smallest is excluded; four exclude nothing.
    assert (five.difference_low, five.difference_high) == (0.01, None)
    assert (four.difference_low, four.difference_high) == (None, None)
    before = [config_claim(c, edition=2).interval_method for c in ([0.01, 0.02, 0.03, 0.02, 0.01], [0.01, 0.02])]
    assert before == ["sign_flip", "t"]


def test_config_claim_with_mixed_signs_by_hand() -> None:
    # 5, 4, 3, 2, -1 (hundredths) sum to 13. Only flipping {-1} (sum 15) or nothing reaches 13; 2 of 32.
    claim = config_claim([0.05, 0.04, 0.03, 0.02, -0.01])
    assert claim.p_greater == 2 / 32
    assert claim.mean_difference == pytest.approx(0.026)
    assert (claim.difference_low, claim.difference_high, claim.interval_level) == (-0.01, None, 0.925)
    assert (claim.won, claim.lost, claim.says) == (4, 1, "")


def test_one_training_seed_says_how_many_are_missing() -> None:
    claim = config_claim([0.2])
    assert (claim.pairs, claim.pairs_needed, claim.sd, claim.detectable, claim.difference_low) == (
        1,
        4,
        None,
        None,
        None,
    )


def test_stricter_alpha_needs_more_pairs() -> None:
    claim = config_claim([0.1] * 5, alpha=0.01)
    assert (claim.can_support, claim.pairs_needed) == (False, 2)


def test_a_detectable_difference_is_detected() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=12)
    d = (d - d.mean()) / d.std(ddof=1) * 0.05
    claim = config_claim(d)
    size = claim.detectable
    assert size is not None
    found = [sign_flip(rng.normal(size, 0.05, 12)).p_greater <= claim.final_alpha for _ in range(1500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_claims_survive_json() -> None:
    rng = np.random.default_rng(1)
    claim = checkpoint_claim(rng.uniform(size=(8, 2)), rng.uniform(size=(8, 2)))
    assert CheckpointClaim.from_dict(json.loads(json.dumps(claim.as_dict(), allow_nan=False))) == claim
    few = config_claim([0.1])
    assert ConfigClaim.from_dict(json.loads(json.dumps(few.as_dict(), allow_nan=False))) == few
    with pytest.raises(ValueError, match="missing or unknown fields: pairs"):
        ConfigClaim.from_dict({k: v for k, v in few.as_dict().items() if k != "pairs"})


@pytest.mark.parametrize(
    ("winner", "baseline", "says"),
    [
        (np.ones((3, 2)), np.ones((3, 1)), "one shape"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), "2 dimension"),
        (np.array([0.1, np.nan]), np.ones(2), "1 of 2 values are not finite"),
        (np.ones((0, 2)), np.ones((0, 2)), "non-empty"),
    ],
)
def test_bad_scores_are_named(winner: np.ndarray, baseline: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checkpoint_claim(winner, baseline)


def test_a_duel_that_the_e_process_ended_has_the_interval_of_the_units_it_has() -> None:
    # Eight equal wins of twelve reach 136, 100 needed; seven decide nothing yet.
    eight, seven = config_claim([0.3] * 8, planned=12), config_claim([0.3] * 7, planned=12)
    assert eight.watched is not None and eight.watched.decided_at == 8
    rising = [0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.26, 0.27]
    uneven = config_claim(rising, planned=12)
    assert uneven.decided == "winner"
    # The tenth of 255 subset means from below, floor(0.04 · 256), and the fifth from above, floor(0.02 · 256).
    assert (uneven.difference_low, uneven.difference_high) == pytest.approx(ends(rising, low=0.04, high=0.02))
    assert (eight.interval_method, eight.interval_level) == ("inversion", 0.925)
    before = config_claim([0.3] * 8, planned=12, edition=2)
    # The fifth of 255 from either end. 1 - 10/256, less 0.01 for watching.
    assert (before.interval_method, before.interval_level) == ("sign_flip", pytest.approx(1 - 10 / 256 - 0.01))
    assert (eight.can_support, eight.pairs_needed, eight.decided, eight.complete) == (True, 0, "winner", False)
    assert (seven.can_support, seven.pairs_needed, seven.decided) == (False, 5, "")


def test_a_hopeless_duel_has_an_interval_and_could_have_ended_in_a_claim() -> None:
    # Two of five, one lost: p can't come below (2/4)/2^3 = 1/16.
    claim, before = config_claim([0.02, -0.03], planned=5), config_claim([0.02, -0.03], planned=5, edition=2)
    assert claim.watched is not None and claim.watched.hopeless and claim.difference_low is None
    # Student's, with one degree of freedom: -0.005 ± 12.706 · 0.025.
    assert before.difference_low == pytest.approx(-0.005 - 12.706 * 0.025, abs=1e-5)
    assert (before.interval_method, before.interval_level) == ("t", 0.95)
    assert (claim.can_support, claim.pairs_needed) == (True, 0)
    # What five pairs of this spread find, at the whole of alpha: nothing is spent on watching five.
    assert claim.detectable == pytest.approx(detectable_difference(claim.sd or 0, 5, alpha=0.05))


def test_intervals_keep_what_watching_may_spend() -> None:
    # Nine prompts may be watched: made at 0.04, stated at 0.05. With eight nothing is spent.
    d = np.array([0.3, -0.2, 0.5, 0.4, 0.1, 0.6, -0.1, 0.2, 0.7])
    nine = checkpoint_claim(0.5 + d, np.full(9, 0.5), edition=2)
    eight = checkpoint_claim(0.5 + d[:8], np.full(8, 0.5), edition=2)
    for claim, shown, alpha, spent in ((nine, d, 0.04, 0.01), (eight, d[:8], 0.05, 0)):
        test = sign_flip(shown, alpha=alpha)
        assert (claim.difference_low, claim.difference_high) == pytest.approx((test.low, test.high))
        assert claim.interval_level == pytest.approx(test.level - spent)
        low, high, _ = win_rate_interval(((shown > 0) + 0.0)[:, None], alpha=alpha)
        assert (claim.win_rate_low, claim.win_rate_high) == pytest.approx((low, high))


def test_an_early_win_by_little_has_an_interval_as_little() -> None:
    d = np.array([0.004, 0.005, 0.006] * 4)
    won, lost = config_claim(d), config_claim(-d)
    assert (won.decided, lost.decided) == ("winner", "baseline")
    assert 0.004 <= (won.difference_low or 0) < 0.005 < (won.difference_high or 0) < 0.006
    assert -0.006 < (lost.difference_low or 0) < -0.005 < (lost.difference_high or 0) <= -0.004


def test_interval_and_claim_never_contradict() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        planned, comparisons = int(rng.integers(2, 14)), int(rng.integers(1, 3))
        units, lead = int(rng.integers(1, planned + 1)), float(rng.choice([-0.1, 0, 0.1]))
        d = np.clip(np.round(rng.normal(lead, 0.1, units), 2), -1, 1)
        both = (
            config_claim(d, planned=planned, comparisons=comparisons),
            checkpoint_claim(np.clip(0.5 + d, 0, 1), np.full(units, 0.5), planned=planned, comparisons=comparisons),
        )
        for claim, verdict in zip(
            both, (decide("w", "b", config=both[0]), decide("w", "b", checkpoint=both[1])), strict=False
        ):
            low, high = claim.difference_low, claim.difference_high
            won = verdict.kind in ("config", "checkpoint")
            assert won == (low is not None and (low > 0 or (low == 0 and claim.decided == "winner"))), (d, planned)
            lost = verdict.kind == "baseline_wins"
            assert lost == (high is not None and (high < 0 or (high == 0 and claim.decided == "baseline"))), (
                d,
                planned,
            )


def test_what_may_be_said_of_the_average() -> None:
    # 0.6 ten times: betting 0.95 of it makes 1.57^10 = 91, 0.8 makes 50; a seventh of all is above the 20 needed.
    large, small = config_claim([0.6] * 10), config_claim([0.1] * 10)
    assert (large.says, small.says) == ("average", "often")
    assert large.average_low is not None and small.average_low is not None
    assert 0 < large.average_low < 0.6 and small.average_low < 0
    # Below at alpha, above at half of it; of two comparisons at half of those; two-sided at half of alpha both ways.
    d = np.array([0.3, 0.2, 0.5, 0.4, 0.1, -0.1])
    shared, file = config_claim(d, comparisons=2), checkpoint_claim(0.5 + d, np.full(6, 0.5))
    assert (shared.average_low, shared.average_high) == average_ends(d, low=0.025, high=0.0125)
    assert (file.average_low, file.average_high) == pytest.approx(average_ends(d, low=0.025, high=0.025))
    # It melts once and is better else: more often, and no word of the average.
    melts = config_claim([0.1] * 15 + [-0.6])
    assert (melts.won, melts.lost) == (15, 1)
    assert melts.average_low is not None and melts.average_low < 0
    # One large lead carries the sum, and the winner is ahead in no more than it is behind.
    assert checkpoint_claim(np.array([0.9, 0.6, 0.6, 0.6, 0.5]), np.full(5, 0.5)).says == ""


def test_a_plan_of_the_first_edition_keeps_its_intervals() -> None:
    claim = config_claim([0.3] * 8, planned=12, edition=1)
    assert claim.watched is not None
    assert (claim.interval_method, claim.interval_level) == ("confidence_sequence", 0.95)
    assert (claim.difference_low, claim.difference_high) == (claim.watched.low, claim.watched.high)
    assert config_claim([0.02, -0.03], planned=5, edition=1).difference_low is None
    whole = config_claim([0.3, 0.2, 0.5, 0.4, 0.1, 0.6], edition=1)
    assert (whole.final_alpha, whole.interval_level) == (pytest.approx(0.04), 1 - 2 / 64)


@pytest.mark.parametrize(
    ("pairs", "most", "level"), [(5, 1, 1 / 32), (6, 3, 3 / 64), (7, 6, 6 / 128), (8, 10, 10 / 256)]
)
def test_the_level_of_few_pairs_by_hand(pairs: int, most: int, level: float) -> None:
    # All of 0.05 with up to seven pairs; 0.04 with eight, as eight wins could decide early.
    claim = config_claim([0.1] * pairs)
    assert math.floor(claim.final_alpha * 2**pairs + 1e-9) == most
    assert most / 2**pairs == level <= claim.final_alpha


def test_two_of_six_lost_may_still_be_a_claim() -> None:
    # -2 and 1 flip alone or together: sums of (-2), (-2, 1) are not above 0, so with the observed order 3/64 = 0.047.
    differences = [-0.2, 0.1, 0.5, 0.6, 0.7, 0.8]
    claim = config_claim(differences)
    assert claim.p_greater == 3 / 64
    assert decide("w", "b", config=claim).kind == "config"
    assert decide("w", "b", config=config_claim(differences, edition=1)).kind == "no_difference"


def test_two_comparisons_need_one_pair_and_one_prompt_more() -> None:
    # 1/32 and 2/64 are above 0.025, half of 0.05; 1/64 and 2/128 are not.
    assert [config_claim([0.1] * n, comparisons=2).can_support for n in (5, 6)] == [False, True]
    base = np.full(7, 0.5)
    claims = [checkpoint_claim(base[:n] + 0.1, base[:n], comparisons=2) for n in (6, 7)]
    assert [claim.prompts_needed for claim in claims] == [1, 0]


def test_more_units_than_planned_are_refused() -> None:
    with pytest.raises(ValueError, match="6 units, but only 5 were planned"):
        config_claim([0.1] * 6, planned=5)
