from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bracket.stats import Watched, e_values, sign_flip, watch
from bracket.stats.duel.sequential import BETS, conclusion, fewest_units


def test_equal_sizes_multiply_each_bet_by_hand() -> None:
    # Stakes are 1. After two wins (1.6² + 1.8² + 2²)/3, then a loss: (1.6²·0.4 + 1.8²·0.2 + 2²·0)/3.
    assert e_values([0.1, 0.1, -0.1]) == pytest.approx([1.8, 9.8 / 3, (1.024 + 0.648) / 3])
    assert e_values([-0.1]) == pytest.approx([0.2])


def test_stakes_follow_the_median_so_far_by_hand() -> None:
    # 2 stakes 2/2; 1 stakes 1/1.5; 6 stakes 6/2, cut to 1. With λ = 0.6, 0.8, 1: factors 1.6, 1.8, 2, then 1 + 2λ/3.
    second = [1.6 * 1.4, 1.8 * (1 + 1.6 / 3), 2 * (1 + 2 / 3)]
    third = [e * (1 - bet) for e, bet in zip(second, BETS, strict=True)]
    assert e_values([2, 1, -6]) == pytest.approx([1.8, sum(second) / 3, sum(third) / 3])


def test_zeros_move_nothing_and_count_as_units() -> None:
    assert e_values([0, 0.2, 0, 0.1]).tolist() == pytest.approx([1, 1.8, 1.8, e_values([0.2, 0.1])[-1]])
    assert watch([0, 0.2], planned=8, two_sided=False).units == 2
    nothing = watch([], planned=8, two_sided=False)
    assert (nothing.units, nothing.e_winner, nothing.e_baseline, nothing.path) == (0, 1.0, 1.0, ())
    assert not np.isnan(e_values(np.zeros((2, 3)))).any()


def test_several_duels_at_once_are_each_by_itself() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 12)).round(1)
    assert np.allclose(e_values(rows), [e_values(row) for row in rows])


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_no_stake_knows_what_comes_later(d: list[int]) -> None:
    found = e_values(d)
    for units in range(1, len(d)):
        assert e_values(d[:units]) == pytest.approx(found[:units], abs=0), d


@pytest.mark.parametrize("units", [1, 3, 5, 8])
def test_the_e_value_is_one_on_average_over_fair_signs(units: int) -> None:
    sizes = np.random.default_rng(units).exponential(size=units)
    signs = np.array(list(itertools.product((1, -1), repeat=units)))
    assert np.mean(e_values(signs * sizes), axis=0) == pytest.approx(np.ones(units))


def test_looking_after_every_unit_crosses_a_threshold_as_rarely_as_ville_says() -> None:
    values = e_values(np.random.default_rng(1).normal(size=(2_000, 40)))
    assert np.mean((values >= 20).any(axis=1)) <= 0.05
    assert np.mean((values >= 100).any(axis=1)) <= 0.01


def test_eight_equal_wins_of_twelve_decide_by_hand() -> None:
    # (1.6^7 + 1.8^7 + 2^7)/3 = 72; one more: 136 > 100 = 1/(0.05 · 0.2).
    seven = watch([0.3] * 7, planned=12, two_sided=False)
    assert (seven.decided, seven.ended, seven.e_needed) == ("", False, pytest.approx(100))
    assert seven.e_winner == pytest.approx((1.6**7 + 1.8**7 + 2**7) / 3)
    eight = watch([0.3] * 8, planned=12, two_sided=False)
    assert (eight.decided, eight.decided_at, eight.ended, eight.hopeless) == ("winner", 8, True, False)
    assert len(eight.path) == 8 and eight.path[-1] == eight.e_winner


def test_what_comes_later_does_not_undo_a_decision() -> None:
    after = watch([0.3] * 8 + [-0.5] * 3, planned=12, two_sided=False)
    assert (after.decided, after.decided_at) == ("winner", 8)
    assert after.e_winner < 2


def test_alpha_is_split_between_directions_and_comparisons() -> None:
    one = watch([], planned=12, two_sided=False)
    both = watch([], planned=12, two_sided=True, comparisons=2)
    assert (one.live_alpha, one.final_alpha) == pytest.approx((0.01, 0.04))
    assert (both.live_alpha, both.final_alpha) == pytest.approx((0.0025, 0.04))
    # Two-sided needs 200: nine wins, (1.6^9 + 1.8^9 + 2^9)/3 = 260. So does the baseline, which nobody named.
    assert watch([0.3] * 9, planned=12, two_sided=True).decided_at == 9
    lost = watch([-0.3] * 9, planned=12, two_sided=False)
    assert (lost.decided, lost.decided_at) == ("baseline", 9)


