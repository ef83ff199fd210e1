"""The ledger: an Optuna study per round and rung in the session's `study.db`. What is not in it did not happen.

A trial is begun in one transaction, with all that it is to be. One that was begun and not told is open, and is finished
on resume. Results don't change once they are told, so each is read from the database once: asking again costs what is
new and what is open. Only scores follow from all trials of their round (`bracket.session.score`); the value that Optuna
has of a trial is the one it had when it was told.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from bracket.domain import SCALES, Knob, Outcome, Round, Score, Trial, TrialResult, Wanted
from bracket.errors import StorageBusy, StorageError
from bracket.files import database_trouble
from bracket.search.space import active, distributions
from bracket.session.score import on_one_scale

if TYPE_CHECKING:
    import optuna

FILE = "study.db"
_TRIAL, _RESULT = "trial", "result"
_ENDED = ("COMPLETE", "PRUNED", "FAIL")
_NEW = """
    SELECT trials.trial_id, trials.number, trials.state, notes.key, notes.value_json
    FROM trials JOIN studies ON studies.study_id = trials.study_id
    LEFT JOIN trial_user_attributes AS notes ON notes.trial_id = trials.trial_id
    WHERE studies.study_name = :study AND (trials.trial_id > :last OR trials.trial_id IN :open)
    ORDER BY trials.number
"""
"""Optuna's own reading builds every trial with its parameters and distributions, ten times the work; what bracket wrote
is in the notes."""
_OPENINGS, _MAKING_SECONDS = 5, 0.2
"""How often to try to open a ledger that another process is just making, and how long to wait for that."""
PATIENT, SOON = 60.0, 0.5
"""Seconds to wait for a ledger that another program has locked: who runs the session, and who looks at it."""
_P = ParamSpec("_P")
_R = TypeVar("_R")
log = logging.getLogger(__name__)


def _guarded(method: Callable[Concatenate[Store, _P], _R]) -> Callable[Concatenate[Store, _P], _R]:
    """A method of `Store` whose database errors are StorageErrors."""

    @functools.wraps(method)
    def guarded(store: Store, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _told_plainly(store.path):
            return method(store, *args, **kwargs)

    return guarded


@contextlib.contextmanager
def _known_version(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # Optuna's word for tables of another version
        remedy = "Use the bracket that wrote it, or move study.db aside to begin again."
        raise StorageError(f"the ledger can't be read: {error}", path=path, remedy=remedy) from error


@contextlib.contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    """Turns an error of SQLAlchemy's or Optuna's into a StorageError that says what is behind it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error) as error:
        below: BaseException | None = error
        while below is not None and not isinstance(below, sqlite3.Error):
            below = below.__cause__ or below.__context__
        remedy = "Move study.db aside to begin again; trained trials stay in trials/."
        raise database_trouble(below, path, "ledger", remedy) from error


@dataclass
class _Read:
    """What was read of a study so far.

    Attributes:
        trials: the begun ones by number. results: those told. half: told, but killed before the state said so.
        open: numbers of those to look at again, by Optuna's id. last: the newest such id. count: trials there are.
    """

    trials: dict[int, Trial] = field(default_factory=dict)
    results: dict[int, TrialResult] = field(default_factory=dict)
    half: dict[int, TrialResult] = field(default_factory=dict)
    open: dict[int, int] = field(default_factory=dict)
    last: int = 0
    count: int = 0


