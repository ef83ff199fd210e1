from __future__ import annotations

import math

import pytest

from bracket.report import words

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.34, "0.3 s"), (9.97, "10 s"), (59.6, "1 min"), (250, "4 min 10 s"), (3600, "1 h"), (7500, "2 h 5 min"),
     (273_600, "3 d 4 h"), (float("nan"), "–")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("x", "text"),
    [(0, "0"), (8, "8"), (0.0123, "0.0123"), (0.05, "0.05"), (12.345, "12.3"), (0.0001, "1e-4"), (2.5e6, "2.5e6"),
     (-0.25, f"{MINUS}0.25"), (float("inf"), "–")],
)  # fmt: skip
def test_number(x: float, text: str) -> None:
    assert words.number(x) == text


def test_percent_says_all_or_nothing_only_when_it_is() -> None:
    assert [words.percent(x) for x in (0, 0.001, 0.814, 0.999, 1)] == ["0 %", "< 1 %", "81 %", "> 99 %", "100 %"]


def test_p_value() -> None:
    values = (0.0004, 0.031, 0.25, 1.0)
    assert [words.p_value(p) for p in values] == ["p < 0.001", "p = 0.031", "p = 0.25", "p = 1.00"]


def test_config_label_names_what_varies_in_the_configs_order() -> None:
    config = {"learning_rate": 3.16e-4, "rank": 8, "gradient_checkpointing": True, "seed": 1}
    assert words.config_label(config, {"rank", "learning_rate"}) == "lr 3.2e-4, rank 8"
    assert words.config_label(config, ["gradient_checkpointing"]) == "gradient checkpointing on"


def test_config_label_without_a_varying_knob_names_all() -> None:
    assert words.config_label({"learning_rate": 0.01, "rank": 4}, ()) == "lr 1e-2, rank 4"


def test_a_difference_that_rounds_to_nothing_has_no_sign() -> None:
    assert words.points(-0.0001) == "0.0"
    assert words.points(-0.01) == f"{MINUS}1.0"
    assert words.points(0.407) == "+40.7"
    assert words.points(None) == words.points(math.nan) == "–"


def test_files_hold_0_to_1_and_people_read_0_to_100_with_the_better_higher() -> None:
    assert (words.score(0.259), words.score(0.547)) == ("74.1", "45.3"), "a lower total is the better score"
    assert (words.judged(0.845), words.judged(1.0)) == ("84.5", "100.0")
    assert words.score(None) == words.judged(None) == words.judged(math.nan) == "–"


def test_knob_names() -> None:
    assert words.knob_name("text_encoder_lr") == "text encoder lr"
    assert words.knob_value("text_encoder_lr", 5e-5) == "5e-5"
    assert words.knob_value("optimizer", "adamw_8bit") == "adamw 8bit"