def test_what_watching_can_never_spend_stays_with_the_exact_test() -> None:
    # (1.6^n + 1.8^n + 2^n)/3: 20, 38, 72, 136, 260 for five to nine. One-sided 100 decides, with two comparisons 200;
    # two-sided 200, with two comparisons 400.
    def spent(two_sided: bool, comparisons: int) -> list[float]:
        plans = [watch([], planned=n, two_sided=two_sided, comparisons=comparisons) for n in range(5, 11)]
        assert all((plan.live_alpha == 0) == (plan.final_alpha == 0.05) for plan in plans)
        assert all(plan.final_alpha == pytest.approx(0.04) for plan in plans if plan.live_alpha)
        return [plan.live_alpha for plan in plans]

    assert spent(False, 1) == pytest.approx([0, 0, 0, 0.01, 0.01, 0.01])
    assert spent(False, 2) == pytest.approx([0, 0, 0, 0, 0.005, 0.005])
    assert spent(True, 1) == pytest.approx([0, 0, 0, 0, 0.005, 0.005])
    assert spent(True, 2) == pytest.approx([0, 0, 0, 0, 0, 0.0025])
    assert math.isinf(watch([0.3] * 7, planned=7, two_sided=False).e_needed)


@pytest.mark.parametrize(("planned", "comparisons"), [(7, 1), (8, 2)])
def test_no_duel_too_small_to_decide_early_could_have(planned: int, comparisons: int) -> None:
    # Under the first edition of the rules all wins would have been needed and not enough: nothing is lost.
    before = watch([0.3] * planned, planned=planned, two_sided=False, comparisons=comparisons, edition=1)
    assert before.e_winner < before.e_needed
    assert before.final_alpha == pytest.approx(0.04)


@pytest.mark.parametrize("pairs", [5, 6, 7, 8])
def test_false_claims_of_few_pairs_keep_to_alpha_each_way(pairs: int) -> None:
    # Every order of signs is as likely; equal sizes decide early most easily, others have more distinct sums.
    signs = np.array(list(itertools.product((1, -1), repeat=pairs)))
    for sizes in (np.ones(pairs), np.arange(1, pairs + 1), 2.0 ** np.arange(pairs)):
        sides = np.array([conclusion(row * sizes, planned=pairs, two_sided=False) for row in signs])
        assert np.mean(sides > 0) <= 0.05
        assert np.mean(sides < 0) <= 0.025
    # Sizes that are powers of two have all sums distinct, so the test's own level is reached.
    assert np.mean(sides > 0) == {5: 1 / 32, 6: 3 / 64, 7: 6 / 128, 8: 10 / 256}[pairs]


def test_the_fewest_units_are_those_whose_test_can_claim() -> None:
    assert [fewest_units(False), fewest_units(True)] == [5, 6]
    assert [fewest_units(False, comparisons=2), fewest_units(True, comparisons=2)] == [6, 7]
    # Almost all of alpha for watching: six wins decide (38 > 1/0.0495), so the test is left with 0.0005, 1/2048.
    assert fewest_units(False, live_share=0.99) == 11
    # Five decide at 1/0.049 (20.5 > 20.4), so the test is left with 0.001, 1/1024.
    assert fewest_units(False, live_share=0.98) == 10


def test_without_a_live_share_nothing_is_decided_early() -> None:
    watched = watch([0.3] * 11, planned=12, two_sided=False, live_share=0.0)
    assert (watched.decided, watched.live_alpha, watched.final_alpha, watched.e_needed) == ("", 0, 0.05, math.inf)


@pytest.mark.parametrize("two_sided", [False, True])
def test_hopeless_is_what_brute_force_finds(two_sided: bool) -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for planned, units in [(5, 1), (5, 2), (6, 1), (6, 3), (7, 4), (8, 7), (9, 7)]:
        for _ in range(5):
            d = rng.normal(size=units).round(2)
            endings = itertools.product((1e6, -1e6), repeat=planned - units)
            tests = [sign_flip([*d, *ending]) for ending in endings]
            best = min(test.p_two_sided if two_sided else test.p_greater for test in tests)
            least = 2 / 2**planned if two_sided else 1 / 2**planned
            watched = watch(d, planned=planned, two_sided=two_sided)
            level = 0.04 if planned >= (9 if two_sided else 8) else 0.05
            assert watched.final_alpha == pytest.approx(level)
            assert watched.hopeless == (best > level or least > level), (planned, d)
            assert watched.ended == watched.hopeless
            seen.add(watched.hopeless)
    assert seen == {True, False}


def test_one_lost_pair_of_five_is_hopeless_by_hand() -> None:
    # All five must win (1/32). After one loss of six the rest may still win: (2/2)/2^5 = 1/32; after two 2·… = 1/16.
    assert watch([-0.1], planned=5, two_sided=False).hopeless
    assert not watch([0.1], planned=5, two_sided=False).hopeless
    assert not watch([-0.1], planned=6, two_sided=False).hopeless
    assert watch([-0.1, -0.1], planned=6, two_sided=False).hopeless


def test_no_unit_yet_is_hopeless_only_where_the_plan_is_too_small() -> None:
    assert [watch([], planned=n, two_sided=False).hopeless for n in (0, 4, 5)] == [True, True, False]
    assert [watch([], planned=n, two_sided=True).hopeless for n in (5, 6)] == [True, False]
    # Two comparisons must reach 0.025 first: 1/64.
    assert [watch([], planned=n, two_sided=False, comparisons=2).hopeless for n in (5, 6)] == [True, False]


