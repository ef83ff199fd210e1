from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from bracket.stats import Ranking, rank_pairs

Choices = list[tuple[str, str, float]]


def ranked(items: str, choices: Choices, prompts: list[str] | None = None, **options: float) -> Ranking:
    prompts = prompts or [str(i) for i in range(len(choices))]
    return rank_pairs(list(items), choices, prompts, **{"draws": 50, **options})


def strength(ranking: Ranking, item: str) -> float:
    value = ranking.strengths[ranking.items.index(item)]
    assert value is not None
    return value


def test_two_items_by_hand() -> None:
    # At s = ±ln 3 the first wins 9 in 10 against the second and 3 in 4 against the average opponent, so that it would
    # win 5 · 0.9 + 1 · 0.75 = 5.25 of its games: 4.75 of the five real ones and half of the virtual one.
    found = ranked("ab", [("a", "b", 1.0)] * 4 + [("b", "a", 0.25)])
    assert found.items == ("a", "b")
    assert found.strengths == (pytest.approx(math.log(3), abs=1e-6), pytest.approx(-math.log(3), abs=1e-6))
    assert found.comparisons == (5, 5) and found.leaders == ("a",) and found.flips == ()


def test_the_fit_is_the_likelihoods_maximum() -> None:
    rng = np.random.default_rng(2)
    choices = [("abcd"[i], "abcd"[j], float(rng.choice([0, 0.5, 1]))) for i in range(4) for j in range(i) for _ in "12"]
    place = {name: i for i, name in enumerate("abcd")}

    def loss(s: np.ndarray) -> float:
        gaps = [(s[place[a]] - s[place[b]], value) for a, b, value in choices]
        gaps += [(gap, 0.5) for gap in s]
        return -sum(v * -math.log1p(math.exp(-g)) + (1 - v) * -math.log1p(math.exp(g)) for g, v in gaps)

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    found = ranked("abcd", choices)
    assert [strength(found, name) for name in "abcd"] == pytest.approx(best, abs=1e-4)
    assert list(found.strengths) == sorted(found.strengths, reverse=True)


def test_ties_are_half_wins() -> None:
    tied = ranked("ab", [("a", "b", 0.5)] * 6)
    split = ranked("ab", [("a", "b", 1.0)] * 3 + [("a", "b", 0.0)] * 3)
    assert tied.strengths == split.strengths == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert tied.leaders == ("a", "b") and tied.flips == ()
    assert tied.top_share == (0.5, 0.5) and tied.low == (pytest.approx(0, abs=1e-6),) * 2


def test_who_always_wins_stays_finite_and_grows_with_the_wins() -> None:
    few, many = (ranked("ab", [("a", "b", 1.0)] * n) for n in (5, 50))
    assert 1 < strength(few, "a") < strength(many, "a") < 6
    assert strength(many, "a") == pytest.approx(-strength(many, "b"), abs=1e-6)
    assert (many.leaders, many.top_share, many.flips) == (("a",), (1.0, 0.0), ())


def test_a_long_chain_of_wins_is_fitted() -> None:
    items = "abcdefghijklmnop"
    found = ranked(items, [(a, b, 1.0) for a, b in itertools.pairwise(items)] * 20, list("vwxyz") * 60, draws=5)
    assert found.items == tuple(items) and found.connected
    assert all(s is not None and abs(s) < 30 for s in found.strengths)


def test_items_never_compared_through_others_are_told() -> None:
    found = ranked("abcde", [("a", "b", 1.0), ("d", "c", 1.0), ("b", "a", 0.5)] * 2)
    groups = dict(zip(found.items, found.groups, strict=True))
    assert groups["a"] == groups["b"] and groups["c"] == groups["d"] and len(set(groups.values())) == 3
    assert not found.connected
    lone = found.items.index("e")
    assert lone == 4 and found.comparisons[lone] == 0
    assert (found.strengths[lone], found.low[lone], found.high[lone], found.top_share[lone]) == (None,) * 4


def test_a_chain_links_its_ends() -> None:
    assert ranked("dbca", [("a", "b", 1.0), ("b", "c", 1.0), ("d", "c", 0.0)]).groups == (0, 0, 0, 0)


