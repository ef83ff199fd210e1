"""Runs the trials of one round: keeps every worker busy, judges while others train, tells the ledger.

A trial waits for its score until the baseline of its rung has ended, because the loss part is relative to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bracket.domain import Outcome, Round, Trial, TrialResult
from bracket.errors import StorageError
from bracket.files import FREE_SPACE, NO_SPACE, is_full, write_json
from bracket.judges import Judge
from bracket.report import words
from bracket.runner.devices import Device
from bracket.runner.executor import Executor, Handle, for_device
from bracket.runner.processes.launched import Exit, write_command_sh
from bracket.runner.reading.outcome import failed, hang_limit, main_memory
from bracket.runner.reading.tail import last_lines
from bracket.session.control import stop_asked
from bracket.session.duel.blind import Pairs
from bracket.session.evaluate import LOG_LINES, Ended, ended, is_finished
from bracket.session.job import LOWERED, Context
from bracket.session.running.judging import JudgeQueue, each
from bracket.session.score import combine
from bracket.session.store import Store
from bracket.session.timing import Measure

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
NextTrial = Callable[[], Trial | None]
"""Gives the next trial to start, or None when there is nothing (more) to start now."""
Enough = Callable[[], str]
"""Says why a round needs no more results, or "" while it does."""


class Stopped(Exception):
    """A person asked the session to stop; open trials stay open and continue on resume."""


@dataclass
class Running:
    """A trial that trains now."""

    trial: Trial
    handle: Handle
    device: Device
    started: float


@dataclass
class RoundRunner:
    """Runs one round after the other on the same workers.

    Args:
        slots: a device for each trial that may run at once (on a CPU, the same one several times).
        report: called after everything that changed, for progress.
    """

    context: Context
    store: Store
    executor: Executor
    judge: Judge
    slots: Sequence[Device]
    report: Callable[[], None]
    measures: list[Measure] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    note: str = ""
    """Why the round stands still, if it does."""
    outlook: str = ""
    """What the rest of the search promises, or why it ended early."""
    spared: int = 0
    """Planned trials that a round ended without."""
    _adopted: list[Ended] = field(default_factory=list)

    def run(
        self, round_: Round, next_trial: NextTrial, enough: Enough = lambda: "", pairs: Pairs | None = None
    ) -> list[TrialResult]:
        """Run trials until there are none left; returns the round's results from the ledger.

        Args:
            enough: asked whenever a result was told; once it says why no more is needed, what still trains is stopped
                and told so.
            pairs: keeps those that ended until they can be judged together; by default each is judged by itself.

        Raises:
            Stopped: the session was asked to stop; every process of it has ended then.
        """
        waiting: list[TrialResult] = []
        over = ""
        with JudgeQueue(self.judge, pairs.judge if pairs else each) as queue:
            ready = pairs.add if pairs else _alone
            for found in self._adopted:
                queue.add(*ready(found))
            self._adopted.clear()
            try:
                while True:
                    self.heed_stop()
                    if not queue.blocks and not over:
                        self._start_more(next_trial)
                    for done in self._ended():
                        queue.add(*ready(done))
                    for done in queue.poll(idle=not self.running):
                        self.measures.append(done.measure)
                        waiting.append(done.result)
                    self.note = queue.note
                    if waiting and self._tell(round_, waiting):
                        over = over or enough()
                        if over:
                            self._end_running(over)
                        self.report()
                        continue
                    if not self.running and queue.empty and not waiting:
                        lone = pairs.rest() if pairs else []
                        if not lone:
                            return self.store.results(round_)
                        for group in lone:
                            queue.add(*group)
                    self.report()
                    time.sleep(POLL_SECONDS)
            except BaseException:
                # Whatever ends the round (a stop, an error, Ctrl-C), no trainer may outlive it.
                self._stop_all()
                raise

    def adopt(self, round_: Round) -> list[Trial]:
        """Trials that a kill left open: those that had ended well will be judged, the others are given back."""
        unfinished: list[Trial] = []
        for trial in self.store.open_trials(round_):
            if is_finished(self.context, trial):
                self._adopted.append(ended(self.context, trial, seconds=0.0))
            else:
                unfinished.append(trial)
        return sorted(unfinished, key=lambda t: t.id)

    def _start_more(self, next_trial: NextTrial) -> None:
        for device in self.free_slots([r.device for r in self.running]):
            trial = next_trial()
            if trial is None:
                return
            self._start(trial, device)

    def free_slots(self, busy: Sequence[Device]) -> list[Device]:
        """The slots that are left when each device in `busy` takes one of its own."""
        free = list(self.slots)
        for device in busy:
            free.remove(device)
        return free

    def _start(self, trial: Trial, device: Device) -> None:
        launch = self.context.trainer.launch(self.context.trial_job(trial), [trial])
        write_command_sh(trial.folder / "command.sh", for_device(launch, device))
        _put_aside(launch.log)
        log.info("%s starts: %s, seed %d, %d steps", trial.id, dict(trial.config), trial.seed, trial.steps)
        self.running.append(Running(trial, self.executor.submit(launch, device), device, time.monotonic()))

    def _ended(self) -> list[Ended]:
        found = []
        for item in list(self.running):
            silent = 0.0
            if item.handle.poll() is None:
                silent = item.handle.silent_seconds()
                if silent < hang_limit(item.handle.progress().speed):
                    continue
                item.handle.stop()
                while item.handle.poll() is None:
                    time.sleep(POLL_SECONDS)
            self.running.remove(item)
            seconds = time.monotonic() - item.started
            done = ended(self.context, item.trial, seconds=seconds, silent=silent)
            cause = f" ({done.result.cause})" if done.result.cause else ""
            log.info("%s ended: %s%s", item.trial.id, done.result.outcome, cause)
            _heed_full_disk(done.result)
            memory = done.result.outcome is Outcome.OUT_OF_MEMORY and not main_memory(done.result.cause)
            if memory and self._lower(item.trial):
                self._start(item.trial, item.device)
            else:
                found.append(done)
        return found

    def _lower(self, trial: Trial) -> bool:
        """Take a trial that ran out of GPU memory to the next lower memory profile; False when there is none.

        What ran out of main memory would only get worse: lower profiles keep parts of the model there.
        """
        lower = self.context.preset.lower_profile(self.context.trial_profile(trial))
        if lower is None:
            return False
        log.info("%s is tried again with the %d GB profile", trial.id, lower.gb)
        write_json(trial.folder / LOWERED, {"gb": lower.gb})
        return True

    def _tell(self, round_: Round, waiting: list[TrialResult]) -> bool:
        """Score and tell what can be scored; whether anything was told. What waits for a baseline stays."""
        known, begun = [*self.store.results(round_), *waiting], self.store.open_trials(round_)
        left: list[TrialResult] = []
        for result in waiting:
            rung = result.trial.rung
            reference = next((r for r in known if r.trial.rung == rung and r.trial.origin == "baseline"), None)
            if reference is None and any(t.rung == rung and t.origin == "baseline" for t in begun):
                left.append(result)
                continue
            usable = reference.validation_loss if reference and reference.outcome is Outcome.OK else None
            score = None
            if result.outcome is Outcome.OK:
                weights = self.context.score_settings(result.trial.steps)
                full = self.context.settings.score.sample_weight
                score = combine(weights, result.judgements, result.validation_loss, usable, full)
            self.store.finish(replace(result, score=score))
            log.info("%s scored: %s", result.trial.id, words.score(score.total) if score else result.outcome)
        told = len(left) < len(waiting)
        waiting[:] = left
        return told

    def _end_running(self, reason: str) -> None:
        stopped = list(self.running)
        self._stop_all()
        for item in stopped:
            log.info("%s is stopped: %s", item.trial.id, reason)
            self.store.finish(TrialResult(item.trial, Outcome.STOPPED, reason))

    def heed_stop(self) -> None:
        """Raises Stopped when the session was asked to stop."""
        if stop_asked(self.context.folder):
            raise Stopped

    def _stop_all(self) -> None:
        for item in self.running:
            item.handle.stop()
        while any(item.handle.poll() is None for item in self.running):
            time.sleep(POLL_SECONDS)
        self.running.clear()


def _alone(done: Ended) -> list[Ended]:
    return [done]


def _heed_full_disk(result: TrialResult) -> None:
    """Raises StorageError for a trial that a full disk ended: that says nothing of its settings, and the next trials
    would fare no better. It stays open and is tried again on resume."""
    if result.outcome is Outcome.OK:
        return
    if is_full(result.trial.folder) or NO_SPACE in result.cause:
        message = f"{result.trial.id} ended because the disk is full: {result.cause.partition(chr(10))[0]}"
        raise StorageError(message, path=result.trial.folder, remedy=FREE_SPACE)


def why(log: Path, exit: Exit, lacks: str = "did nothing") -> str:
    """Why a program that draws or prepares failed, on one line; `lacks` is what an exit code of 0 did not keep true."""
    return failed(exit.code, exit.signal, last_lines(log, LOG_LINES), lacks)


def _put_aside(log: Path) -> None:
    """Keep what an earlier start of the trial logged under a number: it must not be read as this one's."""
    if log.exists():
        taken = sum(1 for _ in log.parent.glob(f"{log.stem}.*{log.suffix}"))
        log.replace(log.with_name(f"{log.stem}.{taken + 1}{log.suffix}"))
