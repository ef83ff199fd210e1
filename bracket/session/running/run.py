"""Runs a session from wherever it stands to its report: the process behind `python -m bracket run`."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bracket.domain import Problem, Round, Sample, Trial, mean
from bracket.errors import BracketError, SettingsError, TrainerError
from bracket.files import read_mapping, sweep_parts, write_json, write_text
from bracket.judges import Judge
from bracket.report import write_report
from bracket.report.material.searched import held
from bracket.report.sections.undecided import nothing_judged, why_undecided
from bracket.report.summary import Summary
from bracket.runner.claims import claimed
from bracket.runner.executor import LocalExecutor, for_device
from bracket.runner.processes.launched import sweep_orphans, write_command_sh
from bracket.runner.reading.watch import Progress as Watched
from bracket.session.asked.judges import session_judge
from bracket.session.asked.settings import load
from bracket.session.control import Lock, Progress, clear_stop, read_progress, stop_asked, write_progress
from bracket.session.duel import stamp
from bracket.session.duel.more import read_plans
from bracket.session.job import BEFORE, Context, make_context, resolve  #
from bracket.session.planning import plan, spread
from bracket.session.planning.outlook import ended_early
from bracket.session.running import confirm, drawing, pairwise, stages
from bracket.session.running.judging import judge_base
from bracket.session.running.rounds import POLL_SECONDS, RoundRunner, Stopped, why
from bracket.session.running.summarise import REMARKS, summarise
from bracket.session.stills import still
from bracket.session.store import Store
from bracket.session.timing import Speed, estimate, remember
from bracket.session.view import VERDICT_FILE
from bracket.stats import sentence
from bracket.trainers.base import drawn_in

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.5
"""Progress is written at most this often."""

Listener = Callable[[Progress], None]


@dataclass
class Reporter:
    """Counts what is done, estimates what is left, and says so on disk (and to a listener, for a progress bar)."""

    context: Context
    store: Store
    workers: int
    listener: Listener
    guess: Speed
    runner: RoundRunner | None = None
    added: int = 0
    """Pairs that were added to the duel of the settings."""
    phase: str = "checks"
    message: str = ""
    last: float = field(default=0.0)

    def __call__(self) -> None:
        if time.monotonic() - self.last >= REPORT_SECONDS:
            self.say()

    def say(self, state: str = "running", phase: str = "", message: str = "") -> None:
        """Write the progress now."""
        self.phase = phase or self.phase
        self.message = message or self.message
        self.last = time.monotonic()
        done, planned, eta = self._counts()
        note = (self.runner.note or self.runner.outlook) if self.runner and state == "running" else ""
        said = f"{self.message}. {note}" if note else self.message
        running = self.runner.running if self.runner and state == "running" else []
        doing = {r.trial.id: r.handle.progress().phase for r in running}
        left = eta if state == "running" else None
        progress = Progress(state, self.phase, done, planned, left, said, doing=doing)
        write_progress(self.context.folder, progress)
        self.listener(progress)

    def _counts(self) -> tuple[int, int, float | None]:
        speed = estimate(self.runner.measures if self.runner else [], self.guess)
        *planned, duel = plan.planned_rounds(self.context, speed)
        planned.append(plan.with_pairs(duel, self.added, speed, self.workers))
        done = Counter((r.trial.round.value, r.trial.rung) for round_ in Round for r in self.store.results(round_))
        spared = self.runner.spared if self.runner else 0
        if spared:
            planned = [replace(p, trials=p.trials - spared) if p.name == Round.CONFIRMATION else p for p in planned]
        if self.phase not in ("checks", "prepare", "search"):  # it may have ended before all were tried
            planned = [replace(p, trials=done[p.name, p.rung]) if p.name == Round.SEARCH else p for p in planned]
        left = sum(p.seconds * max(0, p.trials - done[p.name, p.rung]) / p.trials for p in planned if p.trials)
        spent = sum(_spent(r.handle.progress(), r.trial, speed) for r in self.runner.running) if self.runner else 0.0
        # Before this session trained at all, what others measured would stand still.
        heard = spent or (self.runner is not None and self.runner.measures)
        eta = max(0.0, left - spent / self.workers) if speed.measured and heard else None
        return done.total(), sum(p.trials for p in planned), eta


def _spent(progress: Watched, trial: Trial, speed: Speed) -> float:
    """What of a trial's expected seconds is over, also while it draws pictures: by its steps or by the clock."""
    if not progress.step:
        return 0.0
    return max(progress.step * speed.step, min(progress.seconds, speed.trial(trial.steps)))


