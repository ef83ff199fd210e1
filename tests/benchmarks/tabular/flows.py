"""Whole searches on the table: bracket's own strategies through their own code, Optuna's pruners through Optuna's.

A flow plays one session and says what it spent and which config it would name. Sessions differ in their random numbers
and in which recorded training seed stands behind their own; all configs of a session see the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bracket.domain import Config, Knob, Outcome, Round, Trial, TrialResult, Wanted
from bracket.presets import find_preset
from bracket.search.enough import Enough
from bracket.search.rungs import Rung, key, standing
from bracket.search.space import effective
from bracket.search.strategies.protocol import make_strategy
from bracket.session.asked.settings import ScoreSettings
from bracket.session.running.stages import rank
from bracket.session.score import on_one_scale
from tests.benchmarks.tabular.grid import LADDER
from tests.benchmarks.tabular.table import Simulator, Table

PRESET = find_preset("embedded-demo")
KNOBS: tuple[Knob, ...] = tuple(PRESET.knob_list())
BASELINE: Config = effective({**PRESET.baseline, "learning_rate": 1e-4}, KNOBS)
"""What the figures were measured with, which learns next to nothing; the demo's own is a better guess by now."""
FULL = LADDER[-1]
SEARCH_SEED, FRESH_SEED = 0, 100


@dataclass(frozen=True)
class Ended:
    """One played session: training steps spent, and the config it names."""

    steps: int
    config: Config


Flow = Callable[[Table, int], Ended]
"""Plays the session with this number on a table."""


def simulator(table: Table, session: int, ramp: bool = True) -> Simulator:
    """A session's simulator; its training seeds are the table's in an order of its own."""
    order = np.random.default_rng([11, session]).permutation(table.seeds)
    seeds = {SEARCH_SEED: int(order[0]), **{FRESH_SEED + i: int(s) for i, s in enumerate(order[1:])}}
    return Simulator(table, seeds, ScoreSettings(ramp=ramp))


def search(
    name: str, rungs: Sequence[Rung], finalists: int = 0, seeds: int = 1, ramp: bool = True, below: float = 0.0
) -> Flow:
    """One of bracket's strategies without curated configs, then finals at full length with so many training seeds.

    Without finalists it names the best of its longest rung. The first rung ends once the rest of it is expected to gain
    less than `below`.
    """

    def play(table: Table, session: int) -> Ended:
        sim = simulator(table, session, ramp)
        found = searched(sim, name, rungs, session, below=below)
        best = [r for r in standing(found) if r.trial.origin != "baseline"]
        if finalists and best:
            wanted = finals(found, best[:finalists], seeds)
            ranking = [r for r in rank(on_one_scale(sim.run(wanted))) if r.total is not None]
            return Ended(sim.steps, ranking[0].config if ranking else best[0].trial.config)
        return Ended(sim.steps, best[0].trial.config if best else BASELINE)

    return play


def searched(
    sim: Simulator, name: str, rungs: Sequence[Rung], session: int, room: int = 1, below: float = 0.0
) -> list[TrialResult]:
    """The search round, to its end."""
    strategy = make_strategy(
        name,
        rungs=rungs,
        knobs=KNOBS,
        baseline=BASELINE,
        curated=(),
        seed=session,
        training_seed=SEARCH_SEED,
        enough=Enough(KNOBS, configs=rungs[0].configs, below=below) if below else None,
    )
    told: list[TrialResult] = []
    while wanted := strategy.propose(told, (), room):
        told = on_one_scale([*told, *sim.run(wanted)])
    return told


def finals(found: Sequence[TrialResult], best: Sequence[TrialResult], seeds: int) -> list[Wanted]:
    """The finalists and the baseline at full length; the search's seed trains on, the others begin anew."""
    earlier: dict[str, Trial] = {key(r.trial.config): r.trial for r in found if r.outcome is Outcome.OK}
    wanted = []
    for seed in [SEARCH_SEED, *(FRESH_SEED + i for i in range(seeds - 1))]:
        for origin, config in [("baseline", BASELINE), *(("finalist", r.trial.config) for r in best)]:
            before = earlier.get(key(config))
            continues = before.id if before and seed == SEARCH_SEED else ""
            wanted.append(Wanted(Round.FINALS, origin, config, seed, FULL, continues=continues))
    return wanted


def pruned(pruner: str, trials: int, ramp: bool = True) -> Flow:
    """Optuna's own study with a TPE sampler and one of its pruners, reported to on every rung of the ladder.

    The baseline is trained first, and paid for, as by every other strategy: scores count the loss only beside its own.
    """

    def play(table: Table, session: int) -> Ended:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sim = simulator(table, session, ramp)
        list(climb(sim, "baseline", BASELINE))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(seed=session), pruner=_pruner(pruner), study_name=f"s{session}"
            )
            study.optimize(lambda trial: _objective(sim, trial), n_trials=trials)
        done = [t for t in study.trials if t.state is optuna.trial.TrialState.COMPLETE]
        best = min(done, key=lambda t: t.value if t.value is not None else 1.0, default=None)
        return Ended(sim.steps, best.user_attrs["config"] if best else BASELINE)

    return play


def _pruner(name: str) -> object:
    from optuna import pruners

    low, high = LADDER[0], LADDER[-1]
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=low, max_resource=high, reduction_factor=2)
    return pruners.SuccessiveHalvingPruner(min_resource=low, reduction_factor=2)


def _objective(sim: Simulator, trial: object) -> float:
    import optuna

    assert isinstance(trial, optuna.Trial)
    config: dict[str, float | int | str | bool] = {
        "learning_rate": trial.suggest_float("learning_rate", KNOBS[0].low or 0, KNOBS[0].high or 1, log=True),
        "rank": trial.suggest_categorical("rank", KNOBS[1].choices),
        "batch_size": trial.suggest_categorical("batch_size", KNOBS[2].choices),
    }
    trial.set_user_attr("config", config)
    total = 1.0
    for result in climb(sim, "optuna", config):
        if result.score is None:
            raise optuna.TrialPruned
        total = result.score.total
        trial.report(total, result.trial.steps)
        if result.trial.steps < FULL and trial.should_prune():
            raise optuna.TrialPruned
    return total


def climb(sim: Simulator, origin: str, config: Config) -> Iterator[TrialResult]:
    """A config on every rung of the ladder, one after the other, each going on from the one before."""
    before = ""
    for rung, steps in enumerate(LADDER):
        wanted = Wanted(Round.SEARCH, origin, config, SEARCH_SEED, steps, continues=before, rung=rung)
        (result,) = sim.run([wanted])
        before = result.trial.id
        yield result
