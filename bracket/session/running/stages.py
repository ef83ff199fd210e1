"""The rounds of a session in their order: search, finals, and the duel's fresh trainings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bracket.domain import Config, Outcome, Round, Trial, TrialResult, Wanted, mean
from bracket.report.summary import Ranked
from bracket.report.words import config_label
from bracket.search.enough import Enough
from bracket.search.pareto import finalists
from bracket.search.rungs import key
from bracket.search.space import varying
from bracket.search.strategies.protocol import Strategy, make_strategy
from bracket.session.duel.blind import Control, Pairs
from bracket.session.duel.course import OVER, course_of_pairs, scores_by_seed
from bracket.session.duel.plan import DuelPlan
from bracket.session.job import BEFORE, Context
from bracket.session.planning.memory import session_memory
from bracket.session.planning.outlook import ahead, ended_early, enough_of
from bracket.session.running.rounds import NextTrial, RoundRunner
from bracket.trainers.base import drawn_in

log = logging.getLogger(__name__)


def search(runner: RoundRunner) -> None:
    """Train what the strategy proposes until it has nothing left to ask, or the rest can hardly change the answer.

    Where finalists will train on, schedules are laid out for the finals' length from the start: a search trial is then
    the beginning of the very run that the finals finish.
    """
    context, store = runner.context, runner.store
    enough = enough_of(context)
    strategy = session_strategy(context, enough)
    again = runner.adopt(Round.SEARCH)

    def next_trial() -> Trial | None:
        if again:
            return again.pop(0)
        told, open_ = store.results(Round.SEARCH), store.open_trials(Round.SEARCH)
        runner.outlook = ahead(enough, told, open_)
        proposed = strategy.propose(told, open_, 1)
        return store.begin(_as_trained(context, proposed[0]), context.knobs) if proposed else None

    runner.outlook = ended_early(context, runner.run(Round.SEARCH, next_trial))
    if runner.outlook:
        log.info("%s", runner.outlook)


def _as_trained(context: Context, wanted: Wanted) -> Wanted:
    """A search trial as this trainer can train it: a part of the longer run, or a run of its own."""
    if context.goes_on:
        return replace(wanted, schedule=context.settings.finals.steps)
    return replace(wanted, continues="")


def session_strategy(context: Context, enough: Enough | None = None) -> Strategy:
    """The session's strategy, with the bounds applied to all it proposes; `enough` may end it early."""
    settings, s = context.settings, context.settings.search
    curated = context.preset.curated_configs()
    (training_seed,) = settings.seeds.training(Round.SEARCH, 1)
    memory = session_memory(context)
    return make_strategy(
        s.strategy,
        rungs=settings.search_rungs(),
        knobs=context.knobs,
        baseline=context.baseline,
        curated=curated if s.curated < 0 else curated[: s.curated],
        seed=settings.seed,
        training_seed=training_seed,
        reduction=s.reduction,
        objectives=s.objectives,
        borrowed=memory.borrowed if memory else (),
        enough=enough,
    )


def finals(runner: RoundRunner) -> None:
    """The best configs of the search and the baseline again: longer, and with more training seeds."""
    context, s = runner.context, runner.context.settings.finals
    searched = runner.store.results(Round.SEARCH)
    best = [r.trial for r in finalists(searched, s.finalists, context.settings.search.objectives)]
    configs = [("baseline", context.baseline), *(("finalist", t.config) for t in best)]
    # Of a config's rungs the longest is the last in the list.
    earlier = {key(r.trial.config): r.trial for r in searched if r.outcome is Outcome.OK and r.checkpoint}
    wanted = [
        _finals_trial(context, origin, config, seed, earlier.get(key(config)))
        for seed in finals_seeds(context)
        for origin, config in configs
    ]
    runner.run(Round.FINALS, _listed(runner, Round.FINALS, wanted if best else []))


def finals_seeds(context: Context) -> list[int]:
    """The finals' training seeds: fresh ones, but for the search's where finalists train on from it."""
    s = context.settings
    fresh = s.seeds.training(Round.FINALS, s.finals.seeds)
    return [*s.seeds.training(Round.SEARCH, 1), *fresh[:-1]] if context.goes_on else fresh


def _finals_trial(context: Context, origin: str, config: Config, seed: int, earlier: Trial | None) -> Wanted:
    steps, continues = context.settings.finals.steps, ""
    if context.goes_on and earlier is not None and earlier.seed == seed and earlier.steps < steps:
        continues = earlier.id
    return Wanted(Round.FINALS, origin, config, seed, steps, continues=continues)