def run(folder: Path, listener: Listener = lambda _: None, *, share: bool = False) -> Summary | None:
    """Run (or continue) the session in `folder`; returns its summary, or None when it was stopped.

    Args:
        share: begin beside a session that trains on the same GPU, instead of after it.

    Raises:
        BracketError: what is wrong and what to do; the session's state says the same, and nothing done is lost.
    """
    settings = load(folder)
    with Lock(folder), logged_to(folder / "session.log"):
        clear_stop(folder)
        sweep_orphans()
        sweep_parts(folder, deep=True)
        _say(folder, "running", "Looking at settings, weights and pictures", listener)
        try:
            return _run(resolve(settings, folder), listener, share)
        except Stopped:
            _say(folder, "stopped", "Stopped. Resume to go on where it was.", listener)
            return None
        except KeyboardInterrupt:
            _say(folder, "stopped", "Interrupted. Resume to go on where it was.", listener)
            raise
        except BracketError as error:
            log.error("%s", error)
            _say(folder, "failed", str(error), listener)
            raise
        except Exception as error:
            log.exception("unexpected error")
            _say(folder, "failed", f"unexpected error: {error!r}. session.log has the details.", listener)
            raise
        finally:
            clear_stop(folder)


def _run(question: Context, listener: Listener, share: bool) -> Summary:
    folder = question.folder
    _preflight(question)

    def waiting(others: str) -> None:
        _say(folder, "running", f"Waiting for {others}", listener)
        if stop_asked(folder):
            raise Stopped

    with claimed(question.slots, folder, share=share, waiting=waiting):
        return _on(make_context(folder, question.settings), listener)


def _on(context: Context, listener: Listener) -> Summary:
    folder, slots, guess = context.folder, context.slots, plan.speed_of(context.preset, context.device)
    store, executor = Store(folder), LocalExecutor(len(slots))
    reporter = Reporter(context, store, len(slots), listener, guess)
    before: list[Sample] = []
    judge = session_judge(context.judges, context.dataset, folder / "cache", before)
    runner = RoundRunner(context, store, executor, judge, slots, reporter)
    reporter.runner, reporter.added = runner, sum(p.pairs for p in read_plans(folder)[1:])
    clock = _Clock(folder)
    try:
        reporter.say(message="Looking at the judge's model")
        fingerprint = judge.fingerprint  # a model that is missing or can't be had is told before any GPU time is spent
        _stages(runner, reporter, clock, before)
        _keep_remarks(folder, judge)
        reporter.say(phase="report", message="Writing the report")
        summary, _ = _report(context, store, f"{judge.name} {fingerprint}", clock.read())
        _remember_spread(context, summary)
        reporter.say("done", "done", "Done, but nothing could be judged" if nothing_judged(summary) else "Done")
        return summary
    finally:
        remember(context.preset.name, context.device, runner.measures)
        executor.close()
        judge.close()
        store.close()


def write_session_report(folder: Path) -> Path:
    """Write the report anew from the folder, also of a session that is not done; returns the HTML's path.

    Raises:
        BracketError: the session can't be read.
    """
    context, store = make_context(folder, load(folder)), Store(folder)
    judge = session_judge(context.judges, context.dataset, folder / "cache")
    try:
        return _report(context, store, f"{judge.name} {judge.fingerprint}", _Clock(folder).read())[1]
    finally:
        judge.close()
        store.close()


def _report(context: Context, store: Store, judge: str, seconds: dict[str, float]) -> tuple[Summary, Path]:
    early = ended_early(context, store.results(Round.SEARCH))
    told = [f"{early}." if early else "", stamp.missing(context.folder, context.settings.confirmation.stamp)]
    summary = summarise(context, store, judge=judge, seconds=seconds, warnings=[*filter(None, told)])
    path = write_report(summary, context.folder / "report", lambda sample: still(sample, context.folder))
    label = summary.winner.label if summary.winner else ""
    write_json(context.folder / "report" / "judge.json", _of_judge(summary))
    said = (why_undecided(summary) or sentence(summary.verdict, label), held(summary), *summary.again)
    write_text(context.folder / "report" / VERDICT_FILE, " ".join(filter(None, said)))
    return summary, path


def _remember_spread(context: Context, summary: Summary) -> None:
    """Keep how much the duel's scores differed, for the next plan."""
    prompts: dict[str, list[float]] = {}
    if summary.duel:
        for ours, theirs in zip(summary.duel.winner, summary.duel.baseline, strict=False):
            prompts.setdefault(ours.sample.prompt, []).append(ours.score - theirs.score)
    every = [*summary.pairs, *(p for added in summary.additions for p in added.pairs)]
    differences = [p.difference for p in every]
    spread.remember(plan.spread_key(context), summary.fingerprint, differences, [mean(d) for d in prompts.values()])


