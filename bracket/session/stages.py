"""The rounds of a session in their order: search, finals, and the duel's fresh trainings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bracket.domain import Config, Outcome, Round, Trial, TrialResult, mean
from bracket.report.summary import Ranked
from bracket.report.words import config_label
from bracket.search.space import varying
from bracket.search.strategy import Strategy, make_strategy
from bracket.session.job import Context
from bracket.session.rounds import NextTrial, RoundRunner
from bracket.session.seeds import training_seeds
from bracket.session.store import Wanted


def search(runner: RoundRunner) -> None:
    """Baseline, curated configs, then what the strategy proposes, until the asked number of configs was tried.

    Where finalists will train on, schedules are laid out for the finals' length from the start: a search trial is then
    the beginning of the very run that the finals finish.
    """
    context, settings = runner.context, runner.context.settings
    strategy = session_strategy(runner)
    (seed,) = training_seeds(settings.seed, Round.SEARCH, 1)
    steps, schedule = settings.search.steps, settings.finals.steps if context.goes_on else 0
    again = runner.adopt(Round.SEARCH)
    openings = strategy.openings()

    def next_trial() -> Trial | None:
        if again:
            return again.pop(0)
        number = len(runner.store.begun(Round.SEARCH))
        if number >= settings.search.configs:
            return None
        if number < len(openings):
            o = openings[number]
            return runner.store.begin(Wanted(Round.SEARCH, o.origin, o.config, seed, steps, schedule), context.knobs)
        return runner.store.propose(
            strategy.sampler(number), context.knobs, origin=strategy.name, seed=seed, steps=steps, schedule=schedule
        )

    runner.run(Round.SEARCH, next_trial)


def session_strategy(runner: RoundRunner) -> Strategy:
    """The session's strategy, with the bounds applied to all it proposes."""
    context, s = runner.context, runner.context.settings.search
    curated = context.preset.curated_configs()
    return make_strategy(
        s.strategy,
        knobs=context.knobs,
        baseline=context.baseline,
        curated=curated if s.curated < 0 else curated[: s.curated],
        configs=s.configs,
        seed=context.settings.seed,
    )


def finals(runner: RoundRunner) -> None:
    """The best configs of the search and the baseline again: longer, and with more training seeds."""
    context, s = runner.context, runner.context.settings.finals
    searched = runner.store.results(Round.SEARCH)
    best = [r for r in rank(searched) if r.total is not None and r.origin != "baseline"][: s.finalists]
    configs = [("baseline", context.baseline), *(("finalist", r.config) for r in best)]
    earlier = {_key(r.trial.config): r.trial for r in searched if r.outcome is Outcome.OK and r.checkpoint}
    wanted = [
        _finals_trial(context, origin, config, seed, earlier.get(_key(config)))
        for seed in finals_seeds(context)
        for origin, config in configs
    ]
    runner.run(Round.FINALS, _listed(runner, Round.FINALS, wanted if best else []))


def finals_seeds(context: Context) -> list[int]:
    """The finals' training seeds: fresh ones, but for the search's where finalists train on from it."""
    s = context.settings
    fresh = training_seeds(s.seed, Round.FINALS, s.finals.seeds)
    return [*training_seeds(s.seed, Round.SEARCH, 1), *fresh[:-1]] if context.goes_on else fresh


def _finals_trial(context: Context, origin: str, config: Config, seed: int, earlier: Trial | None) -> Wanted:
    steps = context.settings.finals.steps
    goes_on = context.goes_on and earlier is not None and earlier.seed == seed
    return Wanted(Round.FINALS, origin, config, seed, steps, continues=earlier.id if goes_on and earlier else "")


def fresh_pairs(runner: RoundRunner, winner: Config) -> None:
    """Train winner and baseline with fresh paired seeds, drawing only verdict prompts."""
    context, s = runner.context, runner.context.settings
    seeds = training_seeds(s.seed, Round.CONFIRMATION, s.confirmation.pairs)
    arms = [("baseline", context.baseline), ("winner", winner)]
    wanted = [
        Wanted(Round.CONFIRMATION, origin, config, seed, s.finals.steps) for seed in seeds for origin, config in arms
    ]
    runner.run(Round.CONFIRMATION, _listed(runner, Round.CONFIRMATION, wanted))


def _listed(runner: RoundRunner, round_: Round, wanted: Iterable[Wanted]) -> NextTrial:
    """Trials of a list that is known beforehand; what was begun before a kill is not begun again."""
    again = runner.adopt(round_)
    begun = {(t.origin, t.seed, _key(t.config)) for t in runner.store.begun(round_)}
    left = [w for w in wanted if (w.origin, w.seed, _key(w.config)) not in begun]

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
        by_config.setdefault(_key(result.trial.config), []).append(result)
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


def duellists(results: Sequence[TrialResult]) -> tuple[Ranked, Ranked] | None:
    """Winner and baseline of the finals; None when the baseline has no judged trial or nothing else has one."""
    ranking = rank(results)
    baseline = next((r for r in ranking if r.origin == "baseline" and r.total is not None), None)
    if baseline is None or ranking[0].total is None:
        return None
    return ranking[0], baseline


def common_seed(winner: Ranked, baseline: Ranked) -> tuple[TrialResult, TrialResult] | None:
    """The two checkpoints that duel: of the first training seed on which both arms ended well."""
    theirs = {r.trial.seed: r for r in baseline.results if r.outcome is Outcome.OK}
    for result in sorted(winner.results, key=lambda r: r.trial.seed):
        if result.outcome is Outcome.OK and result.trial.seed in theirs:
            return result, theirs[result.trial.seed]
    return None


def _key(config: Config) -> str:
    return repr(sorted(config.items()))
