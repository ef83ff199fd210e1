"""A search without trainings: a ledger in memory, made-up scores, and a loop that runs a strategy on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.search.space import effective
from bracket.search.strategies.protocol import Strategy, make_strategy, rungs_of
from bracket.session.store import name_of

PLAIN = (
    Knob("learning_rate", "float", ("lr",), low=1e-5, high=1e-2, log=True),
    Knob("rank", "choice", ("rank",), choices=(4, 8, 16)),
    Knob("warmup", "int", ("warmup",), low=0, high=100),
)
CONDITIONAL = (
    Knob("optimizer", "choice", ("--optimizer_type",), choices=("adamw", "prodigy")),
    Knob(
        "learning_rate", "float", ("--learning_rate",), low=1e-5, high=1e-2, log=True,
        when={"optimizer": ("adamw",)}, otherwise=1.0,
    ),
    Knob("scheduler", "choice", ("--lr_scheduler",), choices=("constant", "cosine")),
    Knob("warmup", "int", ("--lr_warmup_steps",), low=0, high=100, when={"scheduler": ("cosine",)}),
    Knob("rank", "choice", ("--network_dim",), choices=(4, 8, 16)),
    Knob("alpha", "choice", ("--network_alpha",), choices=(4, 8, 16, 32), at_most={"rank": 2}),
)  # fmt: skip
FINITE = (Knob("rank", "choice", ("r",), choices=(4, 8)), Knob("schedule", "choice", ("s",), choices=("a", "b")))
SINGLE = (Knob("rank", "choice", ("r",), choices=(8,)), Knob("schedule", "choice", ("s",), choices=("a",)))

BASELINE: Config = {
    "optimizer": "adamw", "learning_rate": 1e-4, "scheduler": "cosine", "warmup": 5, "rank": 8, "alpha": 8,
    "schedule": "a",
}  # fmt: skip
"""A value for every knob of the spaces above."""
STEPS, TRAINING_SEED = 100, 42


def strategy(
    name: str, knobs: tuple[Knob, ...] = PLAIN, *, configs: int = 9, seed: int = 0, reduction: float = 2.0
) -> Strategy:
    """A strategy over one of the spaces above, with the baseline and one curated config in front."""
    rungs = rungs_of(name, configs=configs, steps=STEPS, rounds=3, reduction=reduction, finalists=2)
    return make_strategy(
        name,
        rungs=rungs,
        knobs=knobs,
        baseline=effective(BASELINE, knobs),
        curated=[BASELINE, {**BASELINE, "rank": 4}],
        seed=seed,
        training_seed=TRAINING_SEED,
        reduction=reduction,
        objectives=("likeness", "adherence"),
    )


class Ledger(Protocol):
    """What the loop needs of `session.store.Store`."""

    def begin(self, wanted: Wanted, knobs: Sequence[Knob]) -> Trial: ...
    def finish(self, result: TrialResult) -> None: ...
    def results(self, round_: Round) -> list[TrialResult]: ...
    def open_trials(self, round_: Round) -> list[Trial]: ...


class Simulated:
    """A ledger in memory that numbers and orders trials as the real one does."""

    def __init__(self) -> None:
        self._begun: dict[int, list[Trial]] = {}
        self._told: dict[str, TrialResult] = {}

    def begin(self, wanted: Wanted, knobs: Sequence[Knob]) -> Trial:
        w, rung = wanted, self._begun.setdefault(wanted.rung, [])
        name, continues = f"{name_of(w.round, w.rung)}-{len(rung):03d}", Path(w.continues) if w.continues else None
        trial = Trial(
            name, w.round, w.origin, dict(w.config), w.seed, w.steps, Path(name), w.schedule, continues, w.rung
        )
        rung.append(trial)
        return trial

    def finish(self, result: TrialResult) -> None:
        self._told[result.trial.id] = result

    def results(self, round_: Round) -> list[TrialResult]:
        return [self._told[t.id] for t in self._all() if t.id in self._told]

    def open_trials(self, round_: Round) -> list[Trial]:
        return [t for t in self._all() if t.id not in self._told]

    def _all(self) -> list[Trial]:
        return [t for rung in sorted(self._begun) for t in self._begun[rung]]


Fate = Callable[[Trial, np.random.Generator], Outcome]


def well(trial: Trial, rng: np.random.Generator) -> Outcome:
    return Outcome.OK


def ended(trial: Trial, outcome: Outcome) -> TrialResult:
    """A trial's end with a score made up from config, steps and seed: each knob has a best value, longer trainings are
    better, and what they share is noise that only the three decide."""
    if outcome is not Outcome.OK:
        return TrialResult(trial, outcome, cause="made up")
    text = repr((sorted(trial.config.items()), trial.steps, trial.seed))
    noise = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
    rate = float(trial.config.get("learning_rate", 1e-3))
    away = min(1.0, abs(math.log10(rate) + 3) / 2)
    likeness = 0.9 - 0.5 * away + 0.05 * noise
    adherence = 0.5 + 0.4 * away - 0.01 * float(trial.config["rank"]) / 16
    total = min(1.0, 0.3 * STEPS / trial.steps * 0.2 + 0.5 * away + 0.1 * noise)
    axes = {"likeness": likeness, "adherence": adherence}
    return TrialResult(trial, outcome, score=Score(total, total, total), axes=axes)


def run(
    make: Callable[[], Strategy],
    ledger: Ledger,
    knobs: Sequence[Knob] = PLAIN,
    *,
    workers: int = 1,
    fate: Fate = well,
    order: int = 0,
    restart: bool = False,
) -> list[Trial]:
    """Run a search to its end; every trial in the order they began.

    Args:
        workers: trials at a time; of those that run, chance (seeded by `order`) says which ends next.
        restart: build the strategy anew for every proposal.
    """
    rng, strategy, begun = np.random.default_rng(order), make(), []
    while True:
        told, open_ = ledger.results(Round.SEARCH), ledger.open_trials(Round.SEARCH)
        room = workers - len(open_)
        wanted = strategy.propose(told, open_, room)
        assert len(wanted) <= room
        assert strategy.propose(told, open_, room) == wanted, "asked again it proposes the same"
        if restart:
            strategy = make()
            assert strategy.propose(told, open_, room) == wanted, "a restart changes nothing"
        begun += [ledger.begin(w, knobs) for w in wanted]
        running = ledger.open_trials(Round.SEARCH)
        if not running:
            return begun
        trial = running[int(rng.integers(len(running)))]
        ledger.finish(ended(trial, fate(trial, rng)))