def fresh_pairs(runner: RoundRunner, plan: DuelPlan) -> None:
    """Train the plan's arms with fresh paired seeds, drawing only verdict prompts, until their duel is over.

    Trainings of other duels of the same session, which have seeds of their own, are left as they are.

    Pairs begin in the plan's order, the arms of one in an order drawn by chance, side by side where workers allow; they
    are judged together. What trains when the duel is over is stopped; what was trained beyond its last pair is kept and
    does not count.
    """
    context, round_ = runner.context, Round.CONFIRMATION
    steps = context.settings.finals.steps
    wanted = [
        Wanted(round_, origin, plan.arms[origin], seed, steps)
        for seed in plan.training_seeds
        for origin in plan.order(seed)
    ]

    def over() -> str:
        return OVER if course_of_pairs(plan, scores_by_seed(plan, runner.store.results(round_))).over else ""

    if over():  # a kill may have come between the last score and the stop of what no longer counts
        for trial in runner.store.open_trials(round_):
            if trial.seed in plan.training_seeds:
                runner.store.finish(TrialResult(trial, Outcome.STOPPED, OVER))
    else:
        pairs = Pairs(plan, control(context), lambda: runner.store.results(round_))
        runner.run(round_, _listed(runner, round_, wanted), over, pairs)
    runner.spared += len(wanted) - sum(t.seed in plan.training_seeds for t in runner.store.begun(round_))


def control(context: Context) -> Control:
    """What the judge sees beside the arms of a duel."""
    return Control(context.folder, drawn_in(context.trainer, context.folder / BEFORE))


def _listed(runner: RoundRunner, round_: Round, wanted: Iterable[Wanted]) -> NextTrial:
    """Trials of a list that is known beforehand; what was begun before a kill is not begun again."""
    again = runner.adopt(round_)
    begun = {(t.origin, t.seed, key(t.config)) for t in runner.store.begun(round_)}
    left = [w for w in wanted if (w.origin, w.seed, key(w.config)) not in begun]

    def next_trial() -> Trial | None:
        if again:
            return again.pop(0)
        return runner.store.begin(left.pop(0), runner.context.knobs) if left else None

    return next_trial


def rank(results: Sequence[TrialResult]) -> list[Ranked]:
    """The configs of one round, best first, those without a judged trial last.

    A config is ranked by the mean of its judged trials, and only if as many of them were judged as of the best-covered
    config: one that melts on some seeds is not better for it.
    """
    by_config: dict[str, list[TrialResult]] = {}
    for result in results:
        by_config.setdefault(key(result.trial.config), []).append(result)
    names = varying([r.trial.config for r in results])
    most = max((sum(r.score is not None for r in group) for group in by_config.values()), default=0)
    ranked = []
    for group in by_config.values():
        totals = [r.score.total for r in group if r.score is not None]
        first = group[0].trial
        origin = "baseline" if any(r.trial.origin == "baseline" for r in group) else first.origin
        total = mean(totals) if totals and len(totals) == most else None
        ranked.append(Ranked(first.config, config_label(first.config, names), origin, tuple(group), total))
    return sorted(ranked, key=lambda r: (r.total is None, r.total if r.total is not None else 0.0))


def rank_search(results: Sequence[TrialResult]) -> list[Ranked]:
    """The configs of the search, each in the longest rung it was trained in: longer rungs first, failures last."""
    found: list[Ranked] = []
    seen: set[str] = set()
    for rung in sorted({r.trial.rung for r in results}, reverse=True):
        found += [r for r in rank([x for x in results if x.trial.rung == rung]) if key(r.config) not in seen]
        seen |= {key(r.config) for r in found}
    return sorted(found, key=lambda r: r.total is None)


def duellists(results: Sequence[TrialResult]) -> tuple[Ranked, Ranked] | None:
    """Winner and baseline of the finals; None when the baseline has no judged trial or nothing else has one."""
    ranking = rank(results)
    baseline = next((r for r in ranking if r.origin == "baseline" and r.total is not None), None)
    if baseline is None or ranking[0].total is None:
        return None
    return ranking[0], baseline


def runner_up(results: Sequence[TrialResult]) -> Ranked | None:
    """The second of the finals beside the baseline; None where only one config has a judged trial."""
    others = [r for r in rank(results) if r.origin != "baseline" and r.total is not None]
    return others[1] if len(others) > 1 else None


def ranked_of(results: Sequence[TrialResult], config: Config) -> Ranked | None:
    """A config's place in the ranking."""
    return next((r for r in rank(results) if key(r.config) == key(config)), None)


def common_seed(*arms: Ranked) -> tuple[TrialResult, ...] | None:
    """The checkpoints that duel: of the first training seed on which every arm ended well."""
    good = [{r.trial.seed: r for r in arm.results if r.outcome is Outcome.OK} for arm in arms]
    for seed in sorted(good[0]):
        if all(seed in found for found in good):
            return tuple(found[seed] for found in good)
    return None
