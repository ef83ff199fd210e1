from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bracket.stats.people.concordance import Concordance, InEffect, concordance, in_effect, matched


def test_a_known_permutation_by_hand() -> None:
    # 15 pairs; 2 1 3 4 6 5 has two swapped neighbours: (13 - 2) / 15.
    found = concordance([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 6, 5])
    assert found is not None
    assert found.tau == pytest.approx(11 / 15)
    half = 1.959964 * math.sqrt(0.437 / 2)
    assert (found.low, found.high) == pytest.approx(
        (math.tanh(math.atanh(11 / 15) - half), math.tanh(math.atanh(11 / 15) + half))
    )
    # The lowest loss is the first; by the judge it is second, behind the second trial.
    assert (found.by_loss, found.by_judge, found.place, found.trials) == (0, 1, 2, 6)
    assert Concordance.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_ties_count_by_tau_b() -> None:
    # Ten pairs beside the ties: 14 concordant of 15 - 1 tied in the losses: 14 / sqrt(14 * 15).
    found = concordance([1, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
    assert found is not None and found.tau == pytest.approx(14 / math.sqrt(14 * 15))


def test_a_perfect_order_of_few_is_not_certain() -> None:
    found = concordance(range(8), range(8))
    assert found is not None
    assert (found.tau, found.high) == pytest.approx((1.0, 1.0)) and found.agrees
    assert 0.5 < found.low < 0.95
    against = concordance(range(8), range(8, 0, -1))
    assert against is not None and against.opposes and against.place == 8


def test_noise_neither_agrees_nor_opposes() -> None:
    rng = np.random.default_rng(1)
    found = concordance(rng.normal(size=20), rng.normal(size=20))
    assert found is not None and not found.agrees and not found.opposes


def test_too_little_says_nothing() -> None:
    assert concordance(range(5), range(5)) is None
    assert concordance([1] * 8, range(8)) is None
    with pytest.raises(ValueError, match="3 losses but 2 judged"):
        concordance([1, 2, 3], [1, 2])


@pytest.mark.slow
def test_the_interval_covers() -> None:
    rng, covered = np.random.default_rng(0), []
    for _ in range(600):
        x = rng.normal(size=14)
        found = concordance(x, 0.5 * x + math.sqrt(0.75) * rng.normal(size=14))
        assert found is not None
        covered.append(found.low <= 2 / math.pi * math.asin(0.5) <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_values_on_another_scale_by_hand() -> None:
    assert matched([10.0, math.inf, 1.0], [0.4, 0.1, 0.9]) == [0.4, 0.9, 0.1]
    assert matched([5.0, 5.0, 1.0, 7.0], [0.0, 0.2, 0.6, 1.0]) == pytest.approx([0.4, 0.4, 0.0, 1.0])
    assert matched([3.0], [0.7]) == [0.7]


def test_what_a_part_carries_by_hand() -> None:
    loss, sample = np.array([0, 2, 4, 6, 8, 10.0]), np.array([0, 1, 2, 3, 4, 6.0])
    found = in_effect(0.25 * loss + 0.75 * sample, loss, sample)
    # Best are the first three: 0.25 · 2 against 0.75 · 1 (times the same). Of all: 0.25 · 3.416 against 0.75 · 1.972.
    assert found == InEffect(pytest.approx(0.25), pytest.approx(0.366, abs=5e-4), pytest.approx(0.4), 6, 3)
    assert in_effect(sample, loss, sample) is None  # the loss does not count
    assert in_effect(sample[:5], loss[:5], sample[:5]) is None


def test_on_one_scale_a_weight_means_what_it_says_among_the_best_too() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)
    # A loss that hardly differs among the good and explodes among the bad, beside a judge that tells all apart.
    loss, judged = 0.1 + 0.01 * np.exp(truth + 0.4 * rng.normal(size=300)), 1 / (1 + np.exp(-truth))
    for part, low, high in ((loss / (loss + 0.1), 0.0, 0.16), (np.array(matched(loss, judged)), 0.29, 0.36)):
        found = in_effect(0.3 * part + 0.7 * judged, part, judged)
        assert found is not None and low <= found.among_best <= high
