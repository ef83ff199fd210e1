"""The space that a session searches: its preset's knobs within the session's bounds, and the baseline in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from bracket.domain import Config, Knob, Problem, Value
from bracket.errors import SettingsError
from bracket.presets import Preset, VramProfile
from bracket.search.space import effective
from bracket.session.asked.settings import Bound
from bracket.strict import nearest

_BEYOND = 1_000
"""Times a preset's own highest value that a bound may reach."""


def bounded_knobs(preset: Preset, bounds: Mapping[str, Bound], profile: VramProfile | None = None) -> tuple[Knob, ...]:
    """The preset's knobs with a session's bounds applied, and what the memory profile leaves of their choices.

    Raises:
        SettingsError: a bound names no knob, or leaves nothing of its range, or is beyond all sense.
    """
    _heed_names("the bounds name", bounds, preset)
    limits = profile.choices if profile else {}
    fitting = [_narrow(k, Bound(choices=limits[k.name]) if k.name in limits else None) for k in preset.knob_list()]
    return tuple(_narrow(k, bounds.get(k.name)) for k in fitting)


def baseline_of(preset: Preset, asked: Config, knobs: tuple[Knob, ...]) -> dict[str, Value]:
    """The baseline as it is trained; `asked` are values in place of the preset's own.

    Raises:
        SettingsError: a value of it is of the wrong kind.
    """
    try:
        return effective({**preset.baseline, **asked}, knobs)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the baseline can't be trained: {error}", remedy="Mend it.") from error


def baseline_problems(
    preset: Preset, asked: Config, knobs: tuple[Knob, ...], *, clamped: bool = False
) -> list[Problem]:
    """What a session asks of its baseline that it can't have. The preset's own is held within the bounds instead.

    Args:
        clamped: it began when such values were clamped, and goes on so.

    Raises:
        SettingsError: it names no knob.
    """
    _heed_names("the baseline names", asked, preset)
    problems = [p for k in knobs if k.name in asked and (p := _unfit(k, asked[k.name]))]
    if problems and clamped:
        return [replace(p, level="warning") for p in problems]
    if problems:
        return problems
    trained = baseline_of(preset, asked, knobs)
    return [
        Problem(
            "error", f"the baseline's {k.name} {asked[k.name]} is too much beside {', '.join(k.at_most)}", "Mend it."
        )
        for k in knobs
        if k.at_most and k.name in asked and trained.get(k.name, asked[k.name]) != asked[k.name]
    ]


def _heed_names(what: str, given: Mapping[str, object], preset: Preset) -> None:
    for name in given:
        if name not in preset.knobs:
            known = ", ".join(preset.knobs)
            message = f"{what} unknown knobs: {name}{nearest(name, preset.knobs)}"
            raise SettingsError(message, remedy=f"Known: {known}.")


def _unfit(knob: Knob, value: Value) -> Problem | None:
    """Why a knob can't have this value."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if knob.kind == "choice":
        if value in knob.choices:
            return None
        known = ", ".join(map(str, knob.choices))
        return Problem("error", f"the baseline's {knob.name} {value!r} is not one of its choices", f"Known: {known}.")
    assert knob.low is not None and knob.high is not None
    if not number or (knob.kind == "int" and value != int(value)):
        whole = "whole " if knob.kind == "int" else ""
        return Problem("error", f"the baseline's {knob.name} {value!r} is no {whole}number", "Type one.")
    if not knob.low <= float(value) <= knob.high:
        what = f"the baseline's {knob.name} {value:g} lies outside the knob's range {knob.low:g} to {knob.high:g}"
        return Problem("error", what, "Mend it, or widen the knob's bounds.")
    return None


def _narrow(knob: Knob, bound: Bound | None) -> Knob:
    if bound is None:
        return knob
    if knob.kind == "choice":
        kept = tuple(c for c in knob.choices if _allowed(c, bound))
        if not kept:
            raise SettingsError(f"the bounds of {knob.name} leave none of its choices", remedy="Widen them.")
        numbers = [c for c in knob.choices if isinstance(c, int | float)]
        _heed_ends(replace(knob, low=min(numbers), high=max(numbers)) if numbers else knob, bound)
        return replace(knob, choices=kept)
    low = knob.low if bound.low is None else bound.low
    high = knob.high if bound.high is None else bound.high
    if low is not None and high is not None and low > high:
        raise SettingsError(f"the bounds of {knob.name} contradict its range", remedy=f"Keep {low:g} ≤ {high:g}.")
    if knob.log and low is not None and low <= 0:
        raise SettingsError(f"{knob.name} is on a log scale: its lower bound must be above 0")
    _heed_ends(knob, bound)
    return replace(knob, low=low, high=high)


def _heed_ends(knob: Knob, bound: Bound) -> None:
    for end in (bound.low, bound.high):
        if end is not None and knob.low is not None and knob.high is not None:
            _heed_end(knob, end, knob.low, knob.high)


def _heed_end(knob: Knob, end: float, low: float, high: float) -> None:
    """Raises SettingsError where a bound is not a value the knob could have."""
    own = f"The preset searches {low:g} to {high:g}."
    largest = _BEYOND * max(1.0 if knob.kind == "int" else 0.0, abs(low), abs(high))
    if abs(end) > largest or (knob.log and 0 < end < low / _BEYOND**2):
        raise SettingsError(f"the bound {end:g} of {knob.name} is beyond all sense", remedy=own)
    if knob.kind == "int" and end != math.floor(end):
        raise SettingsError(f"the bound {end:g} of {knob.name} is not a whole number", remedy=own)
    if end < 0 <= low or (knob.kind == "int" and end < 1 <= low):
        raise SettingsError(f"the bound {end:g} of {knob.name} is too small: it can't be that", remedy=own)


def _allowed(choice: Value, bound: Bound) -> bool:
    if bound.choices and choice not in bound.choices:
        return False
    if isinstance(choice, int | float) and not isinstance(choice, bool):
        return (bound.low is None or choice >= bound.low) and (bound.high is None or choice <= bound.high)
    return True
