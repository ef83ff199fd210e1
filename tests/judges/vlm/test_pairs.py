from __future__ import annotations

import random
from collections import Counter

import pytest

from bracket.judges.asking import Answer
from bracket.judges.vlm.pairs import Verdict, close_pairs, even, together
from bracket.judges.vlm.questions import CHOICES


def chances(a: float, b: float, tie: float = 0.0) -> Answer:
    return Answer({"A": a, "B": b, "T": tie})


def test_both_orders_by_hand() -> None:
    # forth: 0.7 + 0.1/2 = 0.75 for the first; back: 0.1 + 0.2/2 = 0.2 for the second, so 0.8; mean 0.775
    verdict = together(chances(0.7, 0.2, 0.1), chances(0.1, 0.7, 0.2), CHOICES)
    assert verdict.value == pytest.approx(0.775, abs=1e-6) and not verdict.flipped


def test_opposite_answers_are_a_tie_that_is_told() -> None:
    assert together(chances(0.9, 0.1), chances(0.6, 0.4), CHOICES) == Verdict(0.5, flipped=True)
    assert together(Answer(texts=("A",)), Answer(texts=("A",)), CHOICES) == Verdict(0.5, flipped=True)
    assert together(Answer(texts=("B",)), Answer(texts=("B",)), CHOICES) == Verdict(0.5, flipped=True)


def test_a_tie_in_one_order_is_no_flip() -> None:
    assert together(Answer(texts=("A",)), Answer(texts=("tie",)), CHOICES) == Verdict(0.75)
    assert together(Answer(texts=("T",)), Answer(texts=("T",)), CHOICES) == Verdict(0.5)
    assert together(Answer(texts=("A",)), Answer(texts=("B",)), CHOICES) == Verdict(1.0)


def test_repeats_are_averaged_and_unread_ones_left_out() -> None:
    forth = Answer(texts=("A", "A", "T", "A picture", "B"))  # (1 + 1 + 0.5 + 0) / 4 = 0.625
    back = Answer(texts=("B", "B", "B", "B", "A"))  # 0.2 for the second
    assert together(forth, back, CHOICES).value == pytest.approx((0.625 + 0.8) / 2, abs=1e-6)


def test_one_order_without_an_answer_is_a_tie_without_an_answer() -> None:
    no = Answer(texts=("I can't compare people.",))
    assert together(no, Answer(texts=("B",)), CHOICES) == Verdict(0.5, answered=False)
    assert together(chances(1, 0), Answer({"A": 1.0}, coverage=0.001), CHOICES) == Verdict(0.5, answered=False)


def test_a_value_can_be_turned_round_exactly() -> None:
    rng = random.Random(1)
    for value in (rng.random() for _ in range(2000)):
        assert 1 - (1 - even(value)) == even(value)


def test_close_pairs_go_by_rank_and_are_balanced() -> None:
    scores = {"e": 0.1, "a": 0.9, "c": 0.5, "b": 0.8, "d": 0.4}
    ring = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]
    assert close_pairs(scores, 4) == ring
    assert close_pairs(scores, 7) == [*ring, ("a", "c"), ("b", "d"), ("c", "e")]
    assert close_pairs(scores, 100)[7:] == [("a", "d"), ("b", "e"), ("a", "e")]
    assert close_pairs(scores, 10, top=3) == [("a", "b"), ("b", "c"), ("a", "c")]
    assert close_pairs(scores, 0) == close_pairs({}, 5) == close_pairs({"a": 1.0}, 5) == []


def test_a_short_limit_takes_from_all_ranks() -> None:
    scores = {f"{i:02d}": -float(i) for i in range(13)}
    assert close_pairs(scores, 3) == [("02", "03"), ("06", "07"), ("10", "11")]
    for limit in range(1, 80):
        pairs = close_pairs(scores, limit)
        assert len(pairs) == len(set(pairs)) == min(limit, 78)
        seen = Counter(c for pair in pairs for c in pair)
        if limit >= 12:
            assert set(seen) == set(scores) and max(seen.values()) <= 2 * min(seen.values()) + 2


def test_ties_in_score_are_ordered_by_name() -> None:
    assert close_pairs({"b": 1.0, "a": 1.0, "c": 1.0}, 2) == [("a", "b"), ("b", "c")]
