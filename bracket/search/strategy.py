"""Strategies: who proposes the next trials of the search round. One protocol, one conformance suite
(`tests/search/test_conformance.py`).

A strategy is a pure function of what the ledger holds: it keeps no state that it could not build again from the trials
that ended and those that run. Samplers and pruners are Optuna's where Optuna has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bracket.domain import Config, Knob, Trial, TrialResult, Wanted
from bracket.search.rungs import Rung, ladder
from bracket.search.tournament import Tournament

NAMES = ("tournament", "screen", "tpe", "random")


class Strategy(Protocol):
    """Says what the search round tries."""

    @property
    def name(self) -> str:
        """What the trials it proposes are labelled with."""
        ...

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """What it plans to train, drawn before the start."""
        ...

    def propose(self, told: Sequence[TrialResult], open_: Sequence[Trial], room: int) -> list[Wanted]:
        """The next trials to begin, at most `room`. Nothing, while trials are open: wait for them. Nothing, and none is
        open: the search is over.

        No config is proposed twice for one rung, every value lies in its knob's range, the very first trial is the
        baseline, and where the baseline takes part in a rung it is the first of it. A trial of a later rung names the
        one it continues (`Wanted.continues`). The same calls with the same arguments propose the same.

        Args:
            told: every ended trial of the search round, in the order they began; a score is lower for better, and None
                where the trial failed.
            open_: those that began and have no result yet, in the order they began.
            room: how many could begin now.
        """
        ...


def rungs_of(name: str, *, configs: int, steps: int, rounds: int, reduction: float, finalists: int) -> tuple[Rung, ...]:
    """The rungs of a strategy. `steps` is the length of the longest."""
    rungs = ladder(configs, steps, rounds=rounds, reduction=reduction, least=finalists)
    if name == "screen":
        return (Rung(configs, rungs[0].steps),)
    return rungs if name == "tournament" else (Rung(configs, steps),)


def make_strategy(
    name: str,
    *,
    rungs: Sequence[Rung],
    knobs: Sequence[Knob],
    baseline: Config,
    curated: Sequence[Config],
    seed: int,
    training_seed: int,
) -> Strategy:
    """The strategy called `name`, one of `NAMES`."""
    return Tournament(
        name,
        rungs,
        sampler="random" if name == "random" else "tpe",
        knobs=knobs,
        baseline=baseline,
        curated=curated,
        seed=seed,
        training_seed=training_seed,
    )
