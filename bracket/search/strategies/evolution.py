"""Evolution for two objectives: Optuna's NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017), which keeps what nothing
else beats on all objectives and crosses it.

It runs without generations: parents are chosen from all that was told so far, so no worker waits for a generation to
end, and what is proposed depends on the ledger alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bracket.domain import Config, Knob, TrialResult
from bracket.search.pareto import aims
from bracket.search.rungs import key
from bracket.search.sampling import Proposer, startup_trials
from bracket.search.space import drawn

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

MOST = 50
"""Parents at most; Optuna's own default."""


class Evolution(Proposer):
    """Proposes configs for several objectives at once.

    Until a third of the configs is tried (at least four) they are drawn by chance; as many are the parents then. A
    trial that the judge gave no value on an objective counts as failed: it is no parent.

    Args:
        objectives: axes of the judge, at least two; higher is better.
    """

    def __init__(self, knobs: Sequence[Knob], *, seed: int, configs: int, objectives: Sequence[str]) -> None:
        super().__init__("nsga2", knobs, seed=seed, configs=configs)
        self._objectives, self._parents = tuple(objectives), min(MOST, startup_trials(configs))

    def _new_study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(directions=["maximize"] * len(self._objectives))

    def _params(self, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters and distributions of every knob: one that does not count in this config has a value by chance, as
        Optuna crosses only what all trials have. `effective` takes it out of the children again."""
        import numpy as np

        rng = np.random.default_rng([self._seed, *key(config).encode()])
        return self._whole(config, drawn(self._knobs, rng))

    def _tell(self, study: optuna.Study, result: TrialResult, value: float | None) -> None:
        values = aims(result, self._objectives)
        if values is None:
            self._forget(study, self._numbers[key(result.trial.config)])
        else:
            study.tell(self._numbers[key(result.trial.config)], values, skip_if_finished=True)

    def _made(self, kind: str, seed: int) -> BaseSampler:
        return super()._made(kind, seed) if kind == "random" else _steady(self._parents, seed)


def _steady(parents: int, seed: int) -> BaseSampler:
    """NSGA-II whose parents are the best of all trials so far."""
    from optuna.samplers import NSGAIISampler
    from optuna.trial import FrozenTrial, TrialState

    class Steady(NSGAIISampler):
        def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
            return int(len(self.get_population(study, 0)) >= parents)

        def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

        def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return self.select_parent(study, generation) if generation else []

    return Steady(population_size=parents, seed=seed)