def test_comparisons_share_alpha_and_before_edition_3_the_last_of_them_had_it_whole() -> None:
    # Of two comparisons each is held to 0.025: 1/32 is above it, 1/64 is not.
    assert [conclusion([0.3] * n, planned=n, two_sided=False, comparisons=2) for n in (5, 6)] == [0, 1]
    assert conclusion([0.3] * 5, planned=5, two_sided=False, comparisons=2, edition=2) == 1
    # After one loss of six, winning the rest leaves 1/32.
    assert watch([-0.1], planned=6, two_sided=False, comparisons=2).hopeless
    assert not watch([-0.1], planned=6, two_sided=False, comparisons=2, edition=2).hopeless


def test_a_full_plan_has_ended_and_is_left_to_the_exact_test() -> None:
    watched = watch([0.1, -0.1] * 3, planned=6, two_sided=False)
    assert (watched.ended, watched.complete, watched.decided, watched.hopeless) == (True, True, "", False)


@pytest.mark.parametrize("units", [7, 30])
def test_the_confidence_sequence_agrees_with_the_e_process(units: int) -> None:
    # Of so few as seven, the ends lie beyond all that was seen.
    d = np.random.default_rng(4).normal(0.8, 1, units)
    watched = watch(d, planned=40, two_sided=True)
    assert watched.low is not None and watched.high is not None
    assert watched.low < d.mean() < watched.high
    assert (watched.low < d.min(), watched.high > d.max()) == (units == 7,) * 2
    spread = np.ptp(d)
    for end, inside, sign in ((watched.low, 1e-3, 1), (watched.high, -1e-3, -1)):
        assert e_values(sign * (d - end)).max() >= 40 * 0.999
        assert e_values(sign * (d - end - inside * spread)).max() < 40


def test_the_confidence_sequence_by_hand() -> None:
    # Six wins reach at most (1.6^6 + 1.8^6 + 2^6)/3 = 38.3, below 2/0.05 = 40; seven do.
    assert watch([0.1] * 6, planned=12, two_sided=False).low is None
    seven = watch([0.1] * 7, planned=12, two_sided=False)
    assert (seven.low, seven.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert watch([], planned=5, two_sided=False).low is None


@pytest.mark.parametrize("units", [8, 30])
def test_the_confidence_sequence_covers_at_every_moment(units: int) -> None:
    noise = np.random.default_rng(units).standard_t(4, (3_000, units))
    missed = (e_values(noise) >= 40).any(axis=1) | (e_values(-noise) >= 40).any(axis=1)
    assert np.mean(missed) <= 0.05


def test_swapping_the_arms_swaps_everything_two_sided() -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        d = rng.normal(0.5, 1, 14)
        one, other = (watch(side, planned=16, two_sided=True) for side in (d, -d))
        assert (one.e_winner, one.e_baseline) == (other.e_baseline, other.e_winner)
        assert one.decided == {"": "", "winner": "baseline", "baseline": "winner"}[other.decided]
        assert (one.decided_at, one.hopeless) == (other.decided_at, other.hopeless)
        assert one.low == (None if other.high is None else pytest.approx(-other.high))


def test_scale_does_not_matter() -> None:
    d = np.random.default_rng(6).normal(0.3, 1, 12)
    one, other = (watch(d * scale, planned=12, two_sided=False) for scale in (1, 1e-3))
    assert one.path == pytest.approx(other.path)
    assert one.high is None or one.high == pytest.approx(1e3 * (other.high or 0))


def test_a_conclusion_is_by_the_e_process_or_by_the_exact_test_of_everything() -> None:
    assert conclusion([0.3] * 8, planned=12, two_sided=False) == 1
    assert conclusion([0.3] * 7, planned=12, two_sided=False) == 0
    assert conclusion([0.3] * 7, planned=7, two_sided=False) == 1
    assert conclusion([-0.3] * 5, planned=5, two_sided=False) == 0
    assert conclusion([-0.3] * 6, planned=6, two_sided=False) == conclusion([-0.3] * 6, planned=6, two_sided=True) == -1
    assert conclusion([], planned=6, two_sided=True) == 0


def test_watched_survives_json() -> None:
    watched = watch([0.1, -0.2, 0.3], planned=8, two_sided=True)
    assert Watched.from_dict(json.loads(json.dumps(watched.as_dict(), allow_nan=False))) == watched


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"differences": [0.1] * 3, "planned": 2}, "3 units, but only 2"),
        ({"differences": [np.nan], "planned": 2}, "not finite"),
        ({"differences": [0.1], "planned": 2, "live_share": 1.0}, "share of alpha"),
        ({"differences": [0.1], "planned": 2, "comparisons": 0}, "at least one comparison"),
        ({"differences": [0.1], "planned": 2, "alpha": 0.7}, "alpha must lie"),
    ],
)
def test_bad_questions_are_named(arguments: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        watch(**{"two_sided": False, **arguments})
