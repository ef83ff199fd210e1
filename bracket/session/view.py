"""A session as anybody may read it while it runs: the app, `status`, tests. Reading never changes a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from bracket.domain import Config, Outcome, Round, Sample, Score, Trace, Trial, TrialResult
from bracket.errors import StorageError
from bracket.reading import read_bytes
from bracket.report.words import config_label
from bracket.runner.processes.launched import read_exit
from bracket.runner.reading.events import Curve, merge
from bracket.runner.reading.tail import last_lines
from bracket.runner.reading.traces import TraceReader, open_trace, read_trace
from bracket.search.space import varying
from bracket.session.asked.settings import FILE as SETTINGS_FILE
from bracket.session.asked.settings import load as load_settings
from bracket.session.asked.settings import session_folders
from bracket.session.control import Progress, Start, read_progress, running_process, stop_asked, unheard_start
from bracket.session.store import FILE as LEDGER_FILE
from bracket.session.store import SOON, Store
from bracket.trainers import Trainer, make_trainer
from bracket.trainers.base import drawn_in

TRAIN_TAG, VALIDATION_TAG = "loss/train", "loss/validation"
VERDICT_FILE = "verdict.txt"
PROCESS_LOG = "process.log"
"""What a session started by the app prints: its end, or why it never began."""

State = Literal["idle", "running", "stopping", "stopped", "done", "failed"]


@dataclass(frozen=True)
class TrialView:
    """One trial as it stands. `state` is waiting, starting, training, what the runner says it does between (loading the
    model, caching latents, sampling, validating), judging, failed until it is said how, or the outcome's name."""

    id: str
    round: Round
    origin: str
    config: Config
    label: str
    seed: int
    steps: int
    state: str
    step: int = 0
    outcome: Outcome | None = None
    cause: str = ""
    notes: tuple[str, ...] = ()
    score: Score | None = None
    validation_loss: float | None = None
    axes: Mapping[str, float] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    folder: Path = Path()
    rung: int = 0
    checkpoint: Path | None = None
    """What it left to draw with: a file, or a folder of one."""


@dataclass(frozen=True)
class SessionView:
    """A session's state, progress and trials. `eta` in seconds from now; None while nothing was measured."""

    name: str
    folder: Path
    state: State
    phase: str
    """starting, checks, prepare, search, finals, confirmation, report or done."""
    done: int
    planned: int
    eta: float | None
    message: str
    """What it does now, or why it failed and what to do."""
    trials: tuple[TrialView, ...]
    verdict: str = ""
    """The verdict's sentence (Markdown), once there is one."""
    report: Path | None = None
    """report/report.html, once it was written."""
    trouble: str = ""
    """Why its ledger can't be read now, which may end without a file being changed."""


@dataclass(frozen=True)
class SessionLine:
    """A session in a list: its name, folder, state, and when it was last touched (unix time)."""

    name: str
    folder: Path
    state: State
    modified: float


def read(folder: Path) -> SessionView:
    """The session as it stands. Cheap enough for a poll: the ledger is read again only when it changed.

    What is damaged or locked is left out and named in the message.

    Raises:
        SettingsError: the settings are damaged, and with them what its trials' folders mean.
    """
    start, progress = unheard_start(folder), read_progress(folder)
    state = _state(folder, progress, start)
    report = folder / "report" / "report.html"
    ledger = _ledger(folder)
    message = _message(folder, state, progress, start)
    if ledger.trouble:
        said = f"{ledger.trouble[:1].upper()}{ledger.trouble[1:]}"
        message = f"{message.rstrip('.')}. {said}" if message else said
    return SessionView(
        name=folder.name,
        folder=folder,
        state=state,
        phase=_phase(state, progress, start),
        done=progress.done if progress else 0,
        planned=progress.planned if progress else 0,
        eta=_left(state, progress, start),
        message=message,
        trials=_trials(folder, ledger, state, progress.doing if progress else {}),
        verdict=_verdict(folder),
        report=report if report.exists() else None,
        trouble=ledger.trouble,
    )


def sessions(runs: Path) -> list[SessionLine]:
    """Every session under `runs`, newest first."""
    found = []
    for folder in session_folders(runs):
        start, said = unheard_start(folder), looked_at(folder / "state.json")
        if (seen := said or looked_at(folder / SETTINGS_FILE)) is None:  # it was taken away while one looked
            continue
        progress = _said(folder, said) if said else None
        found.append(SessionLine(folder.name, folder, _state(folder, progress, start), seen[0] / 1e9))
    return sorted(found, key=lambda line: -line.modified)


def looked_at(path: Path) -> tuple[int, int] | None:
    """When a file was written and how large it is; None where it is not."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1024)
def _said(folder: Path, _stamp: tuple[int, int]) -> Progress | None:
    return read_progress(folder)


def drawn(folder: Path, out: str) -> list[Sample]:
    """The session's pictures in `out` (before, confirm/winner, confirm/baseline) so far."""
    return drawn_in(_trainer(folder), folder / out)