class Store:
    """One session's ledger.

    Args:
        folder: the session's folder.
        url: another Optuna storage URL, for sessions that share a database server.
        patience: seconds to wait for another program that has it locked.

    Raises (each of its methods, too):
        StorageError: the database is damaged, locked, can't be opened, or the disk is full.
    """

    def __init__(self, folder: Path, url: str = "", *, patience: float = PATIENT) -> None:
        self._folder = folder
        self.path = folder if url else folder / FILE
        self._storage = _open(url, self.path, patience)
        self._studies: dict[str, optuna.Study] = {}
        self._read: dict[str, _Read] = {}
        self._scaled: dict[Round, tuple[list[int], list[TrialResult]]] = {}
        """A round's results with the scores that follow from all of them, by how many there are of each rung."""
        self._all: set[str] | None = None
        """Names of the studies there are; another process makes none while this one has the session."""

    @_guarded
    def begin(self, wanted: Wanted, knobs: Sequence[Knob]) -> Trial:
        """Begin a trial."""
        from optuna.trial import TrialState, create_trial

        study = self._study(name_of(wanted.round, wanted.rung))
        trial = self._trial(wanted, self._look(study.study_name).count)
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

    @_guarded
    def skip_to(self, trial: Trial) -> None:
        """Fill the round's numbers up to that of a trial of another ledger, so that it gets the same one here."""
        from optuna.trial import TrialState, create_trial

        study = self._study(name_of(trial.round, trial.rung))
        for _ in range(self._look(study.study_name).count, _number_of(trial)):
            study.add_trial(create_trial(state=TrialState.FAIL))

    @_guarded
    def finish(self, result: TrialResult) -> None:
        """Tell how a trial ended. Telling the same trial twice changes nothing."""
        from optuna.trial import TrialState

        study = self._study(name_of(result.trial.round, result.trial.rung))
        number = _number_of(result.trial)
        id_ = self._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
        if self._storage.get_trial(id_).state.is_finished():
            return
        self._storage.set_trial_user_attr(id_, _RESULT, _told(result))
        if result.score is not None:
            study.tell(number, result.score.total)
        elif result.outcome is Outcome.DIVERGED:
            # PRUNED, not FAIL, for whoever reads the study with Optuna's own tools: that these settings melt is known.
            study.tell(number, state=TrialState.PRUNED)
        else:
            study.tell(number, state=TrialState.FAIL)

    @_guarded
    def results(self, round_: Round) -> list[TrialResult]:
        """Every ended trial of a round, rung after rung, in the order they began. Samples and judgements are left on
        disk."""
        looked = [self._look(name) for name in self._names(round_)]
        counts = [len(read.results) for read in looked]
        if round_ not in self._scaled or self._scaled[round_][0] != counts:
            found = on_one_scale([read.results[number] for read in looked for number in sorted(read.results)])
            self._scaled[round_] = counts, found
        return list(self._scaled[round_][1])

    @_guarded
    def open_trials(self, round_: Round) -> list[Trial]:
        """Trials that began and have no result, in the order they began: they run, or the process was killed."""
        found = []
        for name in self._names(round_):
            read = self._look(name)
            for number in sorted(read.open.values()):
                if number in read.half:
                    self.finish(read.half[number])
                else:
                    found.append(read.trials[number])
        return found

    @_guarded
    def begun(self, round_: Round) -> list[Trial]:
        """Every trial of a round, ended or not, rung after rung, in the order they began."""
        return [trial for name in self._names(round_) for trial in self._look(name).trials.values()]

    def _look(self, name: str) -> _Read:
        """What there is of a study, after a look at what is new."""
        import sqlalchemy

        read = self._read.setdefault(name, _Read())
        query = sqlalchemy.text(_NEW).bindparams(sqlalchemy.bindparam("open", expanding=True))
        found: dict[tuple[int, int, str], dict[str, Any]] = {}
        with self._storage.engine.connect() as connection:
            asked = {"study": name, "last": read.last, "open": list(read.open)}
            for id_, number, state, note, value in connection.execute(query, asked):
                found.setdefault((id_, number, state), {})[note] = value
        for (id_, number, state), notes in found.items():
            read.last, read.count = max(read.last, id_), max(read.count, number + 1)
            if _TRIAL in notes:
                self._keep(read, id_, number, state in _ENDED, notes)
        return read

    def _keep(self, read: _Read, id_: int, number: int, ended: bool, notes: dict[str, str]) -> None:
        try:
            if number not in read.trials:
                read.trials[number] = self._trial_of(json.loads(notes[_TRIAL]), number)
            told = _result(read.trials[number], json.loads(notes[_RESULT])) if _RESULT in notes else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("What %s says of a trial can't be understood (%r); it is left out", self.path, error)
            read.trials.pop(number, None)
            return
        if ended:
            read.open.pop(id_, None)
            read.half.pop(number, None)
        else:
            read.open[id_] = number
        if told:
            (read.results if ended else read.half)[number] = told

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
        """Let go of the database file. Asked again, it is opened again, and what was read is remembered."""
        self._storage.remove_session()
        self._storage.engine.dispose()
        self._all = None

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

    def _trial_of(self, told: dict[str, Any], number: int) -> Trial:
        return self._trial(Wanted(**{**told, "round": Round(told["round"])}), number)


def _result(trial: Trial, told: dict[str, Any]) -> TrialResult:
    return TrialResult(
        trial=trial,
        outcome=Outcome(told["outcome"]),
        cause=told["cause"],
        score=Score(**told["score"]) if told["score"] else None,
        validation_loss=told["validation_loss"],
        train_seconds=told["train_seconds"],
        axes=told["axes"],
        notes=tuple(told.get("notes", ())),
        checkpoint=trial.folder / told["checkpoint"] if told["checkpoint"] else None,
    )


def _open(url: str, path: Path, patience: float) -> Any:
    import optuna
    from sqlalchemy import exc, pool

    def connected() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=patience, check_same_thread=False)

    # By its path and not by a URL: every character of a path is one, and Optuna would fill in what is in braces.
    ours: dict[str, Any] = {} if url else {"creator": connected, "poolclass": pool.QueuePool}
    for again in reversed(range(_OPENINGS)):
        try:
            with _told_plainly(path), _known_version(path):
                return optuna.storages.RDBStorage(url or "sqlite://", engine_kwargs=ours)
        except StorageError as error:
            # Two that open a new file at once both make its tables; the second finds them there and can't go on.
            making = isinstance(error.__cause__, exc.OperationalError | exc.IntegrityError)
            if not again or not making or isinstance(error, StorageBusy):
                raise
            time.sleep(_MAKING_SECONDS)
    raise AssertionError("the last try returns or raises")


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
        "scales": SCALES,
        "validation_loss": result.validation_loss,
        "train_seconds": result.train_seconds,
        "axes": dict(result.axes),
        "notes": list(result.notes),
        "checkpoint": place.relative_to(result.trial.folder).as_posix() if place else None,
    }