def test_one_prompt_that_carries_the_lead_is_named() -> None:
    choices = [("a", "b", 1.0)] * 3 + [("b", "a", 1.0)] * 2
    prompts = ["cat", "dog", "owl", "cow", "fox"]
    found = ranked("ab", choices, prompts)
    # Without any prompt that a won, it stands 2 : 2.
    assert (found.leaders, found.flips, found.prompts) == (("a",), ("cat", "dog", "owl"), 5)
    assert ranked("ab", [*choices, ("a", "b", 1.0)], [*prompts, "elk"]).flips == ()


def test_a_flip_counts_all_comparisons_of_its_prompt() -> None:
    # 4 : 2 in all; 1 : 2 without the cat, 3 : 2 without the dog, 4 : 0 without the owl.
    choices = [("a", "b", 1.0)] * 4 + [("a", "b", 0.0)] * 2
    assert ranked("ab", choices, ["cat", "cat", "cat", "dog", "owl", "owl"]).flips == ("cat",)


def test_prompts_are_resampled_whole() -> None:
    # Ten answers to each of six prompts that agree with each other: only six things were seen, not sixty.
    choices = [("a", "b", float(i < 4)) for i in range(6) for _ in range(10)]
    whole = ranked("ab", choices, [str(i // 10) for i in range(60)], draws=300)
    single = ranked("ab", choices, draws=300)
    assert whole.strengths == single.strengths
    widths = []
    for found in (whole, single):
        assert found.low[0] is not None and found.high[0] is not None
        widths.append(found.high[0] - found.low[0])
    assert widths[0] > 2 * widths[1]
    assert whole.top_share[0] is not None and 0.5 < whole.top_share[0] < 0.95


@pytest.mark.slow
def test_the_bootstrap_interval_holds_the_truth() -> None:
    rng, truth, covered = np.random.default_rng(5), 0.8, []
    chance = 1 / (1 + math.exp(-truth))
    for seed in range(40):
        choices = [("a", "b", float(rng.random() < chance)) for _ in range(40)]
        found = ranked("ab", choices, [str(i // 2) for i in range(40)], draws=60, seed=seed)
        low, high = found.low[found.items.index("a")], found.high[found.items.index("a")]
        assert low is not None and high is not None
        covered.append(2 * low <= truth <= 2 * high)
    assert np.mean(covered) >= 0.87


def test_few_prompts_give_no_interval() -> None:
    choices = [("a", "b", 1.0), ("a", "b", 0.0), ("a", "b", 1.0), ("a", "b", 1.0)] * 2
    found = ranked("ab", choices, list("wxyz") * 2)
    assert found.low == found.high == found.top_share == (None, None) and None not in found.strengths
    assert ranked("ab", choices, list("vwxyzwxy")).low[0] is not None


def test_the_same_seed_gives_the_same_intervals() -> None:
    choices = [("a", "b", float(i % 3 > 0)) for i in range(12)]
    assert ranked("ab", choices, seed=3) == ranked("ab", choices, seed=3) != ranked("ab", choices, seed=4)
    narrow, wide = (ranked("ab", choices, alpha=a, draws=500) for a in (0.4, 0.05))
    assert narrow.low[0] is not None and wide.low[0] is not None and narrow.low[0] > wide.low[0]
    assert (narrow.level, wide.level) == (0.6, 0.95)


def test_nothing_to_rank() -> None:
    none = ranked("ab", [])
    assert (none.items, none.strengths, none.leaders, none.prompts) == (("a", "b"), (None, None), (), 0)
    assert ranked("", []).items == () and ranked("", []).connected
    assert ranked("a", []).strengths == (None,)


def test_it_survives_json() -> None:
    found = ranked("abc", [("a", "b", 1.0)] * 5)
    assert Ranking.from_dict(found.as_dict()) == found


@pytest.mark.parametrize(
    ("items", "choices", "prompts", "message"),
    [
        ("aa", [], [], "different names"),
        ("ab", [("a", "c", 1.0)], ["p"], "'a' against 'c'"),
        ("ab", [("a", "a", 1.0)], ["p"], "'a' against 'a'"),
        ("ab", [("a", "b", 1.5)], ["p"], "between 0 and 1, got 1.5"),
        ("ab", [("a", "b", math.nan)], ["p"], "between 0 and 1, got nan"),
        ("ab", [("a", "b", 1.0)], [], "1 comparisons but 0 prompts"),
    ],
)
def test_what_does_not_fit_is_refused(items: str, choices: Choices, prompts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_pairs(list(items), choices, prompts)
