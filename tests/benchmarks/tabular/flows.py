"""Whole searches on the table: bracket's own strategies through their own code, Optuna's pruners through Optuna's.

A flow plays one session and says what it spent and which config it would name. Sessions differ in their random numbers
and in which recorded training seed stands behind their own; all configs of a session see the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from bracket.domain import Config, Outcome, Round, Trial, TrialResult, Wanted
from bracket.search.enough import Enough
from bracket.search.rungs import Rung, key, standing
from bracket.search.sampling import Proposer
from bracket.search.space import distributions, effective
from bracket.search.strategies import protocol as strategies
from bracket.search.strategies.protocol import make_strategy
from bracket.session.asked.settings import ScoreSettings
from bracket.session.running.stages import rank
from bracket.session.score import on_one_scale
from tests.benchmarks.tabular.grid import Plan
from tests.benchmarks.tabular.table import Simulator, Table

SEARCH_SEED, FRESH_SEED = 0, 100
USUAL = ScoreSettings()
LOSS_ONLY = ScoreSettings(sample_weight=0.0)


@dataclass(frozen=True)
class Ended:
    """One played session: training steps spent, and the config it names."""

    steps: int
    config: Config


Flow = Callable[[Table, int], Ended]
"""Plays the session with this number on a table."""


def simulator(table: Table, session: int, score: ScoreSettings = USUAL) -> Simulator:
    """A session's simulator; its training seeds are the table's in an order of its own."""
    order = np.random.default_rng([11, session]).permutation(table.seeds)
    seeds = {SEARCH_SEED: int(order[0]), **{FRESH_SEED + i: int(s) for i, s in enumerate(order[1:])}}
    return Simulator(table, seeds, score)


def search(
    name: str,
    rungs: Sequence[Rung],
    finalists: int = 0,
    *,
    seeds: int = 1,
    score: ScoreSettings = USUAL,
    below: float = 0.0,
    proposer: type[Proposer] | None = None,
) -> Flow:
    """One of bracket's strategies without curated configs, then finals at full length with so many training seeds.

    Without finalists it names the best of its longest rung. The first rung ends once the rest of it is expected to gain
    less than `below`.

    Args:
        score: how the search is scored; finals are as usual.
        proposer: stands in for our Gaussian process.
    """

    def play(table: Table, session: int) -> Ended:
        sim = simulator(table, session, score)
        with patch.object(strategies, "Surrogate", proposer or strategies.Surrogate):
            found = searched(sim, name, rungs, session, below=below)
        best = [r for r in standing(found) if r.trial.origin != "baseline"]
        if finalists and best:
            sim.score = USUAL
            wanted = finals(table.plan, found, best[:finalists], seeds)
            ranking = [r for r in rank(on_one_scale(sim.run(wanted))) if r.total is not None]
            return Ended(sim.steps, ranking[0].config if ranking else best[0].trial.config)
        every = standing(found)
        return Ended(sim.steps, every[0].trial.config if every else table.plan.baseline)

    return play


def searched(
    sim: Simulator, name: str, rungs: Sequence[Rung], session: int, room: int = 1, below: float = 0.0
) -> list[TrialResult]:
    """The search round, to its end."""
    plan = sim.table.plan
    strategy = make_strategy(
        name,
        rungs=rungs,
        knobs=plan.knobs,
        baseline=plan.baseline,
        curated=(),
        seed=session,
        training_seed=SEARCH_SEED,
        enough=Enough(plan.knobs, configs=rungs[0].configs, below=below) if below else None,
    )
    told: list[TrialResult] = []
    while wanted := strategy.propose(told, (), room):
        told = on_one_scale([*told, *sim.run(wanted)])
    return told


def finals(plan: Plan, found: Sequence[TrialResult], best: Sequence[TrialResult], seeds: int) -> list[Wanted]:
    """The finalists and the baseline at full length; the search's seed trains on, the others begin anew."""
    earlier: dict[str, Trial] = {key(r.trial.config): r.trial for r in found if r.outcome is Outcome.OK}
    wanted = []
    for seed in [SEARCH_SEED, *(FRESH_SEED + i for i in range(seeds - 1))]:
        for origin, config in [("baseline", plan.baseline), *(("finalist", r.trial.config) for r in best)]:
            before = earlier.get(key(config))
            continues = before.id if before and seed == SEARCH_SEED else ""
            wanted.append(Wanted(Round.FINALS, origin, config, seed, plan.full, continues=continues))
    return wanted


def pruned(pruner: str, trials: int) -> Flow:
    """Optuna's own study with a TPE sampler and one of its pruners, reported to on every rung of the ladder.

    The baseline is trained first, and paid for, as by every other strategy: scores count the loss only beside its own.
    """

    def play(table: Table, session: int) -> Ended:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        plan, sim = table.plan, simulator(table, session)
        best = list(climb(sim, "baseline", plan.baseline))[-1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=session)
            study = optuna.create_study(sampler=sampler, pruner=_pruner(pruner, plan), study_name=f"s{session}")
        for _ in range(trials):
            trial = study.ask(distributions(plan.knobs))
            result = _climbed(sim, trial)
            if result is None or result.score is None:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            study.tell(trial, result.score.total)
            if best.score is None or result.score.total < best.score.total:
                best = result
        return Ended(sim.steps, best.trial.config)

    return play


def _pruner(name: str, plan: Plan) -> object:
    from optuna import pruners

    low, high = plan.ladder[0], plan.full
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=low, max_resource=high, reduction_factor=2)
    return pruners.SuccessiveHalvingPruner(min_resource=low, reduction_factor=2)


def _climbed(sim: Simulator, trial: object) -> TrialResult | None:
    """The result of the last rung; None where the pruner or a melted training ended it before."""
    import optuna

    assert isinstance(trial, optuna.Trial)
    result = None
    for result in climb(sim, "optuna", effective(trial.params, sim.table.plan.knobs)):
        if result.score is None:
            return None
        trial.report(result.score.total, result.trial.steps)
        if result.trial.steps < sim.table.plan.full and trial.should_prune():
            return None
    return result


def climb(sim: Simulator, origin: str, config: Config) -> Iterator[TrialResult]:
    """A config on every rung of the ladder, one after the other, each going on from the one before."""
    before = ""
    for rung, steps in enumerate(sim.table.plan.ladder):
        wanted = Wanted(Round.SEARCH, origin, config, SEARCH_SEED, steps, continues=before, rung=rung)
        (result,) = sim.run([wanted])
        before, config = result.trial.id, result.trial.config
        yield result
