"""How a knob's values are spaced."""

from __future__ import annotations

from bracket.domain import Knob

_FAR = 8.0
"""Numeric choices that span this factor (ranks 4 to 32) are spaced by their logarithm."""


def is_number(knob: Knob) -> bool:
    """Whether a knob's values have an order: a range, or two and more choices that are all numbers."""
    if knob.kind != "choice":
        return True
    return all(isinstance(c, int | float) and not isinstance(c, bool) for c in knob.choices) and len(knob.choices) > 1


def is_log(knob: Knob) -> bool:
    """Whether its values are spaced by their logarithm."""
    if knob.kind != "choice" or not is_number(knob):
        return knob.log
    low, high = knob_ends(knob)
    return low > 0 and high / low >= _FAR


def knob_ends(knob: Knob) -> tuple[float, float]:
    """The lowest and the highest value of a knob whose values are numbers."""
    if knob.kind == "choice":
        numbers = [float(c) for c in knob.choices if isinstance(c, int | float)]
        return min(numbers), max(numbers)
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    return float(knob.low), float(knob.high)
