"""Judging a session again with other judges, without training anything: a new session beside the old one.

Trials, pictures and checkpoints are linked, not copied; the ledger is written anew with the new scores. What the new
judge would have trained instead stays untrained, and the report of the new session says so. Of the fresh pairs those
count that the session planned from the start, not those that were added because of what the old judge said.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bracket.domain import Outcome, Round, TrialResult, Wanted
from bracket.errors import SettingsError
from bracket.files import folder_made, storage_errors, sweep_parts
from bracket.judges import Judge
from bracket.session.asked import foreign
from bracket.session.asked.judges import session_judge
from bracket.session.asked.settings import JudgeSettings, load, save
from bracket.session.control import Lock, Progress, write_progress
from bracket.session.duel.again import REJUDGED, mark
from bracket.session.duel.blind import CONTROL, Control, judge_together, score_mixed
from bracket.session.duel.plan import BASE, BASELINE, FOLDER, RUNNER_UP, WINNER, drawn_order
from bracket.session.evaluate import JUDGEMENTS, judged, keep_judgements
from bracket.session.job import BEFORE, Context, make_context
from bracket.session.running import confirm
from bracket.session.running.judging import judge_base
from bracket.session.score import combine
from bracket.session.store import Store
from bracket.trainers.base import drawn_in

_PLANS = "plan*"
_ARMS = (WINNER, BASELINE, RUNNER_UP, BASE)
_AT_THE_TOP = ("session.yaml", "report", "lock", "control", "state.json", "session.log", "process.log", "remarks.json")
_BEGINNINGS = ("study.db", "winner", "pairwise", REJUDGED)


def rejudge(
    old: Path, new: Path, judges: tuple[JudgeSettings, ...], progress: Callable[[int, int], None] = lambda *_: None
) -> Context:
    """Judge every trial of the session in `old` with `judges`, into the new session `new`; returns its context.

    Args:
        progress: called with trials judged and trials in all.

    Raises:
        SettingsError: there is no session in `old`, or something in `new`.
        SessionBusy: the old session runs.
        JudgeError, StorageError: with what to do; `new` is then taken away again.
    """
    settings = load(old)
    if os.path.lexists(new):
        raise SettingsError("there is something here already", path=new, remedy="Choose another name.")
    if new.resolve().is_relative_to(old.resolve()):
        raise SettingsError("a session can't lie in another one", path=new, remedy="Choose another folder.")
    if new.parent.is_dir():
        sweep_parts(new.parent)
    asked = {"judge": judges[0], "other_judges": judges[1:]}
    # The judges were named here; what else an old session of somebody else's asks for was not.
    foreign.remember(settings.model_copy(update={**asked, "extra_args": (), "fixed": {}, "weights": {}}))
    # It has its name only once it is whole, and then it says that it is done: nobody is offered to train what it lacks.
    with Lock(old), folder_made(new) as part:
        with storage_errors(new):
            shutil.copytree(old, part, copy_function=_linked, ignore=_left_out(old), dirs_exist_ok=True)
        save(settings.model_copy(update=asked), part)
        trials = _judge_all(old, part, progress)
        write_progress(part, Progress("done", "done", trials, trials, None, "Judged again; nothing was trained"))
    return _context(new)


def _context(folder: Path) -> Context:
    return make_context(folder, load(folder))


def _judge_all(old: Path, new: Path, progress: Callable[[int, int], None]) -> int:
    """Judges into the session in `new`; returns how many trials."""
    context = _context(new)
    mark(context, old)
    before = drawn_in(context.trainer, new / BEFORE)
    judge = session_judge(context.judges, context.dataset, new / "cache", before)
    source, store = Store(old), Store(new)
    try:
        told = {r: source.results(r) for r in Round}
        total, done = sum(map(len, told.values())), 0
        control = Control(new, before)
        judge_base(new, before, judge)
        for results in told.values():
            references: dict[int, float | None] = {}
            for again in _again(context, store, judge, results, control):
                rung = again.trial.rung
                if again.trial.origin == "baseline" and rung not in references:
                    references[rung] = again.validation_loss if again.outcome is Outcome.OK else None
                score = None
                if again.outcome is Outcome.OK:
                    score = combine(
                        context.score_settings(again.trial.steps),
                        again.judgements,
                        again.validation_loss,
                        references.get(rung),
                        context.settings.score.sample_weight,
                    )
                store.finish(replace(again, score=score))
                done += 1
                progress(done, total)
        _duel(context, source, store, judge, control)
        return total
    finally:
        source.close()
        store.close()
        judge.close()


def _again(
    context: Context, store: Store, judge: Judge, results: Sequence[TrialResult], control: Control
) -> Iterator[TrialResult]:
    """The results with their pictures judged anew, begun in the new ledger under the same numbers: the fresh pairs'
    arms of one seed together, the others each by itself."""
    groups: dict[object, list[TrialResult]] = {}
    for result in [_begun(context, store, result) for result in results]:
        t = result.trial
        groups.setdefault(t.seed if t.round is Round.CONFIRMATION else t.id, []).append(result)
    for group in groups.values():
        if group[0].trial.round is not Round.CONFIRMATION:
            yield judged(group[0], judge)
            continue
        yield from judge_together(group, judge, lambda *unit: _order(context, *unit), control)


def _order(context: Context, *unit: object) -> list[str]:
    return drawn_order(context.settings.seed, unit, _ARMS)


def _begun(context: Context, store: Store, result: TrialResult) -> TrialResult:
    """A result begun in the new ledger under the same number."""
    t = result.trial
    continues = t.continues.name if t.continues else ""
    wanted = Wanted(t.round, t.origin, t.config, t.seed, t.steps, t.schedule, continues, t.rung)
    store.skip_to(t)
    trial = store.begin(wanted, context.knobs)
    samples = tuple(s for s in context.trainer.find_samples(trial) if s.step == trial.steps) or result.samples
    checkpoint = context.trainer.find_checkpoint(trial)
    return replace(result, trial=trial, samples=samples, checkpoint=checkpoint)


def _duel(context: Context, source: Store, store: Store, judge: Judge, control: Control) -> None:
    """Judge the duel's pictures, if they are of the very checkpoints that the new scores would let duel."""
    finals = [s.results(Round.FINALS) for s in (source, store)]
    plans = [confirm.plan_for(context, results) for results in finals]
    chosen = [confirm.duellists(p, results) if p else {} for p, results in zip(plans, finals, strict=True)]
    ids = [{name: r.trial.id for name, r in arms.items()} for arms in chosen]
    folders = {name: context.folder / FOLDER / name for name in _ARMS}
    if not ids[0] or ids[0] != ids[1]:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        return
    drawn = {name: drawn_in(context.trainer, folder) for name, folder in folders.items() if folder.is_dir()}
    texts = dict.fromkeys(s.prompt for samples in drawn.values() for s in samples)
    units = {text: {n: [s for s in samples if s.prompt == text] for n, samples in drawn.items()} for text in texts}
    found = score_mixed(judge, units, lambda s: _order(context, s.prompt, s.seed), control)
    for name, samples in drawn.items():
        keep_judgements(folders[name], [found[s.path] for s in samples])


def _left_out(old: Path) -> Callable[[str, list[str]], set[str]]:
    """What is the old judge's, the old run's, or trained for the old winner; votes on the pictures are taken along."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        top = Path(folder) == old
        plans = fnmatch.filter(names, _PLANS) if Path(folder) == old / FOLDER else ()
        old_judge = {JUDGEMENTS, Path(CONTROL).name, *plans}
        return {n for n in names if n in old_judge or (top and (n in _AT_THE_TOP or n.startswith(_BEGINNINGS)))}

    return ignore


def _linked(source: str, target: str) -> str:
    """A hard link where the file system has them, else a copy."""
    try:
        os.link(source, target)
        return target
    except OSError:
        return str(shutil.copy2(source, target))
