"""Says how a launch ended, and why, from what it left behind: never from hope."""

from __future__ import annotations

import math
import re
from signal import Signals

import numpy as np

from bracket.domain import Outcome
from bracket.runner.cause import cause, with_lines
from bracket.runner.events import Curve
from bracket.runner.signs import Signs

DIVERGED_CODE, OUT_OF_MEMORY_CODE, STOPPED_CODE = 3, 4, 130
"""Exit codes of our own trainer (see docs/contracts.md); other trainers don't use them."""

_MELTED = 10.0
_MOST_SKIPPED = 0.05
"""More than this share of steps left out, and a trial is not what it says it is."""
_NO_SIGNS = Signs()
_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|(?:CUDA|HIP|MPS backend|XPU)[^\n]{0,40} out of memory|hipErrorOutOfMemory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|OOM during training step \d+ times|^(?:numpy\S*)?MemoryError\b",
    re.IGNORECASE | re.MULTILINE,
)
# A validation loss may be undefined where nothing is wrong.
_LOSS = re.compile(
    r"(?<![\w/])(?!val|eval)[\w/]*loss['\"]?\s*[=:]\s*([-+]?(?:nan|inf(?:inity)?|\d[\d.]*(?:e[-+]?\d+)?))\b",
    re.IGNORECASE,
)
_STOP_BANNER = re.compile(r"^(?:Exception: |Error running job: )?Job stopped\s*$", re.MULTILINE)
"""AI-Toolkit's word on a stop, with exit code 0 or 1."""
_DIED = re.compile(r"died with <Signals\.(\w+)")


def classify(
    exit_code: int | None,
    log_tail: str,
    checkpoint_ok: bool,
    samples_ok: bool,
    stopped: bool = False,
    silent_for: float = 0.0,
    *,
    signal: int | None = None,
    losses: Curve | None = None,
    finite: bool | None = None,
    signs: Signs = _NO_SIGNS,
    steps: int = 0,
) -> tuple[Outcome, str]:
    """How a trial ended and the cause: one line, then the log lines that show it. "" if it is OK and nothing was left
    out.

    Args:
        exit_code: None when a signal ended it, or nothing is known of its end.
        log_tail: cleaned last lines of the log (`tail.last_lines`), a few hundred.
        checkpoint_ok: the final checkpoint loads (True for a launch that makes none).
        samples_ok: every picture it should have drawn is there (True where there is none to draw).
        stopped: a person or bracket asked for the stop.
        silent_for: seconds without a sign of life for which bracket stopped it; 0 when it did not.
        signal: the signal that ended it.
        losses: its training loss by step, for a trainer that doesn't notice itself that it diverged.
        finite: whether its final weights are finite numbers; None when that isn't known.
        signs: what the whole log says.
        steps: how many steps it was to train.
    """
    whole = exit_code == 0 and checkpoint_ok and samples_ok  # such as a rung, which is stopped where it is to end
    if exit_code in (0, 1) and not whole and _STOP_BANNER.search(log_tail):
        exit_code = STOPPED_CODE
    divergence = _divergence(exit_code, log_tail, losses, finite, signs, steps)
    skipped = f"{signs.skipped} of {steps} steps were left out because memory ran out" if signs.skipped else ""
    if exit_code == 0 and checkpoint_ok and not divergence:
        if signs.skipped > _MOST_SKIPPED * steps:
            return Outcome.OUT_OF_MEMORY, skipped
        if samples_ok:
            return Outcome.OK, skipped
        if not stopped:
            return Outcome.NO_SAMPLES, with_lines("it trained, but not all samples were drawn", cause(log_tail))
    if silent_for > 0:
        return Outcome.HUNG, with_lines(f"no sign of life for {silent_for:.0f} s, so it was stopped", _last(log_tail))
    if stopped:
        return Outcome.STOPPED, "it was stopped"
    return _failure(exit_code, signal, log_tail, divergence)