def _trainer(folder: Path) -> Trainer:
    settings = folder / SETTINGS_FILE
    return _trainer_of(folder, settings.stat().st_mtime_ns if settings.exists() else 0)


@lru_cache(maxsize=16)
def _trainer_of(folder: Path, _stamp: int) -> Trainer:
    return make_trainer(load_settings(folder, to_read=True).load_preset().trainer)


def loss_points(folder: Path, cursor: int = 0, tag: str = TRAIN_TAG) -> tuple[int, list[int], list[float]]:
    """A trial's points after the first `cursor`: (next cursor, steps, values). A resumed run's later value wins."""
    steps, values = _curve(folder, tag)
    return len(steps), [int(s) for s in steps[cursor:]], [float(v) for v in values[cursor:]]


def validation_points(folder: Path, cursor: int = 0) -> tuple[int, list[int], list[float]]:
    """Like `loss_points`, of the validation loss."""
    return loss_points(folder, cursor, VALIDATION_TAG)


_curves: dict[Path, tuple[Trace, TraceReader, dict[str, Curve]]] = {}
"""Readers of trials that were looked at, so that a poll costs only what is new."""
_MOST = 8
"""Ledgers that are remembered."""
_AGAIN = 5.0
"""Seconds until a ledger that could not be read is tried again."""


@dataclass
class _Ledger:
    """A session's ledger as it was last read. `views`: of its ended trials, of which nothing changes any more."""

    store: Store | None = None
    stamp: tuple[int, int, int] = (0, 0, 0)
    """The file: which one, how large, and when it was written."""
    trouble: str = ""
    """Why it couldn't be read the last time; `again`: when to try anew (monotonic time)."""
    again: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    told: list[TrialResult | Trial] = field(default_factory=list)
    names: frozenset[str] = frozenset()
    """Knobs that are not the same in all configs."""
    trainer: Trainer | None = None
    views: dict[str, TrialView] = field(default_factory=dict)

    def forget(self, stamp: tuple[int, int, int]) -> None:
        """Begin with another file."""
        self.store, self.stamp, self.trouble, self.told, self.names = None, stamp, "", [], frozenset()
        self.views.clear()


_ledgers: dict[Path, _Ledger] = {}
_lock = threading.Lock()


def _curve(folder: Path, tag: str) -> Curve:
    with _lock:
        try:
            trace = read_trace(folder)
        except StorageError:  # said where the trial is run
            trace = Trace(folder / "tfevents")
        if folder not in _curves or _curves[folder][0] != trace:  # it is named when the trial is launched
            _curves[folder] = (trace, open_trace(trace), {})
        _, reader, curves = _curves[folder]
        for name, new in reader.read_new().items():
            curves[name] = merge(curves[name], new) if name in curves else new
        return curves.get(tag, (np.empty(0, np.int64), np.empty(0, np.float64)))


def _step(folder: Path) -> int:
    """The last step of a trial that its trainer wrote down; 0 before the first."""
    steps, _ = _curve(folder, TRAIN_TAG)
    return int(steps[-1]) if len(steps) else 0


def _state(folder: Path, progress: Progress | None, start: Start | None) -> State:
    """Running only if its process lives; what a dead process last said of itself, unless it said it was running."""
    ends: dict[str, State] = {"done": "done", "failed": "failed", "stopped": "stopped"}
    running = running_process(folder)
    if running is not None:
        if progress and progress.state in ends and progress.by == running:
            return ends[progress.state]  # it has said its last word and is only leaving
        return "stopping" if stop_asked(folder) else "running"
    if start is not None:
        return "running" if start.alive else "failed"
    if progress is None:
        return "failed" if last_lines(folder / PROCESS_LOG, 1).strip() else "idle"
    return ends.get(progress.state, "stopped")


def _phase(state: State, progress: Progress | None, start: Start | None) -> str:
    starting = state == "running" and not _heard(progress, start)
    return "starting" if starting else progress.phase if progress else ""


def _heard(progress: Progress | None, start: Start | None) -> bool:
    """Whether what a session last said was said by the process that runs it now."""
    return start is None and progress is not None and progress.state == "running"


def _left(state: State, progress: Progress | None, start: Start | None) -> float | None:
    """What was left when it was said, less the time since."""
    if state != "running" or progress is None or progress.eta is None or not _heard(progress, start):
        return None
    return max(0.0, progress.eta - max(0.0, time.time() - progress.updated))


