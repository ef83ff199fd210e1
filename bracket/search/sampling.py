"""Where new configs come from: Optuna's samplers, fed from what the ledger holds.

The study lives in memory and holds nothing that the ledger does not: a search that was killed and resumed builds it
again. A sampler is made anew for every proposal, seeded by the session's seed and the proposal's number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from bracket.domain import Config, Knob, Outcome, Trial, TrialResult, Value
from bracket.search.rungs import key
from bracket.search.space import active, distributions, effective, is_active

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

_TRIES = 20
"""Proposals that are thrown away for being tried already, before the space counts as used up."""


class Proposer:
    """Proposes configs that were not tried yet.

    Args:
        kind: "tpe" (Bergstra et al. 2011; trials that still run count as bad ones, so that a batch spreads) or "random".
        configs: how many the search tries, openings included: a third of them is tried before the estimator is trusted.
    """

    def __init__(self, kind: str, knobs: Sequence[Knob], *, seed: int, configs: int) -> None:
        self._kind, self._knobs, self._seed, self._configs = kind, tuple(knobs), seed, configs
        self._study: optuna.Study | None = None
        self._numbers: dict[str, int] = {}
        """Number in the study by config."""
        self._told: set[str] = set()

    def next(self, number: int, told: Sequence[TrialResult], open_: Sequence[Trial]) -> Config | None:
        """The config for proposal `number` (0 is the first of the search); None when the space is used up.

        Args:
            told, open_: the ended and the running trials of the first rung.
        """
        study = self._sync(told, open_)
        for attempt in range(_TRIES):
            # Once it keeps proposing what was tried, chance finds what is left.
            study.sampler = self._sampler("random" if attempt > _TRIES // 2 else self._kind, number, attempt)
            asked = study.ask()
            config = effective(self._suggested(asked), self._knobs)
            if key(config) not in self._numbers:
                self._numbers[key(config)] = asked.number
                return config
            self._forget(study, asked.number)
        return None

    def _sync(self, told: Sequence[TrialResult], open_: Sequence[Trial]) -> optuna.Study:
        """The study with all that the ledger knows; only what is new is added."""
        import optuna

        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self._study = optuna.create_study(direction="minimize")
        for trial in sorted([*(r.trial for r in told), *open_], key=lambda t: t.id):
            if key(trial.config) not in self._numbers:
                self._numbers[key(trial.config)] = self._add(self._study, trial.config)
        for result in told:
            if result.trial.id not in self._told:
                self._told.add(result.trial.id)
                self._tell(self._study, result)
        return self._study

    def _add(self, study: optuna.Study, config: Config) -> int:
        from optuna.trial import TrialState, create_trial

        counting = active(self._knobs, config)
        params = {k.name: config[k.name] for k in counting}
        study.add_trial(
            create_trial(state=TrialState.RUNNING, params=params, distributions=distributions(counting))
        )
        return len(study.get_trials(deepcopy=False)) - 1

    def _tell(self, study: optuna.Study, result: TrialResult) -> None:
        from optuna.trial import TrialState

        number = self._numbers[key(result.trial.config)]
        if result.score is not None:
            study.tell(number, result.score.total, skip_if_finished=True)
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
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import RandomSampler, TPESampler

        entropy = [self._seed, number, attempt] if attempt else [self._seed, number]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
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
