"""Where new configs come from: Optuna's samplers, fed from what the ledger holds.

The study lives in memory and holds nothing but what the ledger does and what was borrowed at the session's begin: a
search that was killed and resumed builds it again. A sampler is made anew for every proposal, seeded by the session's
seed and the proposal's number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bracket.domain import Config, Knob, Outcome, Trial, TrialResult, Value
from bracket.search.memory import Borrowed, lent, quantiles
from bracket.search.rungs import in_order, key
from bracket.search.space import active, distributions, effective, is_active

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

_TRIES = 20
"""Proposals that are thrown away for being tried already, before the space counts as used up."""


class Proposer:
    """Proposes configs that were not tried yet.

    Args:
        kind: "tpe" (Bergstra et al. 2011; trials that still run count as bad ones, so that a batch spreads), "random".
        configs: how many the search tries, openings included: a third of them is tried before the estimator is trusted.
        borrowed: of earlier sessions (`memory.borrow`). They count as tried for the estimator, and may be proposed.
            While some are in the study every value there is a quantile of its own rung.
    """

    def __init__(
        self, kind: str, knobs: Sequence[Knob], *, seed: int, configs: int, borrowed: Sequence[Borrowed] = ()
    ) -> None:
        self._kind, self._knobs, self._seed, self._configs = kind, tuple(knobs), seed, configs
        self._borrowed, self._lent = tuple(borrowed), 0
        self._study: optuna.Study | None = None
        self._numbers: dict[str, int] = {}
        """Number in the study by config."""
        self._begun: set[str] = set()
        self._told: set[str] = set()
        """Ids of the trials that are in the study, and of those with their result."""
        self._values: dict[str, float] = {}
        """What the study was told, by trial."""

    def next(
        self, number: int, told: Sequence[TrialResult], open_: Sequence[Trial], chosen: Sequence[Config] = ()
    ) -> Config | None:
        """The config for proposal `number` (0 is the first of the search); None when the space is used up. What is
        proposed and not begun leaves no trace: asked again, it is proposed again.

        Args:
            told, open_: the ended and the running trials of the first rung.
            chosen: configs of the same batch, which will run too.
        """
        study = self._sync(told, open_)
        tried = {*self._numbers, *map(key, chosen)}
        beside = [self._add(study, config) for config in chosen]
        found = None
        for attempt in range(_TRIES):
            # Once it keeps proposing what was tried, chance finds what is left.
            study.sampler = self._sampler("random" if attempt >= _TRIES // 2 else self._kind, number, attempt)
            asked = study.ask()
            config = effective(self._suggested(asked), self._knobs)
            self._forget(study, asked.number)
            if key(config) not in tried:
                found = config
                break
        for running in beside:
            self._forget(study, running)
        return found

    def _sync(self, told: Sequence[TrialResult], open_: Sequence[Trial]) -> optuna.Study:
        """The study with all that the ledger knows; only what is new is added.

        A result may move the others' values (scores follow from their whole round, and while something is borrowed
        they are quantiles); the study is then made anew.
        """
        values, left = self._counting(told)
        moved = any(values.get(trial) != value for trial, value in self._values.items())
        self._values = values
        if self._study is None or moved or len(left) != self._lent:
            self._study, self._lent = self._new_study(), len(left)
            self._numbers, self._begun, self._told = {}, set(), set()
            for borrowed in left:
                self._add(self._study, borrowed.config, borrowed.quantile)
        new = [r for r in told if r.trial.id not in self._begun]
        for trial in in_order(new, [t for t in open_ if t.id not in self._begun]):
            self._begun.add(trial.id)
            if key(trial.config) not in self._numbers:
                self._numbers[key(trial.config)] = self._add(self._study, trial.config)
        for result in told:
            if result.trial.id not in self._told:
                self._told.add(result.trial.id)
                self._tell(self._study, result, values.get(result.trial.id))
        return self._study

    def _counting(self, told: Sequence[TrialResult]) -> tuple[dict[str, float], list[Borrowed]]:
        """What is known by trial, and what is borrowed beside it; while something is, all are quantiles."""
        counting = [r for r in told if r.score or r.outcome is Outcome.DIVERGED]
        values = {r.trial.id: r.score.total for r in counting if r.score}
        left = lent(self._borrowed, len(counting), self._configs)
        if left:
            places = quantiles([values.get(r.trial.id) for r in counting])
            values = {r.trial.id: place for r, place in zip(counting, places, strict=True)}
        return values, list(left)

    def _new_study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(direction="minimize")

    def _params(self, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
        """A config's parameters and their distributions, as the study holds them."""
        counting = active(self._knobs, config)
        return {k.name: config[k.name] for k in counting}, distributions(counting)

    def _whole(self, config: Config, elsewhere: Config) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same with every knob: one that does not count in this config has its value from `elsewhere`."""
        return {**elsewhere, **{k.name: config[k.name] for k in active(self._knobs, config)}}, distributions(
            self._knobs
        )

    def _add(self, study: optuna.Study, config: Config, value: float | None = None) -> int:
        """A trial of the study: complete with its value, running without one."""
        from optuna.trial import TrialState, create_trial

        params, ranges = self._params(config)
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=value, params=params, distributions=ranges))
        return len(study.get_trials(deepcopy=False)) - 1

    def _tell(self, study: optuna.Study, result: TrialResult, value: float | None) -> None:
        from optuna.trial import TrialState

        number = self._numbers[key(result.trial.config)]
        if result.score is not None:
            study.tell(number, value, skip_if_finished=True)
        elif result.outcome is Outcome.DIVERGED:
            # PRUNED, not FAIL: samplers ignore failed trials, and that these settings melt is worth knowing.
            study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
        else:
            self._forget(study, number)

    def _forget(self, study: optuna.Study, number: int) -> None:
        from optuna.trial import TrialState

        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _suggested(self, asked: optuna.Trial) -> dict[str, Value]:
        """One knob after the other: a knob whose conditions fail is not asked for."""
        proposed: dict[str, Value] = {}
        for knob in self._knobs:
            if is_active(knob, proposed):
                proposed[knob.name] = _suggest(asked, knob)
        return proposed

    def _sampler(self, kind: str, number: int, attempt: int) -> BaseSampler:
        import numpy as np

        entropy = [self._seed, number, attempt] if attempt else [self._seed, number]
        return self._made(kind, int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def _made(self, kind: str, seed: int) -> BaseSampler:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import RandomSampler, TPESampler

        if kind == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(n_startup_trials=startup_trials(self._configs), seed=seed, constant_liar=True)


def startup_trials(configs: int) -> int:
    """How many configs (openings included) are tried before the estimator is trusted: a third, at least four."""
    return max(4, -(-configs // 3))


def _suggest(asked: optuna.Trial, knob: Knob) -> Value:
    if knob.kind == "choice":
        return cast(Value, asked.suggest_categorical(knob.name, knob.choices))
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    if knob.kind == "int":
        return asked.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.log)
    return asked.suggest_float(knob.name, float(knob.low), float(knob.high), log=knob.log)
