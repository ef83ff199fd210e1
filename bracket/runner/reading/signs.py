"""What a whole log says that its end may not: training steps that were left out, and losses that were no number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
# AI-Toolkit goes on after both, counts the step, and ends with exit code 0.
_SKIPPED = re.compile(rb"oom during training step, skipping batch")
_NAN = re.compile(rb"\bloss is nan\b")
_LONGEST = 40
"""More than either is long."""


@dataclass(frozen=True)
class Signs:
    """Counts of what the log says once a step.

    Attributes:
        skipped: training steps left out because memory ran out.
        nan: steps whose loss was NaN and was replaced by 0.
    """

    skipped: int = 0
    nan: int = 0


def read_signs(log: Path) -> Signs:
    """Looks through a log once, whatever its size and however long its lines; no file, no signs."""
    skipped = nan = 0
    text = b"\n"
    try:
        with log.open("rb") as file:
            while True:
                block = file.read(_BLOCK)
                text += block.lower()
                # What begins in the last few bytes is looked for again with the next block.
                end = max(1, len(text) - _LONGEST) if block else len(text)
                skipped += _count(_SKIPPED, text, end)
                nan += _count(_NAN, text, end) if b"loss is nan" in text else 0
                if not block:
                    return Signs(skipped, nan)
                text = text[end - 1 :]
    except OSError:
        return Signs()


def _count(pattern: re.Pattern[bytes], text: bytes, end: int) -> int:
    """Matches that begin before `end`; the first byte only tells where a word begins."""
    return sum(match.start() < end for match in pattern.finditer(text, 1))
