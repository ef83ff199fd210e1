"""From a trial that ended to its result: what is on disk decides, never hope."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.domain import Judgement, Outcome, Round, Trial, TrialResult, mean
from bracket.errors import JudgeError
from bracket.files import plain_json, read_mapping, write_text
from bracket.judges import Judge, judgement_to_json
from bracket.runner.reading.cause import with_lines
from bracket.runner.reading.events import Curve
from bracket.runner.reading.outcome import classify
from bracket.runner.reading.signs import read_signs
from bracket.runner.reading.tail import last_lines
from bracket.runner.reading.traces import TraceReader, open_trace, read_trace
from bracket.session.job import Context
from bracket.session.melted import validation_loss, why_melted
from bracket.session.timing import Measure
from bracket.trainers.artefacts import is_finite_checkpoint
from bracket.trainers.base import TRIAL, newest

TRAIN_TAG = "loss/train"
SPEED_TAG = "speed/steps_per_second"
LOG_LINES = 4_000
"""Enough for what ranks, launchers and clean-up say after the reason; read from the last 256 KiB at most."""
JUDGEMENTS = "judgements.jsonl"


@dataclass(frozen=True)
class Ended:
    """A trial whose process ended, before it is judged."""

    result: TrialResult
    measure: Measure


def ended(context: Context, trial: Trial, *, seconds: float, stopped: bool = False, silent: float = 0.0) -> Ended:
    """Classify a trial from its exit code, its artefacts and its log.

    Args:
        seconds: wall time from launch to end.
        stopped: a person asked it to stop.
        silent: seconds without a sign of life, when that is why it was stopped; else 0.
    """
    checkpoint = context.trainer.find_checkpoint(trial)
    samples = newest(context.trainer.find_samples(trial))
    duel = trial.round is Round.CONFIRMATION
    wanted = len(context.verdict_prompts() if duel else context.choosing_job().prompts)
    code, signal = exit_status(trial.folder)
    log = trial.folder / "logs" / "trainer.log"
    trace = read_trace(trial.folder)
    reader = open_trace(trace)
    curves = reader.read_all()
    outcome, cause = classify(
        code,
        last_lines(log, LOG_LINES),
        checkpoint_ok=checkpoint is not None,
        samples_ok=len(samples) >= wanted,
        stopped=stopped,
        silent_for=silent,
        signal=signal,
        losses=curves.get(TRAIN_TAG) if trace.tags else None,  # our own trainer says itself that it diverged
        finite=is_finite_checkpoint(checkpoint) if checkpoint else None,
        signs=read_signs(log),
        steps=trial.steps,
    )
    if outcome is Outcome.OK and (why := why_melted(context, curves, samples, checkpoint)):
        outcome, cause = Outcome.DIVERGED, with_lines(why, cause)
    result = TrialResult(
        trial=trial,
        outcome=outcome,
        cause=cause,
        validation_loss=validation_loss(curves),
        train_seconds=seconds,
        samples=tuple(samples),
        checkpoint=checkpoint,
        notes=notes_of(context, trial),
    )
    return Ended(result, Measure(trial.steps - steps_before(trial), seconds, _step_seconds(reader, curves)))


def _step_seconds(reader: TraceReader, curves: Mapping[str, Curve]) -> float:
    """Seconds a step took of late: as the trainer logs it, else by the times its losses were written; 0 if unknown."""
    speeds = curves.get(SPEED_TAG)
    if speeds and len(speeds[1]):
        speed = float(speeds[1][-1])
    else:
        reader.read_new()
        speed = reader.speed(TRAIN_TAG) or 0.0
    return 1.0 / speed if speed > 0 else 0.0


def steps_before(trial: Trial) -> int:
    """Steps a trial did not have to train because it goes on from another."""
    if trial.continues is None:
        return 0
    steps = read_mapping(trial.continues / TRIAL).get("steps", 0)
    return steps if isinstance(steps, int) else 0


def notes_of(context: Context, trial: Trial) -> tuple[str, ...]:
    """What a reader of the result must know beside."""
    notes = []
    if trial.continues:
        notes.append(f"trained on from {trial.continues.name}, step {steps_before(trial)}")
    lowered = context.trial_profile(trial)
    if lowered and lowered is not context.profile:
        notes.append(f"ran out of memory and was trained with the {lowered.gb} GB profile")
    return tuple(notes)


def exit_status(folder: Path) -> tuple[int | None, int | None]:
    """The exit code and signal a trial's process ended with; (None, None) when it was killed with bracket."""
    data = read_mapping(folder / "exit.json")
    code, signal = (v if isinstance(v := data.get(name), int) else None for name in ("code", "signal"))
    return code, signal


def is_finished(context: Context, trial: Trial) -> bool:
    """Whether an open trial left by a kill had in fact ended well: its process, its checkpoint and its pictures."""
    code, _ = exit_status(trial.folder)
    return (
        code == 0 and context.trainer.find_checkpoint(trial) is not None and bool(context.trainer.find_samples(trial))
    )


def judged(result: TrialResult, judge: Judge) -> TrialResult:
    """The result with its pictures judged, if they can be; a picture that can't be read fails the trial by name."""
    if result.outcome is not Outcome.OK:
        return result
    try:
        return with_judgements(result, judge.score(result.samples))
    except JudgeError as error:
        if error.path is None:
            raise
        return unjudged(result, error)


def with_judgements(result: TrialResult, found: Sequence[Judgement]) -> TrialResult:
    """The result with what was judged, which is kept beside its pictures. Raises JudgeError where a score is none."""
    judgements = [_answered(j) for j in found]
    keep_judgements(result.trial.folder, judgements)
    return replace(result, judgements=tuple(judgements), axes=axis_means(judgements))


def unjudged(result: TrialResult, error: JudgeError) -> TrialResult:
    """The result whose pictures can't be judged."""
    return replace(result, outcome=Outcome.NO_SAMPLES, cause=str(error))


def _answered(judgement: Judgement) -> Judgement:
    """A judgement without the axes that are no number. Raises JudgeError where the score itself is none."""
    if not math.isfinite(judgement.score):
        raise JudgeError(f"{judgement.judge} gave no score ({judgement.score})", path=judgement.sample.path)
    return replace(judgement, axes={axis: value for axis, value in judgement.axes.items() if math.isfinite(value)})


def keep_judgements(folder: Path, judgements: Sequence[Judgement]) -> None:
    """Write what was judged beside the pictures, replacing what an earlier judging left."""
    lines = [plain_json(judgement_to_json(_answered(j), folder)) for j in judgements]
    write_text(folder / JUDGEMENTS, "".join(f"{line}\n" for line in lines))


def axis_means(judgements: Sequence[Judgement]) -> dict[str, float]:
    """Mean of every axis over the judgements that have it."""
    names = sorted({axis for j in judgements for axis in j.axes})
    return {n: mean([j.axes[n] for j in judgements if n in j.axes]) for n in names}
