"""The space of configs: knobs as Optuna distributions, and clamping of hand-written configs into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bracket.domain import Config, Knob, Value

if TYPE_CHECKING:
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


def clamp(config: Config, knobs: Sequence[Knob]) -> dict[str, Value]:
    """The config with every value moved into its knob's range; a choice that is not allowed becomes the nearest one."""
    return {k.name: _clamp_one(config[k.name], k) for k in knobs}


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
