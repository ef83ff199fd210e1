from __future__ import annotations

import pytest

from bracket.domain import Knob
from bracket.search import ends

LR = Knob("learning_rate", "float", low=1e-5, high=1e-1, log=True)


def test_place_and_value_are_inverse() -> None:
    assert ends.place(LR, 1e-3) == pytest.approx(0.5)
    assert ends.value(LR, 0.25) == pytest.approx(1e-4)
    ranks = Knob("rank", "choice", choices=(4, 8, 16, 32, 64))
    assert ends.place(ranks, 16) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("knob", "down", "up"),
    [
        (LR, 4e-7, 3.0),
        (Knob("dropout", "float", low=0.0, high=0.5), 0.0, 0.7),
        (Knob("beta", "float", low=0.1, high=0.9), 0.0, 1.0),
        (Knob("warmup", "int", low=10, high=100), 0.0, 200.0),
        (Knob("shift", "float", low=-3.0, high=3.0), -5.0, 5.0),
    ],
)
def test_a_wider_range_ends_at_a_round_number(knob: Knob, down: float, up: float) -> None:
    if knob.name == "warmup":
        down = 1.0  # a whole number of at least one stays one
    assert ends.widened(knob, upwards=False) == pytest.approx(down)
    assert ends.widened(knob, upwards=True) == pytest.approx(up)


def test_a_narrower_range_is_rounded_outwards_and_stays_inside() -> None:
    assert ends.rounded(LR, 3.14e-4, up=False) == pytest.approx(3.1e-4)
    assert ends.rounded(LR, 3.14e-4, up=True) == pytest.approx(3.2e-4)
    assert ends.rounded(LR, 0.0999, up=True) == 0.1
    assert ends.rounded(Knob("n", "int", low=1, high=9), 3.2, up=True) == 4


def test_the_next_choice_lies_beyond_the_end_that_is_best() -> None:
    wide = (2, 4, 8, 16, 32)
    assert ends.next_choice((4, 8, 16), wide, 16) == 32
    assert ends.next_choice((4, 8, 16), wide, 4) == 2
    assert ends.next_choice((4, 8, 16), wide, 8) is None
    assert ends.next_choice(wide, wide, 32) is None
    assert ends.next_choice(("a", "b"), ("a", "b", "c"), "b") is None


def test_values_are_written_as_people_write_them() -> None:
    shown = [ends.shown(value) for value in (3e-4, 2.5e-3, 0.05, 16, 1200, "adamw", True, 0.0)]
    assert shown == ["3e-4", "2.5e-3", "0.05", "16", "1200", "adamw", "on", "0"]
