"""Reading what servers say: the older form of log-probabilities, nonsense numbers, and answers of any shape at all."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from bracket.judges.server.http import Garbage
from bracket.judges.server.replies import read_chances, read_reply
from tests.judges.model_server import completion, token_logprobs

AB = ("A", "B", "T")


def test_hand_worked_chances() -> None:
    # A 0.5 + "▁a" 0.1, B 0.2; T is absent: at most 0.2 left over, and no more than the least listed, 0.1.
    tokens = [("A", {"A": 0.5, "▁a": 0.1, "B.": 0.2})]
    chances, coverage = read_chances(tokens, "A", AB)
    assert coverage == pytest.approx(0.8)
    assert chances == pytest.approx({"A": 0.6 / 0.9, "B": 0.2 / 0.9, "T": 0.1 / 0.9})


def test_an_article_is_no_option() -> None:
    """ "A" begins "A fine picture" and "awful" alike, but neither is "awful"."""
    assert read_chances([("A", {"A": 0.9, "fine": 0.1})], "A", ("awful", "fine")) == (None, pytest.approx(0.1))


def test_half_a_word_counts_when_the_whole_was_said() -> None:
    tokens = [("Ex", {"Ex": 0.7, "po": 0.2, "xx": 0.1}), ("cellent", {"cellent": 1.0})]
    chances, coverage = read_chances(tokens, "Excellent", ("poor", "excellent"))
    assert coverage == pytest.approx(0.9)
    assert chances == pytest.approx({"poor": 2 / 9, "excellent": 7 / 9})


def test_a_beginning_that_two_words_share_counts_for_neither() -> None:
    tokens = [("po", {"po": 0.6, "fair": 0.4}), ("or", {"or": 1.0})]
    chances, coverage = read_chances(tokens, "poor", ("poor", "poster", "fair"))
    assert (chances, coverage) == (None, pytest.approx(0.4))


def test_the_older_form_of_log_probabilities() -> None:
    old = {"tokens": ["B"], "token_logprobs": [-0.1], "top_logprobs": [{"B": math.log(0.9), "A": math.log(0.1)}]}
    reply = read_reply(completion("B", old), AB)
    assert reply.chances is not None and reply.chances["B"] == pytest.approx(0.9)


@pytest.mark.parametrize("odd", [math.nan, math.inf, 5.0, "x", None, -(10**400)])
def test_numbers_that_are_no_log_probabilities_are_left_out(odd: Any) -> None:
    logprobs = token_logprobs(("A", {"A": 0.6, "B": 0.4}))
    logprobs["content"][0]["top_logprobs"].append({"token": "T", "logprob": odd})
    reply = read_reply(completion("A", logprobs), AB)
    assert reply.chances is not None
    assert reply.chances == pytest.approx({"A": 0.6, "B": 0.4, "T": 0.0})


def test_the_said_token_alone_is_no_distribution() -> None:
    logprobs = {"content": [{"token": "A", "logprob": -0.5, "top_logprobs": []}]}
    reply = read_reply(completion("A", logprobs), AB)
    assert (reply.chances, reply.measured, reply.text) == (None, False, "A")


def test_an_answer_of_any_shape_is_read_or_called_garbage() -> None:
    """Every value of a good answer is put in the place of every other."""
    rng = random.Random(4)
    good = completion("A", token_logprobs(("A", {"A": 0.6, "B": 0.4})), reasoning_content="", refusal=None)
    odd: list[Any] = [None, True, 0, -1.5, "", "A", "{", [], {}, [None], [[]], {"text": 3}, {"token": {}}, good]
    read = 0
    for _ in range(2000):
        broken = json.loads(json.dumps(good))
        for _ in range(rng.randint(1, 2)):
            place: Any = broken
            while True:
                keys = list(place) if isinstance(place, dict) else range(len(place))
                key = rng.choice(list(keys))
                if not place[key] or not isinstance(place[key], dict | list) or rng.random() < 0.3:
                    break
                place = place[key]
            place[key] = json.loads(json.dumps(rng.choice(odd)))
        try:
            reply = read_reply(broken, AB)
        except Garbage:
            continue
        read += 1
        assert isinstance(reply.text, str) and 0 <= reply.coverage <= 1
        assert reply.chances is None or sum(reply.chances.values()) == pytest.approx(1)
    assert 200 < read < 2000
