"""What the tables hold: which configs of which space, at which lengths, with how many training seeds.

EASY is the demo preset's own space as a full grid of three knobs. HARD has seven, too many for a grid, and four
pictures instead of 24, so that long trainings learn them by heart: a spread-out sample of the space, in which every
second point lies where pilots learned something. A proposal there becomes the nearest recorded config that its session
has not had yet, and the strategy is told that config. So all it is told really happened, in each seed and at each
length; what is lost is the freedom to look closer than the recorded ones lie. A regression on them would give that
freedom back, but would tell strategies figures that no training had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Config, Knob
from bracket.presets import find_preset
from bracket.search.ends import value
from bracket.search.enough import encoded
from bracket.search.space import effective
from bracket.strict import Plain

CONCEPTS = ("star", "crescent")
"""The first is for tuning strategies, the second for reporting on them."""
SAMPLER_STEPS = 8
SHUFFLED = 7
"""Seed of the order in which a full grid's configs are trained: a table cut short is a random part of the whole."""
SEEDS = (0, 1, 2, 3, 4)
_SHIFTS = (1 / 3, 0.6)


@dataclass(frozen=True, eq=False)
class Plan:
    """One table. Each is itself alone.

    Attributes:
        name: of its data file.
        knobs, baseline: what a strategy is told of the space.
        configs: all that are trained, or of a loaded table those it holds.
        ladder: steps at which a training was looked at; the last is its full length.
        seeds: how many training seeds.
        pictures: how many of the demo's are trained on.
        fixed: settings of the trainer beside the preset's.
        alone: a session has every recorded config once: what else lies nearest to it becomes the next one.
        reach: what a distance along a knob counts beside the others' (1) in saying what is nearest.
    """

    name: str
    knobs: tuple[Knob, ...]
    baseline: Config
    configs: tuple[Config, ...]
    ladder: tuple[int, ...]
    seeds: int
    pictures: int
    fixed: Mapping[str, Plain] = field(default_factory=dict)
    alone: bool = False
    reach: Mapping[str, float] = field(default_factory=dict)

    @property
    def full(self) -> int:
        """Steps of a full-length training."""
        return self.ladder[-1]

    @cached_property
    def _places(self) -> NDArray[np.float64]:
        return np.array([self._place(c) for c in self.configs])

    def _place(self, config: Config) -> list[float]:
        return [self.reach.get(k.name, 1.0) * at for k in self.knobs for at in encoded(config, [k])]

    def nearest(self, config: Config, without: Set[int] = frozenset()) -> int:
        """The number of the recorded config next to this one; of equally near ones the first."""
        away = ((self._places - self._place(config)) ** 2).sum(axis=1)
        away[list(without)] = np.inf
        return int(away.argmin())


@dataclass(frozen=True)
class Point:
    """One training: a concept, a training seed, a config by its number in the plan."""

    concept: str
    seed: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.concept}-{self.seed}-{self.number}"


def points(plan: Plan) -> list[Point]:
    """Every training of a table in the order they are made, the concept for reporting first. A full grid is made seed
    after seed; of a sample each config is made with two seeds before the next, so that whatever there is can be used.
    """
    if not plan.alone:
        found = []
        for seed, concept in product(range(plan.seeds), reversed(CONCEPTS)):
            order = np.random.default_rng([SHUFFLED, seed]).permutation(len(plan.configs))
            found += [Point(concept, seed, int(i)) for i in order]
        return found
    numbers = range(len(plan.configs))
    two = [Point(c, seed, n) for c in reversed(CONCEPTS) for n in numbers for seed in (0, 1)]
    return two + [Point(c, s, n) for s in range(2, plan.seeds) for c in reversed(CONCEPTS) for n in numbers]


def spread(pairs: int, knobs: Sequence[Knob], close: Sequence[Knob]) -> list[Config]:
    """Configs spread evenly over a space by Sobol's sequence, in pairs: one over all of it, one over the narrower
    ranges of `close`, each by a shift of its own. The same on every machine, and more pairs only add to them."""
    from scipy.stats.qmc import Sobol

    unit = Sobol(len(knobs), scramble=False).random_base2(max(1, (pairs - 1).bit_length()))[:pairs]
    found: list[Config] = []
    for at in unit:
        for within, shift in zip((knobs, close), _SHIFTS, strict=True):
            places = (at + shift) % 1.0
            found.append({k.name: _value(k, float(place)) for k, place in zip(within, places, strict=True)})
    return found


def _value(knob: Knob, at: float) -> float | int | str | bool:
    if knob.kind == "choice":
        return knob.choices[int(at * len(knob.choices))]
    return float(f"{value(knob, at):.3g}")


def _easy() -> Plan:
    knobs = tuple(PRESET.knob_list())
    rates = [float(f"{x:.3g}") for x in np.logspace(-5, -1, 19)]
    cells = product(rates, *(k.choices for k in knobs[1:]))
    names = [k.name for k in knobs]
    configs: tuple[Config, ...] = tuple(dict(zip(names, cell, strict=True)) for cell in cells)
    # The baseline the figures were measured with learns next to nothing; the demo's own is a better guess by now.
    baseline = effective({**PRESET.baseline, "learning_rate": 1e-4}, knobs)
    return Plan("embedded", knobs, baseline, configs, (12, 24, 48, 96), seeds=3, pictures=24)


def _hard() -> Plan:
    rate = Knob("learning_rate", "float", ("optimizer.learning_rate",), low=1e-4, high=1e-1, log=True)
    shift = Knob("timestep_shift", "float", ("loss.timestep_shift",), low=0.5, high=5.0, log=True)
    targets = Knob("targets", "choice", choices=("all", "attention", "feed_forward"), means=TARGETS)
    captions = Knob(CAPTIONS, "choice", choices=("whole", SHORT), means={"whole": {}, SHORT: {}})
    knobs = (
        rate,
        shift,
        Knob("dropout", "float", ("lora.dropout",), low=0.0, high=0.5),
        Knob("weight_decay", "float", ("optimizer.weight_decay",), low=1e-3, high=3.0, log=True),
        Knob("rank", "choice", ("lora.rank",), choices=(2, 4, 8, 16)),
        targets,
        captions,
    )
    narrow = (
        *(replace(rate, low=2e-3, high=1.5e-2), replace(shift, low=0.8)),
        *(replace(targets, choices=("all",)), replace(captions, choices=("whole",))),
    )
    close = [next((n for n in narrow if n.name == k.name), k) for k in knobs]
    baseline: Config = {
        "learning_rate": 1e-3, "timestep_shift": 1.0, "dropout": 0.0, "weight_decay": 0.01, "rank": 8,
        "targets": "all", CAPTIONS: "whole",
    }  # fmt: skip
    configs = (baseline, *spread(80, knobs, close))
    return Plan(
        "embedded-hard", knobs, baseline, configs, (16, 32, 128), seeds=len(SEEDS), pictures=4,
        fixed={"train.batch_size": 2}, alone=True, reach={"learning_rate": 3.0, CAPTIONS: 0.5, "targets": 0.5},
    )  # fmt: skip


PRESET = find_preset("embedded-demo")
TARGETS = {
    "all": {},
    "attention": {"lora.targets": ["to_q", "to_k", "to_v", "to_out.0"]},
    "feed_forward": {"lora.targets": ["linear_in", "linear_out"]},
}
CAPTIONS, SHORT = "captions", "short"
"""The style of captions: whole, or without size and background."""
EASY, HARD = _easy(), _hard()
PLANS = {plan.name: plan for plan in (EASY, HARD)}
