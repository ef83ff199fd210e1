from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from bracket.stats import Agreement, Gate, agreement, gate
from bracket.stats.people.agreement import FEWEST, PASS, clopper_pearson, evidence


def votes(agreed: int, opposed: int, ties: int = 0) -> Agreement:
    return agreement([1.0] * agreed + [0.0] * opposed + [0.5] * ties, [1.0] * (agreed + opposed + ties))


def test_a_pair_is_agreed_opposed_or_a_tie_of_either() -> None:
    found = agreement([1, 0.9, 0, 0.5, 0.5, 1, 0.2], [1, 0, 0, 0, 0.5, 0.5, 1])
    # Told apart by the person: pairs 1, 2, 3, 4 and 7; the judge says the same of 1 and 3, and nothing of 4.
    assert (found.votes, found.agreed, found.opposed, found.judge_ties, found.person_ties) == (5, 2, 2, 1, 2)
    assert found.rate == (2 + 0.5) / 5


def test_thirty_of_forty_against_the_books() -> None:
    found = votes(30, 10)
    reference = stats.binomtest(30, 40, alternative="greater")
    assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(stats.binomtest(30, 40).proportion_ci(0.95, "exact"), abs=1e-9)
    assert (found.rate, found.level) == (0.75, 0.95)


def test_small_p_values_by_hand() -> None:
    assert votes(5, 0).p == 1 / 32
    assert votes(3, 1).p == pytest.approx(5 / 16)
    assert votes(0, 3).p == 1.0
    assert votes(3, 1, ties=6).p == pytest.approx(5 / 16)


def test_interval_ends_by_hand() -> None:
    # None of n: the upper end u solves (1 - u)^n = 2.5 %.
    assert clopper_pearson(0, 20) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    low, high = clopper_pearson(10.5, 20, alpha=0.1)
    assert clopper_pearson(10, 20, alpha=0.1)[0] < low < clopper_pearson(11, 20, alpha=0.1)[0]
    assert clopper_pearson(10, 20, alpha=0.1)[1] < high < clopper_pearson(11, 20, alpha=0.1)[1]
    for successes, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match="no share"):
            clopper_pearson(successes, n)


def test_nothing_to_compare() -> None:
    found = agreement([], [])
    assert (found.votes, found.rate, found.low, found.high, found.p, found.evidence) == (0, None, None, None, 1.0, 1.0)
    assert agreement([1, 0], [0.5, 0.5]).rate is None
    assert Agreement.from_dict(found.as_dict()) == found


def test_evidence_is_the_averaged_likelihood_over_that_of_chance() -> None:
    prior = stats.beta(6, 3)
    above, _ = integrate.quad(lambda p: prior.pdf(p) * p**14 * (1 - p) ** 6, 0.5, 1)
    assert evidence(14, 6) == pytest.approx(above / prior.sf(0.5) * 2**20, rel=1e-9)
    assert evidence(0, 0) == pytest.approx(1)


def test_evidence_stays_put_on_average_under_chance() -> None:
    for agreed, opposed in ((0, 0), (7, 3), (3, 17), (40, 20)):
        after = (evidence(agreed + 1, opposed) + evidence(agreed, opposed + 1)) / 2
        assert after == pytest.approx(evidence(agreed, opposed), rel=1e-9)
    assert evidence(5_000, 0) > evidence(900, 0) > 1e200
    assert 0 <= evidence(0, 5_000) < 1e-200


@pytest.mark.parametrize(("least", "of"), [(16, 20), (22, 30), (28, 40), (40, 60), (64, 100)])
def test_the_least_that_passes(least: int, of: int) -> None:
    assert gate(votes(least, of - least)).state == "passed"
    refused = gate(votes(least - 1, of - least + 1))
    assert (refused.state, refused.may_crown) == ("refused", False)


def pass_rates(agrees: float, most: int) -> list[float]:
    """Chance of having passed at some look up to n votes, by n, counted over all paths."""
    ways, passed, rates, least = np.zeros(most + 1), 0.0, [], FEWEST // 2
    ways[0] = 1.0
    for n in range(1, most + 1):
        ways = ways * (1 - agrees) + np.append(0.0, ways[:-1]) * agrees
        if n >= FEWEST:
            # One more vote never lowers what is needed.
            while least <= n and evidence(least, n - least) < PASS:
                least += 1
            passed += float(ways[least:].sum())
            ways[least:] = 0.0
        rates.append(passed)
    return rates


def test_a_chance_judge_passes_in_at_most_five_percent_however_often_one_looks() -> None:
    rates = pass_rates(0.5, 2_000)
    assert (round(rates[99], 3), round(rates[999], 3), round(rates[1999], 3)) == (0.035, 0.047, 0.049)


def test_a_good_judge_passes_soon() -> None:
    rates = pass_rates(0.75, 60)
    assert (round(rates[39], 2), round(rates[59], 2)) == (0.86, 0.97)
    assert stats.binom.sf(27, 40, 0.75) == pytest.approx(0.82, abs=0.005)


def test_with_too_few_votes_it_may_crown_unchecked() -> None:
    assert gate(votes(0, 19)) == Gate(
        "unchecked", True, "the judge was not checked: 19 votes told a difference, 20 are needed"
    )
    assert gate(agreement([1.0] * 30, [0.5] * 30)).state == "unchecked"


def test_a_judge_that_tells_too_few_pairs_apart_is_refused() -> None:
    refused = gate(votes(19, 0, ties=1))
    assert not refused.may_crown and "only 19 of your 20 pairs apart" in refused.reason
    passed = gate(votes(18, 2, ties=5))
    assert passed.may_crown and passed.reason.endswith("18 of your 25 votes and saw no difference in 5")


def test_a_judge_that_is_always_wrong_is_refused() -> None:
    assert gate(votes(0, 40)).state == "refused"
    assert "which chance could do as well" in gate(votes(20, 20)).reason


def test_more_votes_can_take_a_pass_back() -> None:
    assert gate(votes(16, 4)).may_crown and not gate(votes(20, 20)).may_crown


@pytest.mark.parametrize(
    ("judged", "voted", "message"),
    [
        ([1, 0], [1], "2 judged pairs but 1 voted"),
        ([1.2], [1], "between 0 and 1"),
        ([math.nan], [1], "not finite"),
        ([[1]], [[1]], "1 dimension"),
    ],
)
def test_what_is_no_choice_is_refused(judged: list[float], voted: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agreement(judged, voted)
