"""Proposals by a Gaussian process: Optuna's GPSampler (expected improvement; Matérn kernel, a length for each knob).

Of few trials it makes more than TPE does: on the recorded trainings of `tests/benchmarks/tabular` it comes as far with
half of the configs. Its work grows with their cube, so a long search goes on with TPE.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bracket.domain import Config, Knob, Outcome, Trial, TrialResult, Value
from bracket.search.memory import Borrowed
from bracket.search.rungs import key
from bracket.search.sampling import Proposer, startup_trials

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

_log = logging.getLogger(__name__)

MOST = 100
"""Results that it is fitted to; a proposal then takes a fifth of a second."""
_START = 10
"""Configs that are drawn by chance before it is asked, at most."""
_ATTEMPTS = 3
"""Proposals that were tried already after which chance finds what is left."""


class Surrogate(Proposer):
    """Proposes where a Gaussian process expects the most; arguments as `Proposer`.

    The study is made anew for every proposal. Settings that melt have the worst score there is so far: to leave them
    out, as the sampler would, is to look there again.
    """

    attempts = _ATTEMPTS

    def __init__(self, knobs: Sequence[Knob], *, seed: int, configs: int, borrowed: Sequence[Borrowed] = ()) -> None:
        super().__init__("gp", knobs, seed=seed, configs=configs, borrowed=borrowed)
        self._later = Proposer("tpe", knobs, seed=seed, configs=configs)
        self._worst = 1.0

    def next(
        self, number: int, told: Sequence[TrialResult], open_: Sequence[Trial], chosen: Sequence[Config] = ()
    ) -> Config | None:
        """See `Proposer.next`."""
        if len(told) <= MOST:
            try:
                return super().next(number, told, open_, chosen)
            except (RuntimeError, ValueError) as error:  # torch's and NumPy's LinAlgError are such
                _log.warning("the Gaussian process can't be fitted, so TPE proposes config %d: %s", number, error)
        return self._later.next(number, told, open_, chosen)

    def _sync(self, told: Sequence[TrialResult], open_: Sequence[Trial]) -> optuna.Study:
        self._study = None
        self._worst = max((r.score.total for r in told if r.score), default=1.0)
        return super()._sync(told, open_)

    def _params(self, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and distributions of every knob: one that does not count in this config has its middle value, as
        the process is fitted only to what all trials have."""
        return self._whole(config, {k.name: _middle(k) for k in self._knobs})

    def _tell(self, study: optuna.Study, result: TrialResult, value: float | None) -> None:
        if result.outcome is Outcome.DIVERGED:
            melted = self._worst if value is None else value
            study.tell(self._numbers[key(result.trial.config)], melted, skip_if_finished=True)
        else:
            super()._tell(study, result, value)

    def _made(self, kind: str, seed: int) -> BaseSampler:
        import optuna

        if kind == "random":
            return super()._made(kind, seed)
        # A fit that fails begins again from its defaults; Optuna warns of it each time.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            start = min(_START, startup_trials(self._configs))
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=start, warn_independent_sampling=False)


def _middle(knob: Knob) -> Value:
    if knob.kind == "choice":
        return knob.choices[0]
    assert knob.low is not None and knob.high is not None
    middle = math.sqrt(knob.low * knob.high) if knob.log else (knob.low + knob.high) / 2
    return round(middle) if knob.kind == "int" else middle
