"""Other people's Gaussian processes in the place of ours: same first configs by chance, same figures told, same rungs.

Both samplers are told what ours is fitted to, normal scores of the places among each other with what melted behind all
others, and see choices among numbers as an order, as ours does; otherwise they are as they come. BoTorch's needs
packages that bracket does not: `BOTORCH` installs them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bracket.domain import Config, Knob, Value
from bracket.search.rungs import key
from bracket.search.space import distribution, effective
from bracket.search.surrogate import Surrogate
from bracket.stats.search.scale import is_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

BOTORCH = ".venv/bin/python -m pip install optuna-integration botorch"
_TRIES = 20


class OptunaGP(Surrogate):
    """Optuna's own GP sampler: Matérn 5/2 with the likeliest lengths under a prior, log expected improvement."""

    def _expected(
        self, number: int, known: Sequence[tuple[Config, float]], beside: Sequence[Config], tried: set[str]
    ) -> Config | None:
        import optuna
        from optuna.trial import create_trial
        from scipy.special import ndtri

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        space = {k.name: _ordered(k) for k in self._knobs}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(sampler=self._rival(self._seed * 1_000 + number))
            for config, place in known:
                value = float(ndtri(place))
                params = {k.name: _placed(k, config[k.name]) for k in self._knobs}
                study.add_trial(create_trial(params=params, distributions=space, value=value))
            for _ in range(_TRIES):
                asked = study.ask(space).params
                config = effective({k.name: _value(k, asked[k.name]) for k in self._knobs}, self._knobs)
                if key(config) not in tried:
                    return config
        return None

    def _rival(self, seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=1)


class BoTorch(OptunaGP):
    """BoTorch's process and log expected improvement, by Optuna's integration."""

    def _rival(self, seed: int) -> BaseSampler:
        from optuna_integration import BoTorchSampler

        return BoTorchSampler(seed=seed, n_startup_trials=1)


def _is_order(knob: Knob) -> bool:
    return knob.kind == "choice" and is_number(knob)


def _ordered(knob: Knob) -> BaseDistribution:
    """Its distribution; of a choice among numbers, that of their places."""
    from optuna.distributions import IntDistribution

    return IntDistribution(0, len(knob.choices) - 1) if _is_order(knob) else distribution(knob)


def _placed(knob: Knob, value: Value) -> Value:
    return knob.choices.index(value) if _is_order(knob) else value


def _value(knob: Knob, placed: Value) -> Value:
    return knob.choices[int(placed)] if _is_order(knob) else placed


def botorch_is_there() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("botorch", "optuna_integration"))
