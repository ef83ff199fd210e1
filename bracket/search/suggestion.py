"""From the trials of one search to the space of the next: where to look closer, where to look further, what to leave.

A Gaussian process over all knobs (`bracket.stats.search.process`) is asked many times where its best config lies: each
answer is of a surface that the trials allow. Where nine of ten answers fall, the next search should look. Beyond a
clear knee nothing is looked for; configs that melted elsewhere count like the worst score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from bracket.domain import Config, Knob, TrialResult, Value
from bracket.search import ends
from bracket.search.space import random_config
from bracket.stats.duel.signflip import Floats
from bracket.stats.search.curves import Knee, failure_knee
from bracket.stats.search.importance import KnobImportance, knob_importance
from bracket.stats.search.process import fit
from bracket.stats.search.rungs import Compared, Tried, longest_rung, melted
from bracket.stats.search.scale import is_log, is_number

NEEDED = 8
"""Scored configs of one length before a new space is suggested."""
INSIDE = 0.9
"""Share of the answers that the suggested range holds."""
_EDGE = 0.1
"""A best value this close to an end of the range, as a share of it, asks for a wider one."""
_WORTH = 0.75
"""A range is narrowed only if less than this share of it is left."""
_LEAST = 0.2
"""No range becomes shorter than this share of it: these are short trials of one seed."""
_RARE = 0.05
"""A choice is kept if it is the best in this share of the answers."""
_CANDIDATES, _ANSWERS = 256, 200

Change = Literal["narrowed", "widened", "fixed", "kept"]


@dataclass(frozen=True)
class Advice:
    """What the next space should do with one knob.

    Attributes:
        low, high: the new range; None for a choice.
        choices: the new choices; empty for a range.
        reason: why, as a sentence.
    """

    knob: str
    change: Change
    low: float | None
    high: float | None
    choices: tuple[Value, ...]
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """The next session's space.

    Attributes:
        knobs: advice on each knob, in the knobs' order; empty when there is none to give.
        trials, steps: the configs it rests on, and their length.
        note: why there is no advice; "" when there is.
    """

    knobs: tuple[Advice, ...]
    trials: int
    steps: int
    note: str = ""

    def bounds(self) -> dict[str, dict[str, Any]]:
        """Knobs whose range or choices change, as `SessionSettings.bounds` takes them."""
        changed = [advice for advice in self.knobs if advice.change != "kept"]
        return {a.knob: {"choices": list(a.choices)} if a.choices else {"low": a.low, "high": a.high} for a in changed}

    def as_dict(self) -> dict[str, Any]:
        """As plain data, the bounds included."""
        return {**asdict(self), "bounds": self.bounds()}


def suggest(
    knobs: Sequence[Knob], results: Sequence[TrialResult], *, whole: Sequence[Knob] = (), seed: int = 0
) -> Suggestion:
    """The next session's space, from the trials of this one's search.

    Scores are of the longest rung with enough configs; configs that melted at any length count as bad. A knob is
    narrowed or widened only where the ranking clearly follows it or its upper end clearly melts, and fixed only where
    so many trials can say that it hardly matters; otherwise it is kept.

    Args:
        knobs: the session's space.
        results: ended trials of its search round.
        whole: the preset's own knobs, from which choices that the session left out may come back.
        seed: of the process's answers.
    """
    rung = longest_rung(results, NEEDED)
    if len(rung.tried) < NEEDED:
        note = f"A new space takes {NEEDED} scored configs of one length; this search has {len(rung.tried)}."
        return Suggestion((), len(rung.tried), rung.steps, note)
    ended = melted(results)
    knees = {knob.name: knee for knob in knobs if (knee := _knee(knob, ended))}
    failed = [config for config, bad in ended if bad and not _beyond(config, knees)]
    importance = {one.knob: one for one in _importance(knobs, rung)}
    answers = _answers(knobs, set(importance), rung, failed, knees, seed) if importance else []
    view = _View(rung, knees, importance, answers, {knob.name: knob for knob in whole})
    return Suggestion(tuple(_advice(knob, view) for knob in knobs), len(rung.tried), rung.steps)


@dataclass(frozen=True)
class _View:
    """All that the advice on a knob looks at. `answers` are configs, each the best of one surface."""

    rung: Compared
    knees: Mapping[str, Knee]
    importance: Mapping[str, KnobImportance]
    answers: Sequence[Config]
    whole: Mapping[str, Knob]

    @property
    def best(self) -> Tried:
        return min(self.rung.tried, key=lambda one: one.total)

    def values(self, knob: Knob) -> list[Value]:
        """What nine of ten answers, and the best config, have for a knob."""
        return [config[knob.name] for config in self.answers if knob.name in config]


def _advice(knob: Knob, view: _View) -> Advice:
    kept = Advice(knob.name, "kept", knob.low, knob.high, knob.choices, "")
    title, found = ends.title(knob.name), view.importance.get(knob.name)
    if found is None:
        return replace(kept, reason=f"The {title} did not vary.")
    knee = view.knees.get(knob.name)
    if found.negligible and knee is None:
        return _fixed(knob, kept, view)
    values = view.values(knob)
    if knob.kind == "choice":
        told = found.clear and values
        return _choices(knob, kept, values, view) if told else replace(kept, reason=_UNCLEAR.format(title))
    if not values or not (found.clear or knee):
        return replace(kept, reason=_UNCLEAR.format(title))
    return _range(knob, kept, [float(value) for value in values], found.clear, knee)


_UNCLEAR = "These trials can't tell where the best {} lies."


def _fixed(knob: Knob, kept: Advice, view: _View) -> Advice:
    baseline = next((one for one in view.rung.tried if one.origin == "baseline"), view.best)
    value = baseline.config.get(knob.name, view.best.config.get(knob.name))
    title = ends.title(knob.name)
    if value is None:
        return replace(kept, reason=_UNCLEAR.format(title))
    reason = (
        f"The {title} explains less than a tenth of the ranking of {len(view.rung.tried)} configs: left at "
        f"{ends.shown(value)}, so that trials go to the knobs that matter."
    )
    if knob.kind == "choice":
        return replace(kept, change="fixed", choices=(value,), reason=reason)
    return replace(kept, change="fixed", low=float(value), high=float(value), reason=reason)


def _choices(knob: Knob, kept: Advice, values: Sequence[Value], view: _View) -> Advice:
    title, best = ends.title(knob.name), view.best.config.get(knob.name)
    good = tuple(c for c in knob.choices if c == best or values.count(c) >= _RARE * len(values))
    wider = view.whole.get(knob.name, knob).choices
    beyond = ends.next_choice(knob.choices, wider, max(good, key=values.count))
    if beyond is not None:
        reason = f"The best {title} lies at the end of its choices: {ends.shown(beyond)} joins them."
        joined = tuple(c for c in wider if c in good or c == beyond)
        return replace(kept, change="widened", choices=joined, reason=reason)
    if len(good) == len(knob.choices):
        return replace(kept, reason=f"Any {title} may still be the best one.")
    left = ", ".join(ends.shown(c) for c in knob.choices if c not in good)
    return replace(kept, change="narrowed", choices=good, reason=f"The best {title} is hardly {left}.")


def _range(knob: Knob, kept: Advice, values: Sequence[float], clear: bool, knee: Knee | None) -> Advice:
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    title, unit = ends.title(knob.name), [ends.place(knob, value) for value in values]
    low, middle, high = (float(q) for q in np.quantile(unit, [(1 - INSIDE) / 2, 0.5, (1 + INSIDE) / 2]))
    if not clear:
        low, middle, high = 0.0, 0.5, 1.0
    if clear and middle >= 1 - _EDGE and knee is None:
        top = ends.widened(knob, upwards=True)
        if top > knob.high:
            bottom = ends.rounded(knob, ends.value(knob, low), up=False)
            return _moved(kept, knob, bottom, top, f"The best {title} lies at the upper end of its range")
    if clear and middle <= _EDGE:
        bottom = ends.widened(knob, upwards=False)
        if bottom < knob.low:
            top = ends.rounded(knob, ends.value(knob, high), up=True)
            return _moved(kept, knob, bottom, top, f"The best {title} lies at the lower end of its range")
    return _narrowed(knob, kept, low, high, knee)


def _narrowed(knob: Knob, kept: Advice, low: float, high: float, knee: Knee | None) -> Advice:
    """The range from place `low` to place `high`, ended where trials melt."""
    title, reason = ends.title(knob.name), ""
    if knee and high >= ends.place(knob, knee.failing) - _EDGE:
        high = ends.place(knob, knee.failing)
        low = max(0.0, min(low, high - _LEAST))
        reason = f"From {ends.shown(knee.failing)} on, half of the trials or more melt: the range ends there."
    elif high - low > _WORTH:
        return replace(kept, reason=f"The best {title} may still lie nearly anywhere in its range.")
    else:
        low = max(0.0, low - max(0.0, _LEAST - (high - low)) / 2)
        high = min(1.0, max(high, low + _LEAST))
        low = min(low, high - _LEAST)
    bottom = ends.rounded(knob, ends.value(knob, low), up=False)
    top = ends.rounded(knob, ends.value(knob, high), up=True)
    between = f"between {ends.shown(bottom)} and {ends.shown(top)}"
    reason = reason or f"The best {title} lies {between} in nine of ten readings of the trials."
    return replace(kept, change="narrowed", low=bottom, high=top, reason=reason)


def _moved(kept: Advice, knob: Knob, low: float, high: float, reason: str) -> Advice:
    assert knob.high is not None
    end = high if high > knob.high else low
    return replace(kept, change="widened", low=low, high=high, reason=f"{reason}: widened to {ends.shown(end)}.")


def _knee(knob: Knob, ended: Sequence[tuple[Config, bool]]) -> Knee | None:
    """Where trials clearly begin to melt along a range."""
    pairs = [(config[knob.name], bad) for config, bad in ended if knob.name in config]
    if knob.kind == "choice" or not pairs or min(float(value) for value, _ in pairs) <= 0:
        return None
    knee = failure_knee([float(value) for value, _ in pairs], [bad for _, bad in pairs])
    return knee if knee and knee.clear else None


def _beyond(config: Config, knees: Mapping[str, Knee]) -> bool:
    return any(name in config and float(config[name]) >= knee.failing for name, knee in knees.items())


def _importance(knobs: Sequence[Knob], rung: Compared) -> list[KnobImportance]:
    log = [knob.name for knob in knobs if is_log(knob)]
    names = {knob.name for knob in knobs}
    configs = [{name: value for name, value in one.config.items() if name in names} for one in rung.tried]
    return knob_importance(configs, [one.total for one in rung.tried], log=log)


def _answers(
    knobs: Sequence[Knob],
    varied: Set[str],
    rung: Compared,
    failed: Sequence[Config],
    knees: Mapping[str, Knee],
    seed: int,
) -> list[Config]:
    """Where the best config lies, once for every surface drawn. Of knobs that did not vary nothing is asked."""
    rng = np.random.default_rng(seed)
    tried = [one.config for one in rung.tried]
    totals = [one.total for one in rung.tried]
    drawn: list[Config] = [random_config(knobs, rng) for _ in range(_CANDIDATES)]
    candidates = [config for config in drawn if not _beyond(config, knees)] or drawn
    seen = [knob for knob in knobs if knob.name in varied]
    x = _columns(seen, [*tried, *failed])
    process = fit(x, np.array([*totals, *[max(totals)] * len(failed)]), seed=seed)
    surfaces = process.draws(_columns(seen, candidates), _ANSWERS, seed)
    return [candidates[int(i)] for i in surfaces.argmin(axis=1)]


def _columns(knobs: Sequence[Knob], configs: Sequence[Config]) -> Floats:
    """Configs as numbers from 0 to 1, shape (configs, columns): a column a number, or one a choice that is none.

    A knob that doesn't count in a config stands in the middle.
    """
    columns = []
    for knob in knobs:
        given = [config.get(knob.name) for config in configs]
        if is_number(knob):
            columns.append([0.5 if value is None else ends.place(knob, float(value)) for value in given])
        elif len(knob.choices) > 1:
            columns += [[0.5 if v is None else float(v == choice) for v in given] for choice in knob.choices]
    return np.array(columns, dtype=np.float64).T.reshape(len(configs), -1)
