"""The space of configs: knobs as Optuna distributions, their conditions, and clamping of configs into it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bracket.domain import Config, Knob, Value

if TYPE_CHECKING:
    from numpy.random import Generator
    from optuna.distributions import BaseDistribution


def distribution(knob: Knob) -> BaseDistribution:
    """The Optuna distribution of one knob."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if knob.kind == "choice":
        return CategoricalDistribution(knob.choices)
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    if knob.kind == "int":
        return IntDistribution(int(knob.low), int(knob.high), log=knob.log)
    return FloatDistribution(float(knob.low), float(knob.high), log=knob.log)


def distributions(knobs: Sequence[Knob]) -> dict[str, BaseDistribution]:
    return {k.name: distribution(k) for k in knobs}


def is_active(knob: Knob, config: Config) -> bool:
    """Whether a knob counts in a config: its conditions on the knobs before it hold."""
    return all(config.get(name) in values for name, values in knob.when.items())


def active(knobs: Sequence[Knob], config: Config) -> list[Knob]:
    """The knobs that count in a config: the others have no value of their own there."""
    return [k for k in knobs if is_active(k, config)]


def effective(config: Config, knobs: Sequence[Knob]) -> dict[str, Value]:
    """The config as it is trained: every value in its knob's range (a choice that is not allowed becomes the nearest
    one), knobs whose conditions fail at their fixed value or left out, and no knob above its multiple of another."""
    made: dict[str, Value] = {}
    for knob in knobs:
        if is_active(knob, made):
            made[knob.name] = _clamp_one(config[knob.name], _limited(knob, made))
        elif knob.otherwise is not None:
            made[knob.name] = knob.otherwise
    return made


def random_config(knobs: Sequence[Knob], rng: Generator) -> dict[str, Value]:
    """A config drawn from the space: uniform, or log-uniform where a knob says so."""
    return effective(drawn(knobs, rng), knobs)


def drawn(knobs: Sequence[Knob], rng: Generator) -> dict[str, Value]:
    """A value of every knob by chance, whether it counts or not."""
    found: dict[str, Value] = {}
    for knob in knobs:
        if knob.kind == "choice":
            found[knob.name] = knob.choices[int(rng.integers(len(knob.choices)))]
            continue
        assert knob.low is not None and knob.high is not None
        low, high = (math.log(knob.low), math.log(knob.high)) if knob.log else (knob.low, knob.high)
        value = float(rng.uniform(low, high))
        found[knob.name] = _clamp_one(math.exp(value) if knob.log else value, knob)
    return found


def _limited(knob: Knob, config: Config) -> Knob:
    """The knob with what it may be at most, given the knobs before it; its smallest value is always allowed."""
    limits = [float(config[name]) * times for name, times in knob.at_most.items() if name in config]
    if not limits:
        return knob
    limit = min(limits)
    if knob.kind == "choice":
        numbers = [c for c in knob.choices if isinstance(c, int | float)]
        return replace(knob, choices=tuple(c for c in numbers if c <= limit) or (min(numbers),))
    assert knob.low is not None and knob.high is not None
    return replace(knob, high=max(knob.low, min(knob.high, limit)))


def _clamp_one(value: Value, knob: Knob) -> Value:
    if knob.kind == "choice":
        return value if value in knob.choices else _nearest(value, knob.choices)
    assert knob.low is not None and knob.high is not None
    inside = min(max(float(value), knob.low), knob.high)
    return round(inside) if knob.kind == "int" else inside


def _nearest(value: Value, choices: Sequence[Value]) -> Value:
    numbers = [c for c in choices if isinstance(c, int | float) and not isinstance(c, bool)]
    if isinstance(value, int | float) and not isinstance(value, bool) and numbers:
        return min(numbers, key=lambda c: abs(c - value))
    return choices[0]


def varying(configs: Sequence[Config]) -> set[str]:
    """Names of the knobs whose value is not the same in all configs."""
    names: set[str] = {name for config in configs for name in config}
    return {n for n in names if len({str(c.get(n)) for c in configs}) > 1}


def without_duplicates(configs: Sequence[tuple[str, Mapping[str, Value]]]) -> list[tuple[str, Mapping[str, Value]]]:
    """The (origin, config) pairs without those whose config came before (clamping can make two equal)."""
    kept: list[tuple[str, Mapping[str, Value]]] = []
    for origin, config in configs:
        if all(dict(config) != dict(other) for _, other in kept):
            kept.append((origin, config))
    return kept
