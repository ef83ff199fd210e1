"""The ledger: an Optuna study per round and rung in the session's `study.db`. What is not in it did not happen.

A trial is begun in one transaction, with all that it is to be. One that was begun and not told is open, and is finished
on resume. Results don't change once they are told, so each is read from the database once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bracket.domain import Knob, Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.errors import StorageError
from bracket.search.space import active, distributions

if TYPE_CHECKING:
    import optuna
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
        self._studies: dict[str, optuna.Study] = {}
        self._results: dict[str, dict[int, TrialResult]] = {}
        """Told results by study and number."""
        self._all: set[str] | None = None
        """Names of the studies there are; another process makes none while this one has the session."""

    def begin(self, wanted: Wanted, knobs: Sequence[Knob]) -> Trial:
        """Begin a trial."""
        from optuna.trial import TrialState, create_trial

        study = self._study(name_of(wanted.round, wanted.rung))
        number = len(study.get_trials(deepcopy=False))
        trial = self._trial(wanted, number)
        counting = active(knobs, wanted.config)
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params={k.name: wanted.config[k.name] for k in counting},
                distributions=distributions(counting),
                user_attrs={_TRIAL: _described(wanted)},
            )
        )
        return trial

    def skip_to(self, trial: Trial) -> None:
        """Fill the round's numbers up to that of a trial of another ledger, so that it gets the same one here."""
        from optuna.trial import TrialState, create_trial

        study = self._study(name_of(trial.round, trial.rung))
        for _ in range(len(study.get_trials(deepcopy=False)), _number_of(trial)):
            study.add_trial(create_trial(state=TrialState.FAIL))

    def finish(self, result: TrialResult) -> None:
        """Tell how a trial ended. Telling the same trial twice changes nothing."""
        from optuna.trial import TrialState

        study = self._study(name_of(result.trial.round, result.trial.rung))
        number = _number_of(result.trial)
        frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            return
        self._storage.set_trial_user_attr(frozen._trial_id, _RESULT, _told(result))
        if result.score is not None:
            study.tell(number, result.score.total)
        elif result.outcome is Outcome.DIVERGED:
            # PRUNED, not FAIL, for whoever reads the study with Optuna's own tools: that these settings melt is known.
            study.tell(number, state=TrialState.PRUNED)
        else:
            study.tell(number, state=TrialState.FAIL)

    def results(self, round_: Round) -> list[TrialResult]:
        """Every ended trial of a round, rung after rung, in the order they began. Samples and judgements are left on
        disk."""
        return [result for name in self._names(round_) for result in self._told_of(name)]

    def open_trials(self, round_: Round) -> list[Trial]:
        """Trials that began and have no result, in the order they began: they run, or the process was killed."""
        found = []
        for name in self._names(round_):
            for frozen in self._study(name).get_trials(deepcopy=False):
                if frozen.state.is_finished() or _TRIAL not in frozen.user_attrs:
                    continue
                if _RESULT in frozen.user_attrs:  # killed between the two words that tell it
                    self.finish(self._result(frozen))
                else:
                    found.append(self._trial_of(frozen))
        return found

    def begun(self, round_: Round) -> list[Trial]:
        """Every trial of a round, ended or not, rung after rung, in the order they began."""
        found = []
        for name in self._names(round_):
            told = {_number_of(r.trial): r.trial for r in self._told_of(name)}
            for frozen in self._study(name).get_trials(deepcopy=False):
                if _TRIAL in frozen.user_attrs:
                    found.append(told.get(frozen.number) or self._trial_of(frozen))
        return found

    def _told_of(self, name: str) -> list[TrialResult]:
        known = self._results.setdefault(name, {})
        for frozen in self._study(name).get_trials(deepcopy=False):
            if frozen.number not in known and frozen.state.is_finished() and _RESULT in frozen.user_attrs:
                known[frozen.number] = self._result(frozen)
        return [known[number] for number in sorted(known)]

    def _names(self, round_: Round) -> list[str]:
        """The studies of a round that there are, rung after rung."""
        found: list[str] = []
        while (name := name_of(round_, len(found))) in self._known():
            found.append(name)
        return found

    def _known(self) -> set[str]:
        import optuna

        if self._all is None:
            self._all = set(optuna.get_all_study_names(self._storage))
        return self._all

    def close(self) -> None:
        """Let go of the database file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _study(self, name: str) -> optuna.Study:
        import optuna

        if name not in self._studies:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self._studies[name] = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
            )
            self._known().add(name)
        return self._studies[name]

    def _trial(self, wanted: Wanted, number: int) -> Trial:
        w = wanted
        name = f"{name_of(w.round, w.rung)}-{number:03d}"
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
            rung=w.rung,
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


def name_of(round_: Round, rung: int = 0) -> str:
    """The name of a round's study, which its trials' ids begin with: "search", "search-2", "search-3", "finals"…"""
    return f"{round_.value}-{rung + 1}" if rung else round_.value


def _described(wanted: Wanted) -> dict[str, Any]:
    """A wanted trial as plain data; what was not asked for is left out."""
    data = {**vars(wanted), "round": wanted.round.value, "config": dict(wanted.config)}
    return {k: v for k, v in data.items() if v or k not in ("schedule", "continues", "rung")}


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
