"""Says how a launch ended, and why, from what it left behind: never from hope."""

from __future__ import annotations

import math
import re
from signal import Signals

from bracket.domain import Outcome

DIVERGED_CODE, OUT_OF_MEMORY_CODE, STOPPED_CODE = 3, 4, 130
"""Exit codes of our own trainer (see docs/contracts.md); other trainers don't use them."""

_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|(?:CUDA|HIP|MPS backend|XPU)[^\n]{0,40} out of memory|hipErrorOutOfMemory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|^(?:numpy\S*)?MemoryError\b",
    re.IGNORECASE | re.MULTILINE,
)
# A validation loss may be undefined where nothing is wrong.
_LOSS = re.compile(
    r"(?<![\w/])(?!val|eval)[\w/]*loss['\"]?\s*[=:]\s*([-+]?(?:nan|inf(?:inity)?|\d[\d.]*(?:e[-+]?\d+)?))\b",
    re.IGNORECASE,
)
_TRACEBACK = "Traceback (most recent call last):"
# What launchers say of the trainer they started: true, but never the reason.
_LAUNCHER = re.compile(r"(?:subprocess\.)?CalledProcessError\b|(?:torch\.\S+)?ChildFailedError\b|KeyboardInterrupt\b")
_RANK = re.compile(r"^\[rank\d+\]:\s?")
_BAR = re.compile(r"\s*(?:\w+:\s+)?\d+%\|.*$")
_ERROR_LINE = re.compile(r"^\s*(?:[\w.\-]+: error: |(?:\S+ \S+ )?(?:ERROR|CRITICAL|FATAL)\b)", re.IGNORECASE)
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
    last_loss: float | None = None,
) -> tuple[Outcome, str]:
    """How a trial ended and, unless it is OK, the cause: one line, then the log lines that show it.

    Args:
        exit_code: None when a signal ended it, or nothing is known of its end.
        log_tail: cleaned last lines of the log (`tail.last_lines`), a few hundred.
        checkpoint_ok: the final checkpoint loads (True for a launch that makes none).
        samples_ok: every picture it should have drawn is there (True where there is none to draw).
        stopped: a person or bracket asked for the stop.
        silent_for: seconds without a sign of life for which bracket stopped it; 0 when it did not.
        signal: the signal that ended it.
        last_loss: the newest training loss of the event files, if any.
    """
    diverged = exit_code == DIVERGED_CODE or _is_lost(last_loss) or _is_lost(_logged_loss(log_tail))
    if exit_code == 0 and checkpoint_ok and not diverged:
        if samples_ok:
            return Outcome.OK, ""
        if not stopped:
            return Outcome.NO_SAMPLES, _with("it trained, but not all samples were drawn", cause(log_tail))
    if silent_for > 0:
        return Outcome.HUNG, _with(f"no sign of life for {silent_for:.0f} s, so it was stopped", _last(log_tail))
    if stopped:
        return Outcome.STOPPED, "it was stopped"
    return _failure(exit_code, signal, log_tail, diverged)


def _failure(exit_code: int | None, signal: int | None, log_tail: str, diverged: bool) -> tuple[Outcome, str]:
    why = cause(log_tail)
    if signal is None and exit_code is not None and 128 < exit_code < 160 and exit_code != STOPPED_CODE:
        signal = exit_code - 128  # as shells and launchers pass on a signal
    if exit_code == OUT_OF_MEMORY_CODE or (_OUT_OF_MEMORY.search(log_tail) and exit_code != DIVERGED_CODE):
        return Outcome.OUT_OF_MEMORY, why or "out of memory"
    if diverged:
        return Outcome.DIVERGED, _with("the loss is no longer a finite number", _loss_line(log_tail))
    if exit_code == STOPPED_CODE or signal == Signals.SIGINT:
        return Outcome.STOPPED, "it was interrupted from outside"
    if exit_code == 0:
        return Outcome.CRASHED, _with("it ended with exit code 0 but left no checkpoint that loads", why)
    killed = _DIED.search(log_tail)
    if signal is not None or (killed and not why):
        name = _signal_name(signal) if signal is not None else killed[1] if killed else ""
        hint = "; the system does that when memory (RAM) runs out" if name == "SIGKILL" else ""
        return Outcome.CRASHED, _with(f"it was killed from outside by {name}{hint}", why or _last(log_tail))
    if exit_code is None:
        return Outcome.CRASHED, _with("it ended without leaving an exit status, as after a power cut", why)
    return Outcome.CRASHED, why or _with(f"it ended with exit code {exit_code}", _last(log_tail))


def cause(log: str, around: int = 4) -> str:
    """The line that says what went wrong, then up to `around` lines that stand before or belong to it; "" for none.

    That is the last exception that isn't a launcher's remark on the trainer's exit, else the last line that calls
    itself an error, else, for a program that ends with one sentence, nothing: the caller shows the last lines.
    """
    lines = [_RANK.sub("", line).rstrip() for line in log.splitlines()]
    for start in reversed([number for number, line in enumerate(lines) if _TRACEBACK in line]):
        end = next((n for n in range(start + 1, len(lines)) if lines[n] and not lines[n][0].isspace()), None)
        if end is None or _LAUNCHER.match(lines[end]) or _TRACEBACK in lines[end]:
            continue
        frames = [line for line in lines[start + 1 : end] if line.strip().strip("^~")]
        more = _belonging(lines[end + 1 : end + 1 + around])
        context = [*frames[len(frames) - max(0, around - len(more)) :], *more]
        return _with(_BAR.sub("", lines[end]), "\n".join(context))
    for number in reversed(range(len(lines))):
        if _ERROR_LINE.match(lines[number]):
            return _with(lines[number].strip(), "\n".join(_belonging(lines[number + 1 : number + 1 + around])))
    return ""


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


def _belonging(lines: list[str]) -> list[str]:
    """The lines at the start that continue a message: indented, and not the first of another log entry."""
    more: list[str] = []
    for line in lines:
        if not line[:1].isspace() or _BAR.fullmatch(line) or re.match(r"\s+(?:INFO|WARNING|DEBUG)\b", line):
            break
        more.append(line)
    return more


def _logged_loss(log: str) -> float | None:
    """The last loss a log mentions, as a line or in a progress bar."""
    found = _LOSS.findall(log)
    return float(found[-1]) if found else None


def _is_lost(loss: float | None) -> bool:
    return loss is not None and not math.isfinite(loss)


def _loss_line(log: str) -> str:
    return next((line.strip() for line in reversed(log.splitlines()) if _LOSS.search(line)), "")


def _last(log: str, count: int = 3) -> str:
    return "\n".join([line.rstrip() for line in log.splitlines() if line.strip()][-count:])


def _with(sentence: str, lines: str) -> str:
    """A sentence, and below it, indented, the log lines that show it."""
    return "\n".join([sentence, *("  " + line.removeprefix("  ") for line in lines.splitlines() if line.strip())])