def _message(folder: Path, state: State, progress: Progress | None, start: Start | None) -> str:
    if state == "failed" and (progress is None or start is not None):
        words = last_lines(folder / PROCESS_LOG, 3, since=start.log if start else 0).strip()
        return f"It ended before it began: {words or 'it said nothing in process.log'}"
    if state == "running" and not _heard(progress, start):
        return "Starting."
    if progress is None:
        return "Not started yet."
    if state == "stopped" and progress.state == "running":
        return "Its process ended without a word (killed, or the machine went down). Resume to go on where it was."
    if state == "stopping":
        return "Stopping: waiting for the trainers to save and end."
    return progress.message


def _trials(folder: Path, ledger: _Ledger, state: State, doing: Mapping[str, str]) -> tuple[TrialView, ...]:
    if not ledger.told:
        return ()
    ledger.trainer = ledger.trainer or _trainer(folder)
    return tuple(_seen(t, ledger, ledger.trainer, state, doing) for t in ledger.told)


def _seen(
    told: TrialResult | Trial, ledger: _Ledger, trainer: Trainer, state: State, doing: Mapping[str, str]
) -> TrialView:
    """A trial's view, made once when it has ended."""
    if not isinstance(told, TrialResult):
        return _view(told, ledger.names, state, trainer, doing)
    id_ = told.trial.id
    if id_ not in ledger.views:
        ledger.views[id_] = _view(told, ledger.names, state, trainer, doing)
    return ledger.views[id_]


def _ledger(folder: Path) -> _Ledger:
    """The session's ledger, of which what is new was read if the file changed. What can't be read leaves what was read
    before, and says why; that is tried again after a while, so that no page waits for it every time."""
    with _lock:
        ledger = _ledgers.pop(folder, None) or _Ledger()
        _ledgers[folder] = ledger
        for oldest in list(_ledgers)[:-_MOST]:
            del _ledgers[oldest]
    with ledger.lock:
        try:
            found = (folder / LEDGER_FILE).stat()
        except OSError:
            ledger.forget((0, 0, 0))
            return ledger
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if ledger.stamp == stamp and (not ledger.trouble or time.monotonic() < ledger.again):
            return ledger
        if ledger.stamp[0] != stamp[0] or ledger.stamp[1] > stamp[1]:  # another file: it only grows
            ledger.forget(stamp)
        ledger.trouble, ledger.stamp = "", stamp
        try:
            ledger.store = ledger.store or Store(folder, patience=SOON)
            try:
                _read_on(ledger, ledger.store)
            finally:
                ledger.store.close()
        except StorageError as error:
            ledger.trouble, ledger.again = str(error), time.monotonic() + _AGAIN
        return ledger


def _read_on(ledger: _Ledger, store: Store) -> None:
    """Results of ended trials and open trials, in the order of the rounds."""
    found: list[TrialResult | Trial] = []
    for round_ in Round:
        results = {r.trial.id: r for r in store.results(round_)}
        found += [results.get(t.id, t) for t in store.begun(round_)]
    names = frozenset(varying([_trial_of(t).config for t in found]))
    if names != ledger.names:
        ledger.views = {i: replace(v, label=config_label(v.config, names)) for i, v in ledger.views.items()}
    ledger.told, ledger.names = found, names


def _trial_of(told: TrialResult | Trial) -> Trial:
    return told.trial if isinstance(told, TrialResult) else told


def _view(
    told: TrialResult | Trial, names: Collection[str], state: State, trainer: Trainer, doing: Mapping[str, str]
) -> TrialView:
    trial = _trial_of(told)
    result = told if isinstance(told, TrialResult) else None
    whole = result is not None and result.outcome is Outcome.OK
    step = trial.steps if whole else _step(trial.folder)
    samples = trainer.find_samples(trial)
    return TrialView(
        id=trial.id,
        round=trial.round,
        origin=trial.origin,
        config=trial.config,
        label=config_label(trial.config, names),
        seed=trial.seed,
        steps=trial.steps,
        state=result.outcome.value if result else _doing(trial, step > 0, state, doing.get(trial.id, "")),
        step=step,
        outcome=result.outcome if result else None,
        cause=result.cause if result else "",
        notes=result.notes if result else (),
        score=result.score if result else None,
        validation_loss=result.validation_loss if result else None,
        axes=result.axes if result else {},
        samples=tuple(samples),
        folder=trial.folder,
        rung=trial.rung,
        checkpoint=result.checkpoint if result else None,
    )


def _doing(trial: Trial, steps: bool, state: State, said: str) -> str:
    """What a trial without a result is at; `said` is the runner's word, "" where it has none."""
    if state not in ("running", "stopping"):
        return "waiting"
    exit = read_exit(trial.folder / "exit.json")
    if exit is not None:
        return "judging" if exit.code == 0 else "failed"
    return said or ("training" if steps else "starting")


def _verdict(folder: Path) -> str:
    """The sentence at the head of the report, kept beside it."""
    path = folder / "report" / VERDICT_FILE
    try:
        return read_bytes(path).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""
