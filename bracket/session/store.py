"""The ledger: an Optuna study per round in the session's `study.db`. What is not in it did not happen.

A trial is begun in one transaction where its config is known beforehand. A trial that was proposed but never described
(a kill in between) is told as failed; one that was described and not told is open and is finished on resume.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bracket.domain import Config, Knob, Outcome, Round, Score, Trial, TrialResult, Value
from bracket.errors import StorageError
from bracket.search.space import active, distributions, effective, is_active

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

FILE = "study.db"
_TRIAL, _RESULT = "trial", "result"


@dataclass(frozen=True)
class Wanted:
    """What a trial is to be, before it has a number. `continues` is the id of the trial whose state it goes on from."""

    round: Round
    origin: str
    config: Config
    seed: int
    steps: int
    schedule: int = 0
    continues: str = ""

    def described(self) -> dict[str, Any]:
        """As plain data; what was not asked for is left out."""
        data = {**vars(self), "round": self.round.value, "config": dict(self.config)}
        return {k: v for k, v in data.items() if v or k not in ("schedule", "continues")}


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

    def begin(self, wanted: Wanted, knobs: Sequence[Knob]) -> Trial:
        """Begin a trial whose config is known."""
        from optuna.trial import TrialState, create_trial

        study = self._study(wanted.round)
        number = len(study.get_trials(deepcopy=False))
        trial = self._trial(wanted, number)
        counting = active(knobs, wanted.config)
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params={k.name: wanted.config[k.name] for k in counting},
                distributions=distributions(counting),
                user_attrs={_TRIAL: wanted.described()},
            )
        )
        return trial

    def propose(
        self, sampler: BaseSampler, knobs: Sequence[Knob], *, origin: str, seed: int, steps: int, schedule: int = 0
    ) -> Trial:
        """Begin a trial of the search round whose config the sampler chooses, one knob after the other: a knob whose
        conditions fail is not asked for."""
        study = self._study(Round.SEARCH)
        study.sampler = sampler
        asked = study.ask()
        proposed: dict[str, Value] = {}
        for knob in knobs:
            if is_active(knob, proposed):
                proposed[knob.name] = _suggest(asked, knob)
        wanted = Wanted(Round.SEARCH, origin, effective(proposed, knobs), seed, steps, schedule)
        asked.set_user_attr(_TRIAL, wanted.described())
        return self._trial(wanted, asked.number)

    def skip_to(self, trial: Trial) -> None:
        """Fill the round's numbers up to that of a trial of another ledger, so that it gets the same one here."""
        from optuna.trial import TrialState, create_trial

        study = self._study(trial.round)
        for _ in range(len(study.get_trials(deepcopy=False)), _number_of(trial)):
            study.add_trial(create_trial(state=TrialState.FAIL))

    def finish(self, result: TrialResult) -> None:
        """Tell how a trial ended. Telling the same trial twice changes nothing."""
        from optuna.trial import TrialState

        study = self._study(result.trial.round)
        number = _number_of(result.trial)
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

    def _trial(self, wanted: Wanted, number: int) -> Trial:
        w = wanted
        name = f"{w.round.value}-{number:03d}"
        return Trial(
            id=name,
            round=w.round,
            origin=w.origin,
            config=dict(w.config),
            seed=w.seed,
            steps=w.steps,
            folder=self._folder / "trials" / name,
            schedule=w.schedule,
            continues=self._folder / "trials" / w.continues if w.continues else None,
        )

    def _trial_of(self, frozen: FrozenTrial) -> Trial:
        d = frozen.user_attrs[_TRIAL]
        return self._trial(Wanted(**{**d, "round": Round(d["round"])}), frozen.number)

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
            notes=tuple(d.get("notes", ())),
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


def _number_of(trial: Trial) -> int:
    return int(trial.id.rsplit("-", 1)[1])


def _suggest(asked: optuna.Trial, knob: Knob) -> Value:
    if knob.kind == "choice":
        return cast(Value, asked.suggest_categorical(knob.name, knob.choices))
    assert knob.low is not None and knob.high is not None  # held by the preset's own check
    if knob.kind == "int":
        return asked.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.log)
    return asked.suggest_float(knob.name, float(knob.low), float(knob.high), log=knob.log)


def _told(result: TrialResult) -> dict[str, Any]:
    score, place = result.score, result.checkpoint
    return {
        "outcome": result.outcome.value,
        "cause": result.cause,
        "score": None if score is None else vars(score),
        "validation_loss": result.validation_loss,
        "train_seconds": result.train_seconds,
        "axes": dict(result.axes),
        "notes": list(result.notes),
        "checkpoint": place.relative_to(result.trial.folder).as_posix() if place else None,
    }
