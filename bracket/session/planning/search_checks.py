"""What is wrong or odd about a search before it starts: its space, its rungs, its objectives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from bracket.domain import Knob, Problem, Value
from bracket.judges import axes_of
from bracket.search.pareto import objective_problems
from bracket.search.rungs import key
from bracket.search.space import effective
from bracket.session.asked.bounds import baseline_problems
from bracket.session.job import Context

_MOST = 5_000
"""Combinations that are counted one by one; larger spaces count as large."""


def search_problems(context: Context) -> list[Problem]:
    """What keeps a search from being what was asked.

    Raises:
        SettingsError: the bounds contradict the knobs or their ranges, or the baseline names no knob.
    """
    s, knobs = context.settings, context.own_knobs()
    axes = axes_of(context.judges) if s.search.objectives else set()
    return [
        *baseline_problems(context.preset, s.baseline, knobs, clamped=s.seed_edition == 1),
        *_space_problems(s.search.configs, knobs),
        *_rung_problems(context),
        *objective_problems(s.search.objectives, axes),
    ]


def space_size(knobs: Sequence[Knob]) -> int | None:
    """How many different configs there are; None for more than can be tried."""
    values, count = [], 1
    for knob in knobs:
        found = _values(knob)
        if found is None or (count := count * len(found)) > _MOST:
            return None
        values.append(found)
    names = [knob.name for knob in knobs]
    return len({key(effective(dict(zip(names, some, strict=True)), knobs)) for some in product(*values)})


def _values(knob: Knob) -> Sequence[Value] | None:
    """What a knob may be; None for a range."""
    if knob.kind == "choice":
        return knob.choices
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    if knob.kind == "int" and knob.high - knob.low < _MOST:
        return range(int(knob.low), int(knob.high) + 1)
    return (knob.low,) if knob.low == knob.high else None


def _space_problems(configs: int, knobs: Sequence[Knob]) -> list[Problem]:
    size = space_size(knobs)
    if size is None or size >= configs:
        return []
    if size == 1:
        what = "the bounds leave a single config, so there is nothing to compare: it is trained once, without a verdict"
        return [Problem("warning", what, "Widen the bounds of a knob.")]
    what = f"the bounds leave {size} different configs, fewer than the {configs} to compare; the search ends with these"
    return [Problem("warning", what, "Widen the bounds of a knob, or compare fewer.")]


def _rung_problems(context: Context) -> list[Problem]:
    s, rungs = context.settings.search, context.settings.search_rungs()
    if rungs[0].steps <= 1 < s.steps:
        what = f"the first rung of the search would train a single step of the last one's {s.steps}"
        return [Problem("error", what, "Take fewer rungs, a smaller reduction, or more steps.")]
    if s.strategy in ("hyperband", "asha") and len(rungs) == 1:
        what = f"with one rung {s.strategy} drops nobody: it trains all configs to {s.steps} steps, as tpe does"
        return [Problem("warning", what, "Take two rungs or more, or the strategy tpe.")]
    return []
