"""Says how a launch ended, and why, from what it left behind: never from hope."""

from __future__ import annotations

import math
import re
from signal import SIGINT

import numpy as np

from bracket.domain import Outcome
from bracket.runner.reading.blocks import SURE, Found, chain_texts
from bracket.runner.reading.cause import cause, told, with_lines
from bracket.runner.reading.events import Curve
from bracket.runner.reading.exits import ending, memory_of
from bracket.runner.reading.signs import Signs

DIVERGED_CODE, OUT_OF_MEMORY_CODE, STOPPED_CODE = 3, 4, 130
"""Exit codes of our own trainer (see docs/contracts.md); other trainers don't use them."""

_MELTED = 10.0
_MOST_SKIPPED = 0.05
"""More than this share of steps left out, and a trial is not what it says it is."""
_NO_SIGNS = Signs()
# A validation loss may be undefined where nothing is wrong.
_LOSS = re.compile(
    r"(?<![\w/])(?!val|eval)[\w/]*loss['\"]?\s*[=:]\s*([-+]?(?:nan|inf(?:inity)?|\d[\d.]*(?:e[-+]?\d+)?))\b",
    re.IGNORECASE,
)
_STOP_BANNER = re.compile(r"^(?:Exception: |Error running job: )?Job stopped\s*$", re.MULTILINE)
"""AI-Toolkit's word on a stop, with exit code 0 or 1."""
_MELTING = re.compile(
    r"\b(?:loss|gradients?|grad_norm)\b.{0,200}\b(?:nan|inf|infinite|non-finite)\b|\bnan loss\b", re.IGNORECASE
)
MAIN_MEMORY = (
    "that was main memory (RAM), not the GPU's, so a lower GPU memory profile would not help: close other programs, "
    "add swap (under Windows a larger paging file) or run fewer trials at once"
)
"""Stands in the cause of a trial that ran out of main memory, which no lower memory profile mends."""


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
    if exit_code in (DIVERGED_CODE, OUT_OF_MEMORY_CODE) and cause(log_tail):
        exit_code = 1  # another's: native code that aborts under Windows ends with 3
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


def main_memory(cause: str) -> bool:
    """Whether it was main memory that ran out, not the GPU's, by a cause that `classify` gave."""
    return MAIN_MEMORY in cause


def failed(exit_code: int | None, signal: int | None, log_tail: str, lacks: str) -> str:
    """Why a program did not do what it was started for, on one line.

    Args:
        lacks: what an exit code of 0 did not keep true, as in "it ended with exit code 0 but drew nothing".
    """
    first, *_, last = [*_failure(exit_code, signal, log_tail, "", lacks)[1].splitlines(), ""][:-1] * 2
    return f"{first} ({last.strip()})" if exit_code == 0 and last != first else first


def _failure(
    exit_code: int | None,
    signal: int | None,
    log_tail: str,
    divergence: str,
    lacks: str = "left no checkpoint that loads",
) -> tuple[Outcome, str]:
    found = Found(log_tail)
    block = found.reason()
    sure = block is not None and block.weight >= SURE
    end = ending(exit_code, signal, "" if sure else log_tail)
    why = told(found, block) if block else ""
    words = [] if block else found.last_words()
    said = "\n".join([why.partition("\n")[0], *chain_texts(block)] if block else words)
    if block and end.words and block.weight < 1:
        said = ""  # in doubt it was not this that ended it
    memory = end.memory or memory_of(said)
    if memory or exit_code == OUT_OF_MEMORY_CODE:
        told_so = [f"{'' if 'out of memory' in w.lower() else 'out of memory: '}{w}" for w in words if memory_of(w)]
        first, _, more = (why or end.words or "\n".join(told_so[-1:]) or "out of memory").partition("\n")
        return Outcome.OUT_OF_MEMORY, with_lines(first, f"{MAIN_MEMORY}\n{more}" if memory == "main" else more)
    if divergence or (block and block.kind != "usage" and _MELTING.search(why.partition("\n")[0])):
        return Outcome.DIVERGED, divergence or why
    interrupted = not block and (end.interrupted or found.interrupted)
    if exit_code == STOPPED_CODE or signal == SIGINT or interrupted:
        return Outcome.STOPPED, "it was interrupted from outside"
    last = "\n".join(words) or found.bar
    if end.words:
        return Outcome.CRASHED, with_lines(*((why, end.words) if sure else (end.words, why or last)))
    ended = f"it ended with exit code {exit_code}" + (f" but {lacks}" if exit_code == 0 else "")
    if exit_code is None:
        ended = "it ended without leaving an exit status, as after a power cut"
        return Outcome.CRASHED, with_lines(ended, why)
    if why:
        return Outcome.CRASHED, f"{why}\n  {ended}" if exit_code == 0 else why
    return Outcome.CRASHED, with_lines(f"{ended}; its last words: {words[-1]}" if words else ended, last)


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


def _logged_loss(log: str) -> float | None:
    """The last loss a log mentions, as a line or in a progress bar."""
    found = _LOSS.findall(log)
    return float(found[-1]) if found else None


def _loss_line(log: str) -> str:
    return next((line.strip() for line in reversed(log.splitlines()) if _LOSS.search(line)), "")


def _last(log: str, count: int = 3) -> str:
    return "\n".join([line.rstrip() for line in log.splitlines() if line.strip()][-count:])
