"""Strategies: who proposes the next config of the search round, and with which sampler.

Both shipped strategies begin with the baseline and the preset's curated configs and then ask Optuna: `tpe` its
tree-structured Parzen estimator, `random` its random sampler. A sampler is made anew for every proposal, seeded by the
session's seed and the proposal's number: a search that was killed and resumed proposes what it would have proposed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bracket.domain import Config, Knob
from bracket.search.space import effective, without_duplicates

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class Opening:
    """A config that is tried whatever the sampler thinks: the baseline or a curated one."""

    origin: str
    config: Config


class Strategy(Protocol):
    """Says what the search round tries."""

    @property
    def name(self) -> str:
        """What the trials it proposes are labelled with."""
        ...

    def openings(self) -> list[Opening]:
        """The configs tried first, in order; the baseline is always the first of them."""
        ...

    def sampler(self, number: int) -> BaseSampler:
        """The Optuna sampler for proposal `number` (0 is the first of the round)."""
        ...


@dataclass(frozen=True)
class OptunaStrategy:
    """Baseline, curated configs, then an Optuna sampler."""

    name: str
    knobs: tuple[Knob, ...]
    baseline: Config
    curated: tuple[Config, ...]
    configs: int
    seed: int

    def openings(self) -> list[Opening]:
        pairs = [("baseline", effective(self.baseline, self.knobs))]
        pairs += [("curated", effective(c, self.knobs)) for c in self.curated]
        return [Opening(origin, config) for origin, config in without_duplicates(pairs)][: self.configs]

    def sampler(self, number: int) -> BaseSampler:
        import numpy as np
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import RandomSampler, TPESampler

        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        if self.name == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(n_startup_trials=startup_trials(self.configs), seed=seed)


def startup_trials(configs: int) -> int:
    """How many configs (openings included) are tried before the estimator is trusted: a third, at least four."""
    return max(4, -(-configs // 3))


def make_strategy(
    name: str, *, knobs: Sequence[Knob], baseline: Config, curated: Sequence[Config], configs: int, seed: int
) -> Strategy:
    """The strategy called `name` ("tpe" or "random")."""
    return OptunaStrategy(name, tuple(knobs), baseline, tuple(curated), configs, seed)
