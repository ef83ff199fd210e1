"""The ledger: an Optuna study per round in the session's `study.db`. What is not in it did not happen.

A trial is begun in one transaction where its config is known beforehand. A trial that was proposed but never described
(a kill in between) is told as failed; one that was described and not told is open and is finished on resume.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult, Value
from bracket.errors import StorageError
from bracket.search.space import distributions

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

FILE = "study.db"
_TRIAL, _RESULT = "trial", "result"


class Store:
    """One session's ledger.

    Args:
        folder: the session's folder.
        url: another Optuna storage URL, for sessions that share a database server.

    Raises:
        StorageError: the database is damaged or can't be opened.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._path = None if url else folder / FILE
        self._storage = _open(url or f"sqlite:///{folder / FILE}", self._path or folder)
        self._studies: dict[Round, optuna.Study] = {}

    def begin(
        self, round_: Round, config: Config, knobs: Sequence[Knob], *, origin: str, seed: int, steps: int
    ) -> Trial:
        """Begin a trial whose config is known."""
        from optuna.trial import TrialState, create_trial

        study = self._study(round_)
        number = len(study.get_trials(deepcopy=False))
        trial = self._trial(round_, number, config, origin, seed, steps)
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(config),
                distributions=distributions(knobs),
                user_attrs={_TRIAL: _described(trial)},
            )
        )
        return trial

    def propose(self, sampler: BaseSampler, knobs: Sequence[Knob], *, origin: str, seed: int, steps: int) -> Trial:
        """Begin a trial of the search round whose config the sampler chooses."""
        study = self._study(Round.SEARCH)
        study.sampler = sampler
        asked = study.ask(distributions(knobs))
        trial = self._trial(Round.SEARCH, asked.number, asked.params, origin, seed, steps)
        asked.set_user_attr(_TRIAL, _described(trial))
        return trial

    def finish(self, result: TrialResult) -> None:
        """Tell how a trial ended. Telling the same trial twice changes nothing."""
        from optuna.trial import TrialState

        study = self._study(result.trial.round)
        number = int(result.trial.id.rsplit("-", 1)[1])
        frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        self._storage.set_trial_user_attr(frozen._trial_id, _RESULT, _told(result))
        if result.score is not None:
            study.tell(number, result.score.total)
        elif result.outcome is Outcome.DIVERGED:
            # PRUNED, not FAIL: samplers ignore failed trials, and that these settings melt is worth knowing.
            study.tell(number, state=TrialState.PRUNED)
        else:
            study.tell(number, state=TrialState.FAIL)

    def results(self, round_: Round) -> list[TrialResult]:
        """Every ended trial of a round, in the order they began. Samples and judgements are left on disk."""
        frozen = self._study(round_).get_trials(deepcopy=False)
        return [self._result(f) for f in frozen if f.state.is_finished() and _RESULT in f.user_attrs]

    def open_trials(self, round_: Round) -> list[Trial]:
        """Trials that began and did not end: the process was killed. Those never described are told as failed."""
        from optuna.trial import TrialState

        study, found = self._study(round_), []
        for frozen in study.get_trials(deepcopy=False):
            if frozen.state.is_finished():
                continue
            if _TRIAL not in frozen.user_attrs:
                study.tell(frozen.number, state=TrialState.FAIL)
            elif _RESULT in frozen.user_attrs:
                self.finish(self._result(frozen))
            else:
                found.append(self._trial_of(frozen))
        return found

    def begun(self, round_: Round) -> list[Trial]:
        """Every described trial of a round, ended or not, in the order they began."""
        frozen = self._study(round_).get_trials(deepcopy=False)
        return [self._trial_of(f) for f in frozen if _TRIAL in f.user_attrs]

    def close(self) -> None:
        """Let go of the database file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _study(self, round_: Round) -> optuna.Study:
        import optuna

        if round_ not in self._studies:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self._studies[round_] = optuna.create_study(
                storage=self._storage, study_name=round_.value, direction="minimize", load_if_exists=True
            )
        return self._studies[round_]

    def _trial(
        self, round_: Round, number: int, config: Mapping[str, Value], origin: str, seed: int, steps: int
    ) -> Trial:
        name = f"{round_.value}-{number:03d}"
        return Trial(name, round_, origin, dict(config), seed, steps, self._folder / "trials" / name)

    def _trial_of(self, frozen: FrozenTrial) -> Trial:
        d = frozen.user_attrs[_TRIAL]
        return self._trial(Round(d["round"]), frozen.number, d["config"], d["origin"], d["seed"], d["steps"])

    def _result(self, frozen: FrozenTrial) -> TrialResult:
        d = frozen.user_attrs[_RESULT]
        trial = self._trial_of(frozen)
        return TrialResult(
            trial=trial,
            outcome=Outcome(d["outcome"]),
            cause=d["cause"],
            score=Score(**d["score"]) if d["score"] else None,
            validation_loss=d["validation_loss"],
            train_seconds=d["train_seconds"],
            axes=d["axes"],
            checkpoint=trial.folder / d["checkpoint"] if d["checkpoint"] else None,
        )


def _open(url: str, path: Path) -> Any:
    import optuna
    import sqlalchemy.exc

    remedy = "Move study.db aside to begin again; trained trials stay in trials/."
    try:
        # A reader (the app, `status`) may hold the file for a moment: wait for it rather than fail.
        return optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": {"timeout": 60}} if "sqlite" in url else None
        )
    except (sqlalchemy.exc.DatabaseError, sqlite3.DatabaseError, RuntimeError) as error:
        raise StorageError("the ledger can't be opened; it may be damaged", path=path, remedy=remedy) from error


def _described(trial: Trial) -> dict[str, Any]:
    return {
        "round": trial.round.value,
        "config": dict(trial.config),
        "origin": trial.origin,
        "seed": trial.seed,
        "steps": trial.steps,
    }


def _told(result: TrialResult) -> dict[str, Any]:
    score, place = result.score, result.checkpoint
    return {
        "outcome": result.outcome.value,
        "cause": result.cause,
        "score": None if score is None else vars(score),
        "validation_loss": result.validation_loss,
        "train_seconds": result.train_seconds,
        "axes": dict(result.axes),
        "checkpoint": place.relative_to(result.trial.folder).as_posix() if place else None,
    }
