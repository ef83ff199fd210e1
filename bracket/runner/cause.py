"""Cuts out of a log the line that says what went wrong."""

from __future__ import annotations

import re

_TRACEBACK = "Traceback (most recent call last):"
# What launchers say of the trainer they started: true, but never the reason.
_LAUNCHER = re.compile(r"(?:subprocess\.)?CalledProcessError\b|(?:torch\.\S+)?ChildFailedError\b|KeyboardInterrupt\b")
_RANK = re.compile(r"^\[rank\d+\]:\s?")
_BAR = re.compile(r"\s*(?:\w+:\s+)?\d+%\|.*$")
_BAR_BEFORE = re.compile(r"^[^|]*\d+%\|[^|]*\|[^\]]*\](?=.*\S)")
_ERROR_LINE = re.compile(r"^\s*(?:[\w.\-]+: error: |(?:\S+ \S+ )?(?:ERROR|CRITICAL|FATAL)\b)", re.IGNORECASE)
_LOGGED_BY = re.compile(r"^(?:ERROR|CRITICAL):[\w.]+:")
# rich's log: time (once a second) or blanks, level, message, place at the right; broken at the terminal's width.
_RICH = re.compile(
    r"^(?:[\d:. /-]{19}|\s{19}|\[[^\]]*\])?\s+(?P<level>[A-Z]{4,8}) +(?P<text>.*?)(?P<at> +\w+\.py:\d+)?\s*$"
)
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def cause(log: str, around: int = 4) -> str:
    """The line that says what went wrong, then up to `around` lines that stand before or belong to it; "" for none.

    That is the last exception that isn't a launcher's remark on the trainer's exit, else the last line that calls
    itself an error, else, for a program that ends with one sentence, nothing: the caller shows the last lines.
    """
    lines = [_BAR_BEFORE.sub("", _RANK.sub("", line)).rstrip() for line in log.splitlines()]
    for start in reversed([number for number, line in enumerate(lines) if _TRACEBACK in line]):
        end = next((n for n in range(start + 1, len(lines)) if lines[n] and not lines[n][0].isspace()), None)
        if end is None or _LAUNCHER.match(lines[end]) or _TRACEBACK in lines[end]:
            continue
        frames = [line for line in lines[start + 1 : end] if line.strip().strip("^~")]
        more = _belonging(lines[end + 1 : end + 1 + around])
        context = [*frames[len(frames) - max(0, around - len(more)) :], *more]
        return with_lines(_english(_BAR.sub("", lines[end])), "\n".join(context))
    for number in reversed(range(len(lines))):
        if _ERROR_LINE.match(lines[number]):
            return _logged(lines, number, around)
    return ""


def with_lines(sentence: str, lines: str) -> str:
    """A sentence, and below it, indented, the log lines that show it."""
    return "\n".join([sentence, *("  " + line.removeprefix("  ") for line in lines.splitlines() if line.strip())])


def _logged(lines: list[str], number: int, around: int) -> str:
    """An error that was only logged: sd-scripts' (by rich) in one piece, with the warnings before it; else its line."""
    if _RICH.match(lines[number]):
        records = [_RICH.match(line) for line in lines[:number]]
        warnings = [n for n, record in enumerate(records) if record and record["level"] == "WARNING"]
        return with_lines(_record(lines, number), "\n".join(_record(lines, n) for n in warnings[-around:]))
    headline = _english(_LOGGED_BY.sub("", lines[number].strip()))
    return with_lines(headline, "\n".join(_belonging(lines[number + 1 : number + 1 + around])))


def _record(lines: list[str], number: int) -> str:
    """The message of one of rich's records, put together again from the lines it was broken into."""
    first = _RICH.match(lines[number])
    assert first is not None
    column, text = first.start("text"), first["text"]
    width = first.end("at") - len(first["at"].strip()) - 1 - column if first["at"] else None
    last = text
    for line in lines[number + 1 :]:
        part = line[column:]
        if line[:column].strip() or not part.strip() or part[0].isspace():
            break
        # A word is broken only where it is longer than the column, and begins on a line of its own then.
        text += part if width and len(last) >= width and " " not in last else f" {part}"
        last = part
    return _english(text)


def _english(line: str) -> str:
    """kohya's messages say it all again in Japanese, after a slash."""
    head, _, tail = line.rpartition(" / ")
    return head.rstrip() if head and _JAPANESE.search(tail) else line


def _belonging(lines: list[str]) -> list[str]:
    """The lines at the start that continue a message: indented, and not the first of another log entry."""
    more: list[str] = []
    for line in lines:
        if not line[:1].isspace() or _BAR.fullmatch(line) or re.match(r"\s+(?:INFO|WARNING|DEBUG)\b", line):
            break
        more.append(line)
    return more
