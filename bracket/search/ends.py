"""Where a value lies in a knob's range, where a wider range would end, and how such a number is written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bracket.domain import Knob, Value
from bracket.stats.search.scale import is_log, knob_ends

_FURTHER = 1 / 3
"""How much of its length a range is widened by."""


def place(knob: Knob, value: float) -> float:
    """Where a value lies in a knob's range: 0 at its low, 1 at its high, on the knob's scale."""
    low, high = knob_ends(knob)
    if low == high:
        return 0.5
    if is_log(knob):
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def value(knob: Knob, at: float) -> float:
    """The value at a place in a knob's range; the inverse of `place`."""
    low, high = knob_ends(knob)
    return float(low * (high / low) ** at) if is_log(knob) else low + at * (high - low)


def widened(knob: Knob, *, upwards: bool) -> float:
    """The end of a range that is a third longer on this side, as a round number.

    What cannot be negative stays so, and a share (a range within 0..1 that is not on a logarithmic scale) stays one.
    """
    low, high = knob_ends(knob)
    end = _round(value(knob, 1 + _FURTHER if upwards else -_FURTHER), 1, up=upwards)
    if not is_log(knob):
        end = max(end, 0.0) if low >= 0 else end
        end = min(end, 1.0) if high <= 1 else end
    return float(max(1, round(end))) if knob.kind == "int" and low >= 1 else end


def rounded(knob: Knob, number: float, *, up: bool) -> float:
    """A number with two digits that lies outside of it, but not outside of the knob's range."""
    low, high = knob_ends(knob)
    near = float(math.ceil(number) if up else math.floor(number)) if knob.kind == "int" else _round(number, 2, up=up)
    return min(max(near, low), high)


def next_choice(own: Sequence[Value], wider: Sequence[Value], best: Value) -> Value | None:
    """The next of the wider choices beyond the best, when that one ends the numeric choices there were."""
    numbers = [c for c in own if isinstance(c, int | float) and not isinstance(c, bool)]
    if len(numbers) != len(own) or len(own) < 2 or not isinstance(best, int | float):
        return None
    more = sorted(c for c in wider if isinstance(c, int | float) and not isinstance(c, bool))
    if best == max(numbers):
        return next((c for c in more if c > best), None)
    return next((c for c in reversed(more) if c < best), None) if best == min(numbers) else None


def title(name: str) -> str:
    """A knob's name in words."""
    return name.replace("_", " ")


def shown(number: Value | None) -> str:
    """A value as a person writes it: 3e-4, 0.05, 16, adamw."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return {True: "on", False: "off"}.get(number, str(number)) if isinstance(number, bool) else str(number)
    if number and not 0.01 <= abs(number) < 100_000:
        mantissa, exponent = f"{number:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{number:.3g}" if abs(number) < 1_000 else f"{number:.0f}"


def _round(number: float, digits: int, *, up: bool) -> float:
    """To so many digits, away from where it was."""
    if number == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - digits + 1)
    steps = number / unit
    nearest = round(steps)
    if abs(steps - nearest) > 1e-9:
        nearest = math.ceil(steps) if up else math.floor(steps)
    return float(f"{nearest * unit:.{digits}g}")
