"""Strategies: who proposes the next trials of the search round. One protocol, one conformance suite
(`tests/search/test_conformance.py`).

A strategy is a pure function of what the ledger holds: it keeps no state that it could not build again from the trials
that ended and those that run. Samplers and pruners are Optuna's where Optuna has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bracket.domain import Config, Knob, Trial, TrialResult, Wanted
from bracket.errors import SettingsError
from bracket.search.memory import Borrowed
from bracket.search.pareto import OBJECTIVES
from bracket.search.rungs import Rung, ladder
from bracket.search.sampling import Proposer
from bracket.search.space import effective, without_duplicates
from bracket.search.strategies.evolution import Evolution
from bracket.search.strategies.halving import Halving, expected
from bracket.search.strategies.tournament import Enough, Tournament
from bracket.search.surrogate import Surrogate

NAMES = ("tournament", "screen", "tpe", "random", "hyperband", "asha", "nsga2")
HALVING = ("hyperband", "asha")
"""Those that decide on every result when it comes."""


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
    """The rungs of a strategy. `steps` is the length of the longest. Where who goes on is decided as results come in,
    the later rungs say about how many it will be."""
    if name in HALVING:
        whole = whole_reduction(reduction)
        return expected(name, ladder(configs, steps, rounds=rounds, reduction=whole, least=1, growth=whole), whole)
    rungs = ladder(configs, steps, rounds=rounds, reduction=reduction, least=finalists)
    if name == "screen":
        return (Rung(configs, rungs[0].steps),)
    return rungs if name == "tournament" else (Rung(configs, steps),)


def whole_reduction(reduction: float) -> int:
    """The reduction as Optuna's pruners take it.

    Raises:
        SettingsError: it is not a whole number.
    """
    if reduction != int(reduction) or reduction < 2:
        message = f"asha and hyperband keep one config in a whole number of them, and the reduction is {reduction:g}"
        raise SettingsError(message, remedy="Make it 2, 3 or 4, or choose the tournament.")
    return int(reduction)


def make_strategy(
    name: str,
    *,
    rungs: Sequence[Rung],
    knobs: Sequence[Knob],
    baseline: Config,
    curated: Sequence[Config],
    seed: int,
    training_seed: int,
    reduction: float = 2.0,
    objectives: Sequence[str] = (),
    borrowed: Sequence[Borrowed] = (),
    enough: Enough | None = None,
) -> Strategy:
    """The strategy called `name`, one of `NAMES`.

    Args:
        rungs: those of `rungs_of`.
        baseline, curated: tried first, in this order.
        seed: of the session. training_seed: of every trial, so that all see the same random numbers.
        reduction: for `HALVING`, as given to `rungs_of`.
        objectives: for nsga2; `OBJECTIVES` when empty.
        borrowed: what earlier sessions found, for the strategies that learn from one value.
        enough: says when the first rung may end early, see `Tournament`.
    """
    configs = rungs[0].configs
    pairs = [("baseline", effective(baseline, knobs)), *(("curated", effective(c, knobs)) for c in curated)]
    openings = without_duplicates(pairs)[:configs]
    if name == "nsga2":
        proposer: Proposer = Evolution(knobs, seed=seed, configs=configs, objectives=objectives or OBJECTIVES)
    elif name in ("tournament", "screen"):
        proposer = Surrogate(knobs, seed=seed, configs=configs, borrowed=borrowed)
    else:
        kind = "random" if name == "random" else "tpe"
        proposer = Proposer(kind, knobs, seed=seed, configs=configs, borrowed=borrowed)
    if name in HALVING:
        return Halving(
            name,
            rungs,
            proposer=proposer,
            openings=openings,
            training_seed=training_seed,
            reduction=whole_reduction(reduction),
            seed=seed,
            enough=enough,
        )
    return Tournament(name, rungs, proposer=proposer, openings=openings, training_seed=training_seed, enough=enough)
