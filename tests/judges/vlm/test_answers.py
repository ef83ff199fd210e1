from __future__ import annotations

import itertools
import json
import random
import time

import pytest

from bracket.judges.asking import Answer
from bracket.judges.vlm.answers import EXPECTED, read_choice, read_rank, read_scale, shares_of
from bracket.judges.vlm.pairs import OTHER_WORDS
from bracket.judges.vlm.questions import CHOICES

WORDS = ("bad", "poor", "fair", "good", "excellent")
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_the_expected_value_by_hand() -> None:
    read = read_scale(Answer({"bad": 0.1, "poor": 0.0, "fair": 0.2, "good": 0.3, "excellent": 0.4}), WORDS, VALUES)
    # 0.2·0.5 + 0.3·0.75 + 0.4·1 = 0.725; Σ p·v² = 0.05 + 0.16875 + 0.4 = 0.61875; less 0.725² = 0.093125
    assert read.value == pytest.approx(0.725) and read.how == EXPECTED == "expected value"
    assert read.spread == pytest.approx(0.093125**0.5)


def test_chances_that_do_not_add_up_are_made_to() -> None:
    read = read_scale(Answer({"good": 0.2, "excellent": 0.2}), WORDS, VALUES)
    assert read.value == pytest.approx(0.875) and read.spread == pytest.approx(0.125)


def test_a_sure_answer_has_no_spread_and_stays_in_range() -> None:
    read = read_scale(Answer({"excellent": 0.1 + 0.2, "bad": 0.0}), WORDS, VALUES)
    assert (read.value, read.spread) == (1.0, 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer({}),
        Answer({"other": 1.0}),
        Answer({"good": float("nan")}),
        Answer({"good": -0.5, "bad": 1.0}),
        Answer({"good": float("inf")}),
        Answer({"good": 1.0}, coverage=0.01),
        Answer({"good": 1.0}, coverage=float("nan")),
    ],
)
def test_chances_with_nothing_behind_them_are_no_answer(answer: Answer) -> None:
    assert shares_of(answer, WORDS) is None and read_scale(answer, WORDS, VALUES).value is None


def test_the_median_with_its_spread_by_hand() -> None:
    read = read_scale(Answer(texts=("good", "fair", "good", "excellent", "bad")), WORDS, VALUES)
    # 0, 0.5, 0.75, 0.75, 1: mean 0.6, Σ(v - mean)² = 0.36 + 0.01 + 0.0225 + 0.0225 + 0.16 = 0.575
    assert (read.value, read.how) == (0.75, "median of 5")
    assert read.spread == pytest.approx((0.575 / 5) ** 0.5)


def test_refusals_among_the_repeats_are_left_out_up_to_half() -> None:
    no = "I can't help with that."
    read = read_scale(Answer(texts=("good", no, "fair", no)), WORDS, VALUES)
    assert (read.value, read.how) == (0.625, "median of 2")
    assert read_scale(Answer(texts=("good", no, no)), WORDS, VALUES).value is None
    assert read_scale(Answer(), WORDS, VALUES).value is None


def test_what_was_written_counts_where_the_words_had_little_of_the_probability() -> None:
    texts = ("The picture is good.", "good", "fair")
    assert read_scale(Answer({"bad": 1.0}, texts, coverage=0.2), WORDS, VALUES).value == 0.75
    assert read_scale(Answer({"bad": 1.0}, texts, coverage=0.8), WORDS, VALUES).value == 0.0
    assert read_scale(Answer({"bad": 1.0}, ("poor",), coverage=0.2), WORDS, VALUES).value == 0.0
    assert read_scale(Answer({"bad": 1.0}, ("I can't.",), coverage=0.2), WORDS, VALUES).value is None
    assert read_scale(Answer({"bad": 1.0}, (), coverage=0.2), WORDS, VALUES).value == 0.0
    assert read_scale(Answer({"bad": 1.0}, ("I can't say.",) * 3, coverage=0.2), WORDS, VALUES).value is None


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("good", 3),
        ("Good.", 3),
        ("**Excellent**", 4),
        ('"poor"', 1),
        ("\u201cpoor\u201d", 1),
        ("4", 3),
        ("4/5", 3),
        ("\u0664", 3),  # an Arabic 4
        ("4 / 5.", 3),
        ("3.5", 2.5),
        ("3,5/5", 2.5),
        ("4 out of 5", 3),
        ("Score: 4", 3),
        ("**Score:** 4/5", 3),
        ("Final answer: **good**", 3),
        ("My rating is 2 out of 5 because it is blurred.", 1),
        ("The answer is fair.", 2),
        ('{"answer": "good"}', 3),
        ('{"score": 4, "reason": "excellent light, poor hands"}', 3),
        ('```json\n{"rating": "4/5"}\n```', 3),
        ('Here you go: {"quality": "poor"} Hope it helps.', 1),
        ("```\nexcellent\n```", 4),
        ("<think>It is bad, or even poor... 2/5?</think>good", 3),
        ("is it bad? no.</think>\n\ngood", 3),
        ("<thinking>\nbad\n</thinking>\nAnswer: good", 3),
        ("Good - a sharp picture with poor hands.", 3),
        ("It has some flaws and the hands look poor at first. On the whole:\ngood", 3),
        ("I would call this picture excellent.", 4),
        ("This one gets 2/5 from me.", 1),
        ("\u25c1think\u25b7bad?\u25c1/think\u25b7good", 3),
        ("<think>poor</think><answer>good</answer>", 3),
        ("<|begin_of_box|>good<|end_of_box|>", 3),
        ("The answer is that the picture is good.", 3),
        ("It shows a dog on grass. " * 6 + "The hands are poor. Overall, this is a good picture.", 3),
        ('{"answer": "good", "reaso', 3),
        ("I can't see any fault. Answer: excellent", 4),
    ],
)
def test_what_is_understood(text: str, rank: float) -> None:
    assert read_rank(text, WORDS) == rank


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "I can't help with that.",
        "I'm sorry, but I cannot rate pictures of people as good or bad.",
        "I\u2019m sorry, this would not be good.",
        "As an AI I will not say whether it is good.",
        "good or fair",
        "Between fair and good.",
        "The picture is not good.",
        "It isn't a good picture.",
        "0",
        "6",
        "0/5",
        "6/5",
        "-4",
        "8/10",
        "80%",
        "4/10",
        "Score: 9",
        "I see 3 dogs and 2 cats.",
        "There are 4 people in it.",
        "Score: 4. Score: 2.",
        "<think>It must be good",
        "<think>good</think>",
        '{"answer": "good", "score": 2}',
        '{"sharpness": 4, "light": 2}',
        '{"answer": true}',
        '{"answer": null}',
        "[4, 2]",
        "1. It is sharp. 2. It is lit well.",
        "4/5 for the light, 2/5 for the hands",
        "goodish",
        "A picture of a good boy, says the text. " * 5,
        "It shows a dog on grass, which is fair. " * 6 + "The light is good.",
        "It shows a dog on grass. " * 6 + "Overall, this is not a good picture.",
        "\u25c1think\u25b7good",
        "4.5.6",
        "NaN",
        "{" * 5000,
    ],
)
def test_what_is_not_is_none_and_never_a_guess(text: str) -> None:
    assert read_rank(text, WORDS) is None