def _failure(exit_code: int | None, signal: int | None, log_tail: str, divergence: str) -> tuple[Outcome, str]:
    why = cause(log_tail)
    if signal is None and exit_code is not None and 128 < exit_code < 160 and exit_code != STOPPED_CODE:
        signal = exit_code - 128  # as shells and launchers pass on a signal
    if exit_code == OUT_OF_MEMORY_CODE or (_OUT_OF_MEMORY.search(log_tail) and exit_code != DIVERGED_CODE):
        return Outcome.OUT_OF_MEMORY, why or "out of memory"
    if divergence:
        return Outcome.DIVERGED, divergence
    if exit_code == STOPPED_CODE or signal == Signals.SIGINT:
        return Outcome.STOPPED, "it was interrupted from outside"
    if exit_code == 0:
        end = "it ended with exit code 0 but left no checkpoint that loads"
        return Outcome.CRASHED, f"{why}\n  {end}" if why else end
    killed = _DIED.search(log_tail)
    if signal is not None or (killed and not why):
        name = _signal_name(signal) if signal is not None else killed[1] if killed else ""
        hint = "; the system does that when memory (RAM) runs out" if name == "SIGKILL" else ""
        return Outcome.CRASHED, with_lines(f"it was killed from outside by {name}{hint}", why or _last(log_tail))
    if exit_code is None:
        return Outcome.CRASHED, with_lines("it ended without leaving an exit status, as after a power cut", why)
    return Outcome.CRASHED, why or with_lines(f"it ended with exit code {exit_code}", _last(log_tail))


def _divergence(
    exit_code: int | None, log_tail: str, losses: Curve | None, finite: bool | None, signs: Signs, steps: int
) -> str:
    """In which way the training melted, "" when it did not; other trainers than ours end such runs with code 0."""
    logged = _logged_loss(log_tail)
    if losses is not None and len(losses[0]):
        lost = ~np.isfinite(losses[1])
        if lost[-1]:
            first = int(losses[0][len(lost) - int(np.argmin(lost[::-1])) if not lost.all() else 0])
            return f"the loss is not a finite number from step {first} on"
        logged = losses[1][-1]  # kohya's average in the bar stays NaN even where the loss itself recovers
    if exit_code == DIVERGED_CODE or (logged is not None and not math.isfinite(logged)):
        return with_lines("the loss is no longer a finite number", _loss_line(log_tail))
    if signs.nan:
        return f"the loss was NaN in {signs.nan} of {steps} steps"
    if finite is False:
        return "the weights it saved are not finite numbers"
    rise = _rise(losses)
    return f"the loss rose from {rise[0]:.3g} at its start to {rise[1]:.3g} at its end" if rise else ""


def _rise(losses: Curve | None) -> tuple[float, float] | None:
    """The loss at the start and at the end of a run that melted without a NaN.

    At each end the median of a twentieth of the points, at least five, of at least twenty in all. Melted means ten
    times its start and above 1, which is about what the answer 0 scores against noise of variance 1: between settings,
    time steps and pictures a loss varies a few-fold, and a start far below 1 may grow without harm.
    """
    values = losses[1][np.isfinite(losses[1])] if losses is not None else np.empty(0)
    if len(values) < 20:
        return None
    ends = max(5, len(values) // 20)
    start, end = float(np.median(values[:ends])), float(np.median(values[-ends:]))
    return (start, end) if end > max(_MELTED * start, 1.0) else None


def hang_limit(speed: float | None) -> float:
    """Seconds of silence after which a launch counts as hung: ten minutes, or the time of twenty steps if longer.

    Args:
        speed: steps per second, None when unknown.
    """
    return max(600.0, 20 / speed) if speed else 600.0


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _logged_loss(log: str) -> float | None:
    """The last loss a log mentions, as a line or in a progress bar."""
    found = _LOSS.findall(log)
    return float(found[-1]) if found else None


def _loss_line(log: str) -> str:
    return next((line.strip() for line in reversed(log.splitlines()) if _LOSS.search(line)), "")


def _last(log: str, count: int = 3) -> str:
    return "\n".join([line.rstrip() for line in log.splitlines() if line.strip()][-count:])
