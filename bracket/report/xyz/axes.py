"""What can be an axis of a grid, and the marks along it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from bracket.domain import Config, Round, Sample, Score, Value
from bracket.errors import SettingsError
from bracket.report.words import counted, knob_name, knob_title, knob_value

T = TypeVar("T")
UNUSED = "not used"
"""Label of a knob for configs that don't have it."""

Kind = Literal["knob", "prompt", "step", "training_seed", "sample_seed", "round", "nothing"]
_TITLES: dict[Kind, str] = {
    "prompt": "prompt",
    "step": "step",
    "training_seed": "training seed",
    "sample_seed": "sample seed",
    "round": "round",
    "nothing": "nothing",
}


_FIRST: tuple[Kind, ...] = ("knob", "step", "training_seed", "round")
"""What X is, unless a person chose."""


class Drawn(Protocol):
    """What a grid must know of a trial; `session.view.TrialView` is one."""

    @property
    def id(self) -> str: ...
    @property
    def round(self) -> Round: ...
    @property
    def rung(self) -> int: ...
    @property
    def config(self) -> Config: ...
    @property
    def seed(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def score(self) -> Score | None: ...
    @property
    def samples(self) -> Sequence[Sample]: ...


@dataclass(frozen=True, order=True)
class Stage:
    """Trials of one length, which alone may be compared: those of a round, or of one rung of it."""

    order: int
    """The round's place among the rounds."""
    rung: int
    steps: int
    round: Round

    @property
    def label(self) -> str:
        """ "search, 120 steps"."""
        return f"{self.round.value}, {counted(self.steps, 'step')}"


@dataclass(frozen=True)
class Axis:
    """What one direction of a grid shows. `name` is the knob's, or the kind itself."""

    kind: Kind
    name: str
    title: str


NOTHING = Axis("nothing", "nothing", "nothing")


@dataclass(frozen=True)
class Scale:
    """The labels along an axis, the place of each value among them, and what was left out."""

    labels: tuple[str, ...]
    places: Mapping[Hashable, int]
    note: str = ""


def stage_of(trial: Drawn) -> Stage:
    return Stage(list(Round).index(trial.round), trial.rung, trial.steps, trial.round)


def stages_of(trials: Iterable[Drawn]) -> list[Stage]:
    """The stages that have pictures, in the order they are run."""
    return sorted({stage_of(t) for t in trials if t.samples})


def longest(trials: Iterable[Drawn]) -> Stage | None:
    """The stage with the longest trials that drew, of equal ones that with the most configs; None without pictures."""
    configs: dict[Stage, set[str]] = {}
    for trial in trials:
        if trial.samples:
            configs.setdefault(stage_of(trial), set()).add(repr(sorted(trial.config.items())))
    return max(configs, key=lambda s: (s.steps, len(configs[s]), s), default=None)


def prompts_of(trials: Iterable[Drawn], stage: Stage | None = None) -> list[str]:
    """The prompts drawn in a stage (None: in all), in the order they were first drawn."""
    return list(dict.fromkeys(s.prompt for t in trials if stage in (None, stage_of(t)) for s in t.samples))


def axes_of(trials: Iterable[Drawn]) -> list[Axis]:
    """What can be an axis: what differs between the trials with pictures, learning rates first; and nothing."""
    drawn = [t for t in trials if t.samples]
    names = dict.fromkeys(name for t in drawn for name in t.config)
    knobs = [n for n in names if len({_label(n, t.config.get(n)) for t in drawn}) > 1]
    knobs.sort(key=lambda name: not _is_rate(name))
    seeds, prompts, stages = {t.seed for t in drawn}, prompts_of(drawn), stages_of(drawn)
    found: list[Kind] = ["prompt"] if prompts else []
    if any(len({s.step for s in t.samples}) > 1 for t in drawn):
        found.append("step")
    if len(seeds) > 1:
        found.append("training_seed")
    if len({s.seed for t in drawn for s in t.samples}) > 1:
        found.append("sample_seed")
    if len(stages) > 1:
        found.append("round")
    return [*(Axis("knob", n, knob_title(n)) for n in knobs), *(Axis(k, k, _TITLES[k]) for k in found), NOTHING]


def chosen(axes: Sequence[Axis], x: str = "", y: str = "", z: str = "") -> tuple[Axis, Axis, Axis]:
    """X, Y and Z by their names; where "" is given, the learning rate (or what else differs), the prompt, nothing, as
    far as they are not on another axis.

    Raises:
        SettingsError: a name is no axis.
    """
    named = [axis_named(n, axes) if n else None for n in (x, y, z)]
    free = [a for a in axes if a not in named]
    differs = next((a for kind in _FIRST for a in free if a.kind == kind), NOTHING)
    prompt = next((a for a in free if a.kind == "prompt"), differs if named[0] else NOTHING)
    return named[0] or differs, named[1] or prompt, named[2] or NOTHING


def axis_named(name: str, axes: Sequence[Axis]) -> Axis:
    """An axis by its name, title or short name ("lr"), however it is spelt.

    Raises:
        SettingsError: there is none; names the nearest and all others.
    """
    known: dict[str, Axis] = {}
    for axis in axes:
        for word in (axis.name, axis.title, knob_name(axis.name)):
            known.setdefault(_plain(word), axis)
    if found := known.get(_plain(name)):
        return found
    near = difflib.get_close_matches(_plain(name), known, 1)
    asked = f"Did you mean {known[near[0]].name}? " if near else ""
    every = ", ".join(axis.name for axis in axes)
    raise SettingsError(f"the grid has no axis called {name!r}", remedy=f"{asked}What differs here: {every}.")


def stage_named(name: str, stages: Sequence[Stage]) -> Stage:
    """A stage by its label, or by its round's name: of several rungs the longest.

    Raises:
        SettingsError: it has no pictures, or there is none; names those that have some.
    """
    found = [s for s in stages if _plain(name) in (_plain(s.label), s.round.value)]
    if not found:
        every = "; ".join(s.label for s in stages)
        raise SettingsError(f"there are no pictures of a round called {name!r}", remedy=f"There are: {every}.")
    return max(found, key=lambda s: s.steps)


def value_on(axis: Axis, trial: Drawn, sample: Sample) -> Hashable:
    """Where a picture stands on an axis, as a key of its scale's `places`."""
    match axis.kind:
        case "knob":
            return _label(axis.name, trial.config.get(axis.name))
        case "prompt":
            return sample.prompt
        case "step":
            return sample.step
        case "training_seed":
            return trial.seed
        case "sample_seed":
            return sample.seed
        case "round":
            return stage_of(trial)
        case "nothing":
            return ""


def scale(axis: Axis, trials: Sequence[Drawn], samples: Iterable[Sample], prompts: Sequence[str], most: int) -> Scale:
    """The labels of these pictures along an axis.

    Numbers are sorted, and more than `most` of them put into so many ranges of equally many values; steps and seeds are
    thinned out evenly; prompts keep their order and are never left out.
    """
    match axis.kind:
        case "knob":
            return _knob_scale(axis, [t.config.get(axis.name) for t in trials], most)
        case "prompt":
            return Scale(tuple(prompts), {p: i for i, p in enumerate(prompts)})
        case "round":
            stages = stages_of(trials)
            return Scale(tuple(s.label for s in stages), {s: i for i, s in enumerate(stages)})
        case "nothing":
            return Scale(("",), {"": 0})
        case "step":
            values = sorted({s.step for s in samples})
        case "sample_seed":
            values = sorted({s.seed for s in samples})
        case "training_seed":
            values = sorted({t.seed for t in trials})
    kept = _thinned(values, most)
    note = f"{len(kept)} of {len(values)} {axis.title}s are shown." if len(kept) < len(values) else ""
    return Scale(tuple(map(str, kept)), {v: i for i, v in enumerate(kept)}, note)


def _knob_scale(axis: Axis, values: Collection[Value | None], most: int) -> Scale:
    """Values that read alike share a place."""
    by_label = {_label(axis.name, v): v for v in values if v is not None}
    unused = [UNUSED] if None in values else []
    ordered = sorted(by_label, key=lambda label: _order(by_label[label]))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in by_label.values())
    if len(ordered) <= most:
        groups = [[label] for label in ordered]
    elif numbers:
        groups = _grouped(ordered, most)
    else:
        groups = [[label] for label in _thinned(ordered, most)]
    labels = [g[0] if len(g) == 1 else f"{g[0]} … {g[-1]}" for g in groups] + unused
    note = ""
    if len(groups) < len(ordered):
        note = f"{len(ordered)} values of {axis.title}: " + (
            f"in {len(groups)} ranges, the best trial of each." if numbers else f"{len(groups)} are shown."
        )
    places: dict[Hashable, int] = {label: i for i, group in enumerate([*groups, unused]) for label in group}
    return Scale(tuple(labels), places, note)


def _order(value: Value) -> tuple[int, float, str]:
    """Numbers by size, then words by the alphabet."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _grouped(items: Sequence[str], groups: int) -> list[list[str]]:
    """So many runs of the items, as equal in length as can be."""
    ends = [round(i * len(items) / groups) for i in range(groups + 1)]
    return [list(items[a:b]) for a, b in itertools.pairwise(ends)]


def _thinned(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the items, evenly from the first to the last."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / max(1, most - 1))] for i in range(most)]


def _label(name: str, value: Value | None) -> str:
    return UNUSED if value is None else knob_value(name, value)


def _is_rate(name: str) -> bool:
    return knob_name(name).split()[-1] == "lr"


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())