def test_numbers_as_the_scale_s_own_answers() -> None:
    digits = ("1", "2", "3", "4", "5")
    assert [read_rank(t, digits) for t in ("4", "4/5", "Score: 4/5", "0", "6", "4/10", "3.5")] == [3, 3, 3] + [None] * 4
    assert [read_rank(t, ("0", "5", "10")) for t in ("5", "5/10", "1")] == [1, 1, None]


def test_any_wrapping_of_any_word_says_that_word() -> None:
    wraps = (
        "{}", " {}\n", "{}.", "**{}**", "`{}`", "Answer: {}", "ANSWER - {}", '{{"answer": "{}"}}', "```\n{}\n```",
        "<think>bad poor fair good excellent 1 2 3</think>{}", "The final rating is {}.",
        "{}\n\nIt looks as it should.",
        "Looking at edges, light and hands.\n\n{}",
    )  # fmt: skip
    for (rank, word), wrap, case in itertools.product(enumerate(WORDS), wraps, (str.lower, str.title, str.upper)):
        assert read_rank(wrap.format(case(word)), WORDS) == rank, wrap


def test_two_different_words_are_never_one_answer() -> None:
    joins = ("{} {}", "{}, {}", "{} or {}", "{}/{}", "Answer: {}. Answer: {}", '{{"answer": "{}", "score": "{}"}}')
    for (one, other), join in itertools.product(itertools.permutations(WORDS, 2), joins):
        assert read_rank(join.format(one, other), WORDS) is None, join


def test_rubbish_gives_a_rank_in_range_or_none() -> None:
    rng = random.Random(4)
    pieces = [
        *WORDS,
        "Score:",
        "4",
        "/",
        "5",
        "<think>",
        "</think>",
        "{",
        "}",
        '"answer":',
        "```",
        "not",
        "\n",
        ",",
        "-",
    ]
    for _ in range(3000):
        text = " ".join(rng.choices(pieces, k=rng.randrange(9)))
        rank = read_rank(text, WORDS)
        assert rank is None or 0 <= rank <= 4, text
        choice = read_choice(text, CHOICES, OTHER_WORDS)
        assert choice is None or choice in CHOICES


@pytest.mark.parametrize(
    "text",
    [
        "answer" + " " * 100_000,
        "answer" + ":" * 100_000,
        "answer: : " * 20_000,
        "answer is " * 20_000,
        "\n" * 100_000 + "x",
        "<think" * 20_000,
        "{" * 100_000,
        '{"a":' * 20_000,
        "not " * 50_000 + "good",
        "4/5 " * 50_000,
        "`" * 100_000,
        "x" * 1_000_000,
    ],
)
def test_rubbish_of_any_length_is_read_quickly(text: str) -> None:
    begin = time.process_time()
    read_rank(text, WORDS)
    read_choice(text, CHOICES, OTHER_WORDS)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("A", "A"),
        ("b", "B"),
        ("T", "T"),
        ("B.", "B"),
        ("tie", "T"),
        ("Tie.", "T"),
        ("Picture A", "A"),
        ("Answer: Image B", "B"),
        ("Answer: B because it is sharper", "B"),
        ('{"answer": "A", "reason": "B is blurred"}', "A"),
        ('{"winner": "tie"}', "T"),
        ("Picture B is clearly better than picture A.", "B"),
        ("Image A wins.", "A"),
        ("A. The first is sharper.", "A"),
        ("<think>A or B? B.</think>A", "A"),
        ("Both show the dog.\n\nT", "T"),
    ],
)
def test_choices_that_are_understood(text: str, choice: str) -> None:
    assert read_choice(text, CHOICES, OTHER_WORDS) == choice


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A picture of a dog and a picture of a cat.",
        "A dog stands in both.",
        "A or B",
        "C",
        "Picture A is worse.",
        "Picture A is better. No, picture B is better.",
        "The answer is a matter of taste.",
        "I can't choose: picture A is better in some ways.",
        "AB",
        json.dumps({"a": 1, "b": 2}),
    ],
)
def test_choices_that_are_not(text: str) -> None:
    assert read_choice(text, CHOICES, OTHER_WORDS) is None
