"""Proposals by a Gaussian process over the knobs: noisy expected improvement, so that one lucky trial is not taken for
the best there is. The process is `bracket.stats.search.process`.

It is fitted to the normal scores of the trials' places among each other (van der Waerden 1952): how bad the bad ones
are, and on what scale a score lies, then bends nothing among the good. Of few trials it makes more than TPE does: on
the recorded trainings of `tests/benchmarks/tabular` it comes as far with half of the configs. Its work grows with their
cube, so a long search goes on with TPE.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bracket.domain import Config, Knob, Outcome, Trial, TrialResult
from bracket.search.enough import candidates, encoded
from bracket.search.memory import Borrowed, quantiles
from bracket.search.rungs import key
from bracket.search.sampling import Proposer, startup_trials

_log = logging.getLogger(__name__)

MOST = 100
"""Results that it is fitted to; a proposal then takes a fifth of a second."""
_START = 10
"""Configs that are drawn by chance before it is asked, at most."""
_PROMISING, _BEST = 64, 12
"""Candidates that are looked at closely, and tried configs that they are to improve on."""


class Surrogate(Proposer):
    """Proposes where a Gaussian process expects the most; arguments as `Proposer`.

    Settings that melt are behind all others: to leave them out would be to look there again.
    """

    def __init__(self, knobs: Sequence[Knob], *, seed: int, configs: int, borrowed: Sequence[Borrowed] = ()) -> None:
        super().__init__("tpe", knobs, seed=seed, configs=configs, borrowed=borrowed)
        self._chance = Proposer("random", knobs, seed=seed, configs=configs)

    def next(
        self, number: int, told: Sequence[TrialResult], open_: Sequence[Trial], chosen: Sequence[Config] = ()
    ) -> Config | None:
        """See `Proposer.next`."""
        if len(told) <= MOST:
            known = self._known(told)
            if len(known) < min(_START, startup_trials(self._configs)):
                return self._chance.next(number, told, open_, chosen)
            beside = [*(t.config for t in open_), *chosen]
            tried = {key(c) for c in (*(r.trial.config for r in told), *beside)}
            try:
                found = self._expected(number, known, beside, tried)
            except (RuntimeError, ValueError) as error:  # NumPy's LinAlgError is one
                _log.warning("the Gaussian process can't be fitted, so TPE proposes config %d: %s", number, error)
            else:
                if found is not None:
                    return found
        return super().next(number, told, open_, chosen)

    def _known(self, told: Sequence[TrialResult]) -> list[tuple[Config, float]]:
        """Configs with their places among each other, 0 the best and 1 the worst; what is borrowed is among them."""
        values, left = self._counting(told)
        counting = [r for r in told if r.trial.id in values or r.outcome is Outcome.DIVERGED]
        places = quantiles([*(b.quantile for b in left), *(values.get(r.trial.id) for r in counting)])
        return list(zip([*(b.config for b in left), *(r.trial.config for r in counting)], places, strict=True))

    def _expected(
        self, number: int, known: Sequence[tuple[Config, float]], beside: Sequence[Config], tried: set[str]
    ) -> Config | None:
        """The candidate that is expected to gain most, whatever those may turn out to be that still run; None where
        there is none."""
        import numpy as np
        from scipy.special import ndtri

        from bracket.stats.search.process import fit

        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        y = ndtri([place for _, place in known])
        untried = candidates(self._knobs, tried, known[int(np.argmin(y))][0], seed)
        x = np.array([encoded(config, self._knobs) for config, _ in known])
        if not untried or not x.shape[1]:
            return None
        process = fit(x, y)
        points = np.array([encoded(config, self._knobs) for config in untried])
        promising = np.argsort(-process.improvement(x, points), kind="stable")[:_PROMISING]
        best = np.argsort(process.predict(x)[0], kind="stable")[:_BEST]
        running = np.array([encoded(config, self._knobs) for config in beside]).reshape(len(beside), x.shape[1])
        gains = process.noisy_improvement(np.vstack([x[best], running]), points[promising], seed)
        return untried[int(promising[np.argmax(gains)])]