def _keep_remarks(folder: Path, judge: Judge) -> None:
    """Keep what the judge wants known of its scores: it only knows what it looked at since it was made."""
    found = judge.remarks()
    if found or not (folder / REMARKS).exists():
        write_json(folder / REMARKS, found)


def _of_judge(summary: Summary) -> dict[str, object]:
    """What the Judge tab shows of a session."""
    c = summary.calibration
    return {
        "judge": summary.judge,
        "remarks": list(summary.remarks),
        "agreement": c.agreement.as_dict() if c else None,
        "gate": c.gate.as_dict() if c else None,
        "corrected": c.corrected.as_dict() if c and c.corrected else None,
        "flip_rate": summary.flip_rate,
    }


def _stages(runner: RoundRunner, reporter: Reporter, clock: _Clock, before: list[Sample]) -> None:
    """Every stage of a session in its order; `before` is given the base's pictures once they are drawn."""
    context = runner.context
    with clock.phase("prepare"):
        reporter.say(phase="prepare", message="Caching latents and text embeddings")
        _prepare(runner)
        reporter.say(message="Drawing the base without a LoRA")
        drawing.draw(runner, [drawing.Drawing(context.folder / BEFORE, None, context.choosing_job().prompts)])
        before += drawn_in(context.trainer, context.folder / BEFORE)
        judge_base(context.folder, before, runner.judge, runner)
    with clock.phase("search"):
        reporter.say(phase="search", message="Searching")
        stages.search(runner)
    with clock.phase("finals"):
        reporter.say(phase="finals", message="Training the finalists and the baseline for longer")
        stages.finals(runner)
        pairwise.ask(runner)
    duel = confirm.fix_plan(runner)
    if duel is None:
        return
    with clock.phase("confirmation"):
        reporter.say(phase="confirmation", message="The duel: fresh prompts, fresh seeds")
        confirm.draw_duel(runner, duel)
        for number, fixed in enumerate(read_plans(context.folder)):
            if number:
                reporter.say(message=f"{fixed.pairs} more fresh pairs for the settings")
            stages.fresh_pairs(runner, fixed)


def _preflight(question: Context) -> None:
    made = plan.plan_of(question, deep=True)
    _heed([*made.problems, *plan.disk_problems(question, made)])


def _heed(problems: Sequence[Problem]) -> None:
    """Log every problem.

    Raises:
        SettingsError: the first error among them.
    """
    for problem in problems:
        log.log(logging.ERROR if problem.level == "error" else logging.WARNING, "%s", problem)
    errors = [p for p in problems if p.level == "error"]
    if errors:
        more = f" ({len(errors) - 1} more in session.log)" if len(errors) > 1 else ""
        raise SettingsError(errors[0].message + more, path=errors[0].path, remedy=errors[0].remedy)


def _prepare(runner: RoundRunner) -> None:
    context = runner.context
    for launch in context.trainer.prepare(context.choosing_job()):
        write_command_sh(launch.log.with_suffix(".command.sh"), for_device(launch, runner.slots[0]))
        handle = runner.executor.submit(launch, runner.slots[0])
        while (ended := handle.poll()) is None:
            if stop_asked(context.folder):
                handle.stop()
            runner.report()
            time.sleep(POLL_SECONDS)
        if stop_asked(context.folder):
            raise Stopped
        if ended.code != 0:
            raise TrainerError(
                f"preparing the dataset failed: {why(launch.log, ended)}",
                path=launch.log,
                remedy="Mend what it names and resume.",
            )


class _Clock:
    """Wall time by phase, added up over resumes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "seconds.json"

    def read(self) -> dict[str, float]:
        return {k: float(v) for k, v in read_mapping(self._path).items() if isinstance(v, int | float)}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = self.read()
            write_json(self._path, {**seconds, name: seconds.get(name, 0.0) + time.monotonic() - began})


def _say(folder: Path, state: str, message: str, listener: Listener) -> None:
    last = read_progress(folder) or Progress(state, "checks")
    phase = "checks" if state == "running" else last.phase
    progress = replace(last, state=state, phase=phase, message=message, eta=None, doing={})
    write_progress(folder, progress)
    listener(progress)


class _SessionLog(logging.FileHandler):
    """What a full disk has no room for is lost: the error to tell is the one that ends the session."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Everything bracket logs goes to the session's log while the body runs."""
    handler = _SessionLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("bracket")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
